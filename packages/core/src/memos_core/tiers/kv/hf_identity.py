"""What a model's states depend on, as digests: weights, config, rotary frequencies, adapters that are on.

Read anew with every call, and computed anew only where a tensor was changed, replaced or added since.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from memos_core.errors import BackendError
from memos_core.segment import EngineIdentity
from memos_core.tiers.kv.hf_attention import GROUPED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PASSING = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures", "use_cache")
_CHUNK = 1 << 22

Mark = tuple[int, int]  # where a tensor's bytes are, and how often they were written to
_SAMPLES = 2  # elements of each tensor, for writers that are not counted


class _Facts(NamedTuple):
    """Digests of what the tensors say, and the marks of the tensors when they were read."""

    marks: tuple[Mark, ...]
    samples: tuple[float, ...]
    weights: str
    config: str
    rope: str
    dtype: str


class Identities:
    """Tells the identity of a model that runs here. Safe to call from several threads.

    `weights` is the digest of the files that the model was just loaded from, "" to hash its
    parameters. `tokenizer` and `template` are digests.
    """

    def __init__(self, model: PreTrainedModel, *, weights: str, tokenizer: str, template: str) -> None:
        self._model: PreTrainedModel | None = model
        self._tokenizer, self._template = tokenizer, template
        self._lock = threading.Lock()
        self._facts = self._read(model, weights)
        self._adapter: tuple[tuple[object, ...], str] = ((), "")

    def now(self) -> EngineIdentity:
        """Return the identity at this moment; BackendError after `close`."""
        with self._lock:
            model = self._model
            if model is None:
                raise BackendError("this engine was closed: open the model again")
            if self._changed(model):
                self._facts = self._read(model, "")
            kind = str(model.config._attn_implementation)
            return EngineIdentity(
                engine="transformers",
                weights=self._facts.weights,
                config=self._facts.config,
                tokenizer=self._tokenizer,
                template=self._template,
                dtype=self._facts.dtype,
                attention="sdpa" if kind == GROUPED else kind,
                rope=self._facts.rope,
                adapter=self._adapter_digest(model),
            )

    def close(self) -> None:
        """Let go of the model and of its tensors, which are the most of what it takes."""
        with self._lock:
            self._model = None
            self._tensors.clear()
            self._elements.clear()

    def _changed(self, model: PreTrainedModel) -> bool:
        """Return whether a tensor was written to since, or another one stands in its place.

        Who writes by way of `.data` is not counted by torch, such as PEFT when it merges an adapter
        in. That touches whole matrices, and so some elements of each are looked at.
        """
        present = _marks(_listed(model))
        return present != self._facts.marks or _samples(self._elements) != self._facts.samples

    def _read(self, model: PreTrainedModel, weights: str) -> _Facts:
        self._tensors = _listed(model)  # held, so that no other tensor gets the place of one
        self._elements = [view for each in self._tensors for view in _sampled(each)]
        return _Facts(
            marks=_marks(self._tensors),
            samples=_samples(self._elements),
            weights=weights or weights_digest(model),
            config=_config_digest(model),
            rope=_rope_digest(model),
            dtype=str(model.dtype).removeprefix("torch."),
        )

    def _adapter_digest(self, model: PreTrainedModel) -> str:
        parts = list(_active_adapters(model))
        if not parts:
            return ""
        marks = (*((part.name, part.setting) for part in parts), *_marks(part.tensor for part in parts))
        if marks != self._adapter[0]:
            digest = hashlib.sha256()
            for part in parts:
                digest.update(f"{part.name}\0{part.setting}\0".encode())
                _add_tensor(digest, part.tensor)
            self._adapter = (marks, digest.hexdigest())
        return self._adapter[1]


class _Part(NamedTuple):
    """A tensor of an adapter that is on, under its full name, and what it is scaled by."""

    name: str
    setting: str
    tensor: torch.Tensor


def _listed(model: PreTrainedModel) -> list[torch.Tensor]:
    """Return the tensors that the identity is told by: the parameters but adapters', the frequencies."""
    foreign = _foreign(model)
    own = [each for each in model.parameters() if id(each) not in foreign]
    return [*own, *(each for _, each in _frequencies(model))]


