"""States of tensors as files and back, in the form that a segment's header names (docs/formats/kv.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from memos_core.errors import FormatError, InvalidInput
from memos_core.inference import State
from memos_core.segment import SegmentHeader
from memos_core.tiers.kv import container
from memos_core.tiers.kv.container import Array
from memos_core.tiers.kv.forms import Form, form_of
from memos_core.tiers.kv.int8 import SINK, Quantised, by_channel, by_token, restored
from memos_core.tiers.kv.rope import Rotation, Turn
from memos_core.tiers.kv.sparse import chosen
from memos_core.tiers.kv.states import TensorState

_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

_Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorCodec:
    """Packs in `form` and unpacks every form. A `Codec` of the transformers engine.

    `rotation` tells the model's rotation of keys as it is when asked. Eight bits and sparsified
    states need it: without it, or where the model has none that can be undone, InvalidInput.
    """

    form: str = "exact"
    rotation: Callable[[], Rotation] | None = None

    def __post_init__(self) -> None:
        self._needed(form_of(self.form))

    def pack(self, state: State, header: SegmentHeader) -> bytes:
        """Return the state and its header as one safetensors file.

        InvalidInput where the header speaks of other tokens or another form, or where the state was
        sparsified before.
        """
        form = form_of(self.form)
        if not isinstance(state, TensorState) or state.kept != state.end - state.start or not state.kept:
            raise InvalidInput(
                "only a whole state of this engine can be packed, not a sparsified or empty one"
            )
        if (header.start, header.end, header.form) != (state.start, state.end, self.form):
            raise InvalidInput(
                f"this header is of tokens {header.start} to {header.end} as {header.form!r}, the state of "
                f"{state.start} to {state.end} as {self.form!r}"
            )
        if state.keys[0].dtype not in _NAMES:
            raise InvalidInput(f"no form stores elements of {state.keys[0].dtype}")
        tensors, extra = _encoded(state, form, self._needed(form))
        return container.write(header, {name: _array(each) for name, each in tensors.items()}, extra)

    def unpack(self, path: Path, header: SegmentHeader) -> TensorState:
        """Read a file that `pack` made for this very header, whatever its form.

        FormatError where it is damaged, of another header, or no such file at all; NotFound where
        there is no file; BackendError where it cannot be read now.
        """
        arrays, extra = container.read(path, header)
        try:
            return _decoded(arrays, extra, header)
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as exc:
            raise FormatError(
                f"{path.name} does not hold what its form {header.form!r} needs: {exc}"
            ) from exc

    def _needed(self, form: Form) -> Rotation | None:
        if form.elements != "int8" and form.share == 1:
            return None
        if self.rotation is None:
            raise InvalidInput(
                f"form {self.form!r} looks at keys without their rotation: give the model's `rotation`, or "
                "use 'bfloat16' or 'exact'"
            )
        return self.rotation()


# --- packing ---------------------------------------------------------------------------------


def _encoded(state: TensorState, form: Form, rotation: Rotation | None) -> tuple[_Tensors, dict[str, str]]:
    tensors: _Tensors = {}
    extra = {"dtype": _NAMES[state.keys[0].dtype], "layers": str(len(state.keys))}
    places = [torch.arange(state.start, state.end)] * len(state.keys)
    keys, values = state.keys, state.values
    if form.share < 1 and rotation is not None:
        kept = chosen(state, form.share, rotation)
        places = [each + state.start for each in kept]
        keys = tuple(each[:, at.to(each.device)] for each, at in zip(keys, kept, strict=True))
        values = tuple(each[:, at.to(each.device)] for each, at in zip(values, kept, strict=True))
        tensors |= {f"positions.{at}": each.to(torch.int32) for at, each in enumerate(places)}
    if form.elements == "int8" and rotation is not None:
        extra["turns"] = _turns(rotation, tensors)
        return tensors | _eight_bits(keys, values, places, rotation), extra
    dtype = torch.bfloat16 if form.elements == "bfloat16" else keys[0].dtype
    tensors |= {f"keys.{at}": each.to(dtype) for at, each in enumerate(keys)}
    tensors |= {f"values.{at}": each.to(dtype) for at, each in enumerate(values)}
    return tensors, extra


def _eight_bits(
    keys: Sequence[torch.Tensor],
    values: Sequence[torch.Tensor],
    places: Sequence[torch.Tensor],
    rotation: Rotation,
) -> _Tensors:
    tensors: _Tensors = {}
    first = _spared(places[0])
    rest = [each[first:] for each in places]
    plain = rotation.turned(
        [each[:, first:].float() for each in keys], rest, [torch.zeros_like(each) for each in rest]
    )
    for at, (key, value, still) in enumerate(zip(keys, values, plain, strict=True)):
        for name, whole, codes in (
            (f"keys.{at}", key, by_channel(still)),
            (f"values.{at}", value, by_token(value[:, first:])),
        ):
            tensors |= {name: codes.codes, f"{name}.scale": codes.scale, f"{name}.low": codes.low}
            tensors |= {f"{name}.first": whole[:, :first]} if first else {}
    return tensors


def _spared(places: torch.Tensor) -> int:
    """Return how many of the tokens at these positions are the text's first ones, which stay as they are."""
    return int((places < SINK).sum())


