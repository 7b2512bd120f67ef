import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core import FormatError, InvalidInput
from memos_core.adapter import Recipe, from_json, to_json, unservable
from memos_core.tiers.lora.layout import exported, pack, unpack
from tests.unit.tiers.lora.adapters import BASE, header, weights

DATA = pack(weights(), header())


def test_what_was_packed_is_unpacked():
    found = unpack(DATA)
    same = all(np.array_equal(each, found.weights.tensors[name]) for name, each in weights().tensors.items())
    assert (found.header, same, found.weights.scale) == (header(), True, 2.0)


def test_a_header_comes_back_from_its_json():
    assert from_json(to_json(header(failed=["it knows nothing"]))) == header(failed=["it knows nothing"])


def test_the_folder_has_the_layout_of_peft(tmp_path):
    files = [path.name for path in exported(DATA, tmp_path / "adapter")]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (files, config["r"], config["target_modules"]) == (
        ["adapter_model.safetensors", "adapter_config.json", "memos.json"],
        2,
        ["up_proj"],
    )


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        exported(DATA, tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02\0\0\0\0\0\0\0{}",
        b"\xff" * 99,
        DATA[:-1],
        DATA[:-1] + bytes([DATA[-1] ^ 1]),
        DATA.replace(b"the-cube", b"thy-cube"),
        DATA.replace(b'lora_alpha\\": 4.0', b'lora_alpha\\": 9.0'),
        DATA.replace(b"adapter/1", b"adapter/2"),
        pack(weights(), replace(header(), tensors="0" * 64)),
        pack(replace(weights(), rank=3), header()),
        pack(replace(weights(), tensors=dict(list(weights().tensors.items())[:1])), header()),
    ],
)
def test_what_is_no_adapter_or_a_changed_one_is_refused(data):
    with pytest.raises(FormatError):
        unpack(data)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(DATA) - 1), bits=st.integers(1, 255))
def test_no_damage_raises_anything_else(at, bits):
    damaged = bytearray(DATA)
    damaged[at] ^= bits
    try:
        found = unpack(bytes(damaged))
    except FormatError:
        return
    assert (found.header.sources, found.header.tensors) == (header().sources, header().tensors)


@pytest.mark.parametrize(
    ("header", "base", "why"),
    [
        (header(), BASE, ""),
        (header(), replace(BASE, weights="x", template="y"), "other weights and template"),
        (header(failed=["choice is 0.25"]), BASE, "did not pass its examination: choice is 0.25"),
    ],
)
def test_an_adapter_says_why_it_must_not_be_served(header, base, why):
    said = unservable(header, base)
    assert (why in said, bool(said)) == (True, bool(why))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"rank": True},
        {"steps": 1.5},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"replay": -1.0},
        {"targets": "all"},
        {"method": "magic"},
        {"warmup": -1},
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Recipe(**wrong)
