"""States as files: exact ones come back bit by bit, others within what their form promises."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from memos_core.errors import FormatError, InvalidInput, NotFound
from memos_core.inference import Codec
from memos_core.tiers.kv import container
from memos_core.tiers.kv.codec import TensorCodec
from memos_core.tiers.kv.rope import Rotation
from memos_core.tiers.kv.states import TensorState
from tests.unit.tiers.kv.segments import LAYERS, a_header, a_rotation, a_state, largest_difference

FORMS = ["exact", "bfloat16", "int8", "sparse-50", "int8+sparse-50", "bfloat16+sparse-25"]


def codec(form: str = "exact") -> TensorCodec:
    return TensorCodec(form=form, rotation=a_rotation)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "segment"


def through(path, state: TensorState, form: str) -> TensorState:
    header = a_header(start=state.start, tokens=state.end - state.start, form=form)
    path.write_bytes(codec(form).pack(state, header))
    return codec("exact").unpack(path, header)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("start", [0, 2, 300])
def test_an_exact_state_comes_back_bit_by_bit(path, dtype, start):
    state = a_state(start=start, dtype=dtype)
    read = through(path, state, "exact")
    assert (read.start, read.end) == (state.start, state.end)
    for one, other in zip((*read.keys, *read.values), (*state.keys, *state.values), strict=True):
        assert one.dtype == dtype
        assert torch.equal(one, other)


def test_it_is_a_codec():
    promised: Codec = codec()
    assert promised.pack
    assert promised.unpack


@pytest.mark.parametrize(("form", "off"), [("bfloat16", 0.01), ("int8", 0.02)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("start", [0, 2, 300])
def test_smaller_elements_come_back_nearly(path, form, off, dtype, start):
    state = a_state(start=start, dtype=dtype)
    read = through(path, state, form)
    assert read.keys[0].dtype == dtype
    rounding = 0.02 if dtype == torch.bfloat16 else 0.0
    assert largest_difference(read, state) < off + rounding


def test_eight_bits_leave_the_texts_first_tokens_as_they_are(path):
    state = a_state()
    read = through(path, state, "int8")
    for one, other in zip((*read.keys, *read.values), (*state.keys, *state.values), strict=True):
        assert torch.equal(one[:, :4], other[:, :4])
        assert not torch.equal(one[:, 4:], other[:, 4:])


def test_eight_bits_know_each_channels_range_before_the_rotation(path):
    """A channel far from zero would fill both of its pair's ranges once it is turned."""
    rotation = a_rotation()
    plain = a_state(tokens=200)
    for each in plain.keys:
        each[..., 1] += 100
    places = [torch.arange(200)] * LAYERS
    zeros = [torch.zeros(200, dtype=torch.int64)] * LAYERS
    keys = rotation.turned(plain.keys, zeros, places)
    state = TensorState(start=0, end=200, keys=keys, values=plain.values)
    read = through(path, state, "int8")
    assert largest_difference(read, state) < 0.03


@pytest.mark.parametrize("form", ["sparse-50", "int8+sparse-50", "bfloat16+sparse-25"])
def test_a_sparse_state_keeps_some_tokens_and_its_ends(path, form):
    state = a_state(tokens=80)
    read = through(path, state, form)
    assert (read.start, read.end) == (0, 80)
    assert read.kept == (20 if form.endswith("25") else 40)
    off = 0.03
    assert float((read.keys[0][:, :4] - state.keys[0][:, :4]).abs().max()) < off
    assert float((read.keys[0][:, -8:] - state.keys[0][:, -8:]).abs().max()) < off
    arrays, _ = container.read(path, a_header(tokens=80, form=form))
    for at in range(LAYERS):
        kept = torch.from_numpy(arrays[f"positions.{at}"]).long()
        assert float((read.keys[at] - state.keys[at][:, kept]).abs().max()) < off
        assert float((read.values[at] - state.values[at][:, kept]).abs().max()) < off


def test_sizes_are_what_the_forms_promise():
    state = a_state(tokens=4_000)
    sizes = {form: len(codec(form).pack(state, a_header(tokens=4_000, form=form))) for form in FORMS}
    head = 40_000  # the ids stand in the header
    exact = sizes["exact"] - head
    assert sizes["bfloat16"] - head < 0.55 * exact
    assert sizes["int8"] - head < 0.5 * exact
    assert sizes["sparse-50"] - head < 0.55 * exact
    assert sizes["int8+sparse-50"] - head < 0.3 * exact


