"""Whatever stands in a segment's file, reading it gives the segment or FormatError."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from memos_core.errors import FormatError
from memos_core.segment import to_json
from memos_core.tiers.kv.codec import TensorCodec
from tests.unit.tiers.kv.segments import a_header, a_rotation, a_state

HEADER = a_header(form="int8+sparse-50")
CODEC = TensorCodec(form=HEADER.form, rotation=a_rotation)
WHOLE = CODEC.pack(a_state(), HEADER)

numbers = st.integers(-3, 2**70) | st.floats() | st.booleans() | st.none()
json_values = st.recursive(
    numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
tensor_facts = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I8", "U16", "BOOL", "BF16"]) | json_values,
        "shape": st.lists(st.integers(0, 9), max_size=4) | json_values,
        "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | json_values,
    }
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["float32", "bfloat16", "nothing"]),
        "layers": st.integers(-1, 4).map(str) | st.text(),
        "turns": json_values.map(json.dumps) | st.text(),
    },
)
names = st.sampled_from(
    [f"{what}.0{end}" for what in ("keys", "values") for end in ("", ".scale", ".low", ".first")]
    + ["positions.0", "frequencies.0"]
)
fuzzing = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def read(path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        CODEC.unpack(path, HEADER)
    except FormatError:
        return


@fuzzing
@given(data=st.binary(max_size=300) | st.binary(max_size=60).map(lambda end: WHOLE[:200] + end))
def test_any_bytes(tmp_path, data):
    read(tmp_path / "segment", data)


@fuzzing
@given(
    tensors=st.dictionaries(names, tensor_facts, max_size=6),
    extra=parameters,
    data=st.binary(max_size=64),
)
def test_any_table_with_its_checksum_right(tmp_path, tensors, extra, data):
    metadata = {
        "format": "memos.kv/1",
        "header": to_json(HEADER),
        "parameters": json.dumps(extra),
        "sha256": "0" * 64,
    }
    head = json.dumps({"__metadata__": metadata, **tensors}).encode()
    whole = len(head).to_bytes(8, "little") + head + data
    digest = hashlib.sha256(whole).hexdigest().encode()
    read(tmp_path / "segment", whole.replace(b"0" * 64, digest, 1))


@fuzzing
@given(at=st.integers(0, len(WHOLE) - 1), flipped=st.integers(1, 255))
def test_no_flipped_bit_goes_unseen(tmp_path, at, flipped):
    path = tmp_path / "segment"
    path.write_bytes(WHOLE[:at] + bytes([WHOLE[at] ^ flipped]) + WHOLE[at + 1 :])
    with pytest.raises(FormatError):
        CODEC.unpack(path, HEADER)