def _turns(rotation: Rotation, tensors: _Tensors) -> str:
    """Return the layers' rotations as JSON and add their frequencies, each once, to the tensors."""
    names: dict[int, str] = {}
    told: list[list[str] | None] = []
    for turn in rotation.layers:
        if turn is None:
            told.append(None)
            continue
        name = names.setdefault(id(turn.frequencies), f"frequencies.{len(names)}")
        tensors[name] = turn.frequencies
        told.append([name, "interleaved" if turn.interleaved else "half"])
    return json.dumps(told)


def _array(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach().cpu().contiguous()
    array: Array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


# --- unpacking -------------------------------------------------------------------------------


def _decoded(arrays: Mapping[str, Array], extra: Mapping[str, str], header: SegmentHeader) -> TensorState:
    form = form_of(header.form)
    dtype = _DTYPES[extra["dtype"]]
    stored = torch.bfloat16 if form.elements == "bfloat16" else dtype
    count = min(int(extra["layers"]), len(arrays))  # a number that lies must not cost memory
    places = [_places(arrays, at, form, header) for at in range(count)]
    if form.elements == "int8":
        keys, values = _from_eight_bits(arrays, extra["turns"], places, dtype)
    else:
        keys = tuple(_tensor(arrays[f"keys.{at}"], stored) for at in range(count))
        values = tuple(_tensor(arrays[f"values.{at}"], stored) for at in range(count))
    _check_shapes(keys, values, places)
    return TensorState(
        start=header.start,
        end=header.end,
        keys=tuple(each.to(dtype) for each in keys),
        values=tuple(each.to(dtype) for each in values),
    )


def _places(arrays: Mapping[str, Array], at: int, form: Form, header: SegmentHeader) -> torch.Tensor:
    if form.share == 1:
        return torch.arange(header.start, header.end)
    places = torch.from_numpy(arrays[f"positions.{at}"]).long()
    if bool((places < header.start).any()) or bool((places >= header.end).any()):
        raise ValueError("a token that is held is not one of the segment's")
    return places


def _from_eight_bits(
    arrays: Mapping[str, Array], turns: str, places: Sequence[torch.Tensor], dtype: torch.dtype
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    rest = [each[_spared(each) :] for each in places]
    still = [_restored(arrays, f"keys.{at}") for at in range(len(places))]
    keys = _rotation(arrays, turns).turned(still, [torch.zeros_like(each) for each in rest], rest)
    return (
        tuple(_whole(arrays, f"keys.{at}", each, dtype) for at, each in enumerate(keys)),
        tuple(
            _whole(arrays, f"values.{at}", _restored(arrays, f"values.{at}"), dtype)
            for at in range(len(places))
        ),
    )


def _restored(arrays: Mapping[str, Array], name: str) -> torch.Tensor:
    codes, scale, low = (torch.from_numpy(arrays[name + end]) for end in ("", ".scale", ".low"))
    return restored(Quantised(codes, scale, low))


def _whole(arrays: Mapping[str, Array], name: str, rest: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the rest in the model's own elements, with the tokens before it that were left as they are."""
    first = arrays.get(f"{name}.first")
    return rest.to(dtype) if first is None else torch.cat([_tensor(first, dtype), rest.to(dtype)], dim=1)


def _rotation(arrays: Mapping[str, Array], told: str) -> Rotation:
    known: dict[str, torch.Tensor] = {}
    layers: list[Turn | None] = []
    for each in json.loads(told):
        if each is None:
            layers.append(None)
            continue
        name, layout = each
        frequencies = known.setdefault(name, torch.from_numpy(arrays[name]))
        layers.append(Turn(frequencies=frequencies, interleaved=layout == "interleaved"))
    return Rotation(layers=tuple(layers))


def _tensor(array: Array, dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    tensor = tensor.view(torch.bfloat16) if dtype == torch.bfloat16 else tensor
    if tensor.dtype != dtype:
        raise ValueError(f"elements are {tensor.dtype}, not {dtype}")
    return tensor


def _check_shapes(
    keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], places: Sequence[torch.Tensor]
) -> None:
    if not keys:
        raise ValueError("there are no layers")
    for each, at in zip((*keys, *values), (*places, *places), strict=True):
        if each.dim() != 3 or each.shape[1] != places[0].shape[0] or at.shape != places[0].shape:
            raise ValueError("layers differ in how many tokens they hold")