def weights_digest(model: PreTrainedModel) -> str:
    """Return the sha256 over every parameter's name, kind, shape and bytes; adapters' are left out.

    It is the same with adapters put in or taken out, since they rename what they wrap.
    """
    foreign = _foreign(model)
    digest = hashlib.sha256()
    for name, tensor in sorted((_plain(name), each) for name, each in model.named_parameters()):
        if id(tensor) not in foreign:
            digest.update(f"{name}\0".encode())
            _add_tensor(digest, tensor)
    return digest.hexdigest()


def files_digest(files: Iterable[Path]) -> str:
    """Return the sha256 over names and contents of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda each: each.name):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _config_digest(model: PreTrainedModel) -> str:
    facts = {key: value for key, value in model.config.to_dict().items() if key not in _PASSING}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _rope_digest(model: PreTrainedModel) -> str:
    """Return the digest of the frequencies as they are, which `.to(bfloat16)` changes, "" without any."""
    digest = hashlib.sha256()
    found = False
    for module_name, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.endswith("inv_freq"):
                found = True
                settings = {
                    key: value
                    for key, value in vars(module).items()
                    if key == "rope_type" or key.endswith(("attention_scaling", "rope_type"))
                }
                digest.update(f"{_plain(module_name)}.{name}\0{sorted(settings.items())}\0".encode())
                _add_tensor(digest, buffer)
    return digest.hexdigest() if found else ""


def _frequencies(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name, each) for name, each in model.named_buffers() if name.endswith("inv_freq"))


def _active_adapters(model: PreTrainedModel) -> Iterator[_Part]:
    """Yield the tensors of every adapter that takes part in computing, merged ones included."""
    for name, layer in _tuned(model):
        merged = set(layer.merged_adapters)
        active = set() if layer.disable_adapters else set(layer.active_adapters)
        for adapter in sorted(merged | active):
            scaling = getattr(layer, "scaling", {}).get(adapter)
            for kind in layer.adapter_layer_names:
                held = getattr(layer, kind, {})
                if adapter in held:
                    setting = f"{adapter} {scaling} {adapter in merged}"
                    for inner, tensor in _tensors(held[adapter]):
                        yield _Part(f"{_plain(name)}.{kind}.{inner}", setting, tensor)


def _tuned(model: PreTrainedModel) -> list[tuple[str, Any]]:
    """Return the layers that PEFT has wrapped, with their names; none where PEFT was never imported."""
    tuners = sys.modules.get("peft.tuners.tuners_utils")
    if tuners is None:
        return []
    return [(name, each) for name, each in model.named_modules() if isinstance(each, tuners.BaseTunerLayer)]


def _foreign(model: PreTrainedModel) -> set[int]:
    return {id(part) for _, layer in _tuned(model) for part in _own_tensors(layer)}


def _own_tensors(layer: Any) -> Iterator[torch.Tensor]:
    for kind in layer.adapter_layer_names:
        for _, tensor in _tensors(getattr(layer, kind, None)):
            yield tensor


def _tensors(holder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(holder, torch.Tensor):
        yield "", holder
    elif isinstance(holder, torch.nn.Module):
        yield from holder.named_parameters()


def _plain(name: str) -> str:
    return name.replace(".base_layer", "").removeprefix("base_model.model.")


def _marks(tensors: Iterable[torch.Tensor]) -> tuple[Mark, ...]:
    return tuple((each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors)


def _sampled(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return views of some elements, which show what the tensor holds whenever they are looked at."""
    places = [tuple(size * (2 * at + 1) // (2 * _SAMPLES) for size in tensor.shape) for at in range(_SAMPLES)]
    return [tensor.detach()[place] for place in dict.fromkeys(places)] if tensor.numel() else []


def _samples(elements: list[torch.Tensor]) -> tuple[float, ...]:
    """Return the elements' values, read from each device at once."""
    groups: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    for each in elements:
        groups.setdefault((each.dtype, each.device), []).append(each)
    return tuple(value for group in groups.values() for value in torch.stack(group).tolist())


def _add_tensor(digest: Any, tensor: torch.Tensor) -> None:
    digest.update(f"{tensor.dtype}{tuple(tensor.shape)}\0".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest.update(memoryview(flat.numpy()))
