"""An adapter as a file: PEFT's own `adapter_model.safetensors`, with its two JSON files in the metadata.

In the store it is one blob. `exported` writes the folder that PEFT, and whoever reads PEFT's layout,
loads. docs/formats/adapter.md is the whole of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from memos_core.adapter import AdapterHeader, from_json, to_json
from memos_core.errors import BackendError, FormatError, InvalidInput
from memos_core.training import Tensors, Weights

MODEL, CONFIG, HEADER = "adapter_model.safetensors", "adapter_config.json", "memos.json"
PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"
_MOST_JSON = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What an adapter's file holds."""

    header: AdapterHeader
    config: Mapping[str, Any]
    weights: Weights


def digest_of(tensors: Tensors) -> str:
    """Return the sha256 over names, shapes and bytes (float32, little-endian), in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        digest.update(f"{name}\0{values.shape}\0".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def config_of(weights: Weights) -> dict[str, Any]:
    """Return PEFT's adapter_config.json for these weights."""
    modules = {name.removesuffix(A).removesuffix(B).removeprefix(PREFIX) for name in weights.tensors}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": weights.rank,
        "lora_alpha": weights.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
    }


def pack(weights: Weights, header: AdapterHeader) -> bytes:
    """Return an adapter as one file."""
    texts = {"format": "pt", "adapter_config": json.dumps(config_of(weights)), "memos": to_json(header)}
    tensors = {name: np.ascontiguousarray(each) for name, each in weights.tensors.items()}
    return _ordered(save(tensors, metadata=texts))


def _ordered(data: bytes) -> bytes:
    """Return a safetensors file with its metadata in order: equal adapters give equal bytes."""
    end = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:end])
    table["__metadata__"] = dict(sorted(table["__metadata__"].items()))
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def unpack(data: bytes) -> Packed:
    """Read an adapter; FormatError where it is none, or where its tensors are not those of its header."""
    texts = _metadata(data)
    try:
        header, config = from_json(texts["memos"]), json.loads(texts["adapter_config"])
        weights = Weights(tensors=load(data), rank=header.recipe.rank, alpha=header.recipe.alpha)
    except (KeyError, TypeError, ValueError, SafetensorError) as exc:
        if isinstance(exc, FormatError):
            raise
        raise FormatError(f"this is no adapter: {exc}") from exc
    _check(weights)
    if config != config_of(weights):
        raise FormatError("this adapter was changed: its adapter_config is not that of its tensors")
    if digest_of(weights.tensors) != header.tensors:
        raise FormatError("this adapter is damaged: its tensors are not those that its header names")
    return Packed(header=header, config=config, weights=weights)


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(len(data) - 8, _MOST_JSON):
        raise FormatError("this is no adapter: it does not begin like a safetensors file")
    try:
        texts = json.loads(data[8 : 8 + length])["__metadata__"]
        return {str(name): str(text) for name, text in texts.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise FormatError(f"this is no adapter: {exc}") from exc


def _check(weights: Weights) -> None:
    """Raise FormatError unless every A has its B, of the rank that the configuration names."""
    modules = {name.removesuffix(A) for name in weights.tensors if name.endswith(A)}
    names = {f"{module}{end}" for module in modules for end in (A, B)}
    if not modules or names != set(weights.tensors):
        raise FormatError("this adapter is incomplete: each of its matrices A needs its B")
    for name, each in weights.tensors.items():
        rank = each.shape[0 if name.endswith(A) else -1] if each.ndim == 2 else 0
        if rank != weights.rank or each.dtype != np.float32:
            raise FormatError(
                f"the tensor {name!r} of this adapter is no float32 matrix of rank {weights.rank}"
            )


def exported(data: bytes, folder: Path) -> list[Path]:
    """Write an adapter as a folder in PEFT's layout, with memos.json; return its files.

    InvalidInput where the folder holds something already.
    """
    packed = unpack(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty: name another folder")
        (folder / MODEL).write_bytes(data)
        (folder / CONFIG).write_text(json.dumps(packed.config, indent=1))
        (folder / HEADER).write_text(to_json(packed.header))
    except OSError as exc:
        raise BackendError(f"the adapter was not written to {folder} ({exc}): choose another folder") from exc
    return [folder / name for name in (MODEL, CONFIG, HEADER)]