def test_equal_states_are_equal_files():
    for form in FORMS:
        header = a_header(form=form)
        assert codec(form).pack(a_state(), header) == codec(form).pack(a_state(), header)


def test_a_state_that_does_not_fit_its_header_is_refused():
    for header in (a_header(start=1), a_header(tokens=19), a_header(form="bfloat16")):
        with pytest.raises(InvalidInput, match="this header is of tokens"):
            codec().pack(a_state(), header)


def test_a_sparsified_state_cannot_be_packed_again(path):
    read = through(path, a_state(tokens=80), "sparse-50")
    with pytest.raises(InvalidInput, match="sparsified"):
        codec().pack(read, a_header(tokens=80))


@pytest.mark.parametrize("form", ["int8", "sparse-50"])
def test_a_form_that_needs_the_rotation_is_refused_at_once_without_it(form):
    def refused() -> Rotation:
        raise InvalidInput("frequencies change")

    with pytest.raises(InvalidInput, match="bfloat16"):
        TensorCodec(form=form)
    with pytest.raises(InvalidInput, match="frequencies change"):
        TensorCodec(form=form, rotation=refused)
    assert TensorCodec(form="bfloat16", rotation=refused).form == "bfloat16"


def test_elements_that_no_form_stores_are_refused():
    with pytest.raises(InvalidInput, match="int32"):
        codec().pack(a_state(dtype=torch.int32), a_header())


def test_no_file_is_not_found(path):
    with pytest.raises(NotFound):
        codec().unpack(path, a_header())


def test_a_file_of_another_form_is_another_segment(path):
    path.write_bytes(codec("bfloat16").pack(a_state(), a_header(form="bfloat16")))
    with pytest.raises(FormatError, match="another KV segment"):
        codec().unpack(path, a_header())


CHANGES = {
    "a layer is missing": lambda arrays, _: arrays.pop("keys.1"),
    "a layer is shorter": lambda arrays, _: arrays.update({"keys.1": arrays["keys.1"][:, :-1]}),
    "a layer is flat": lambda arrays, _: arrays.update({"values.0": arrays["values.0"].reshape(-1)}),
    "other elements": lambda arrays, _: arrays.update({"keys.0": arrays["keys.0"].astype(np.float64)}),
    "no element type": lambda _, extra: extra.pop("dtype"),
    "an unknown element type": lambda _, extra: extra.update(dtype="fp4"),
    "no layers": lambda _, extra: extra.update(layers="0"),
    "more layers than there are": lambda _, extra: extra.update(layers="9"),
    "layers beyond any memory": lambda _, extra: extra.update(layers="9" * 30),
    "layers that are no number": lambda _, extra: extra.update(layers="many"),
}
EIGHT_BIT_CHANGES = {
    "no scale": lambda arrays, _: arrays.pop("keys.0.scale"),
    "no rotation": lambda _, extra: extra.pop("turns"),
    "a rotation that does not parse": lambda _, extra: extra.update(turns="["),
    "a rotation of other frequencies": lambda _, extra: extra.update(
        turns=json.dumps([["none", "half"]] * 3)
    ),
    "too few layers turned": lambda _, extra: extra.update(turns="[null]"),
    "a rotation too wide": lambda arrays, _: arrays.update({"frequencies.0": np.ones(50, dtype=np.float32)}),
    "first tokens of another width": lambda arrays, _: arrays.update(
        {"keys.0.first": arrays["keys.0.first"][..., :-1]}
    ),
}


@pytest.mark.parametrize(
    ("form", "change"),
    [
        *(pytest.param("exact", change, id=name) for name, change in CHANGES.items()),
        *(pytest.param("int8", change, id=name) for name, change in EIGHT_BIT_CHANGES.items()),
        pytest.param(
            "sparse-50",
            lambda arrays, _: arrays.update({"positions.0": arrays["positions.0"][:-1]}),
            id="too few positions",
        ),
        pytest.param(
            "int8+sparse-50",
            lambda arrays, _: arrays.update({"positions.0": arrays["positions.0"] + 9}),
            id="positions beyond the end",
        ),
    ],
)
def test_a_sound_file_with_unsound_tensors_is_refused(path, form, change):
    header = a_header(form=form)
    path.write_bytes(codec(form).pack(a_state(), header))
    arrays, extra = (dict(each) for each in container.read(path, header))
    change(arrays, extra)
    path.write_bytes(container.write(header, arrays, extra))
    with pytest.raises(FormatError, match="does not hold what its form"):
        codec().unpack(path, header)
