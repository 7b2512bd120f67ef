"""An adapter as a GGUF file, which llama.cpp puts on a model of its own format.

llama.cpp names layers otherwise than transformers, and keeps the rows of a Llama's queries and keys in
another order, because it turns them in pairs that lie beside each other (its `convert_hf_to_gguf.py`).
What is added to those rows has to be reordered alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from memos_core.errors import BackendError, FormatError, InvalidInput
from memos_core.tiers.kv.gguf import GgufHeader
from memos_core.tiers.lora.layout import PREFIX, A, B
from memos_core.training import Weights

ADAPTER: Final = "adapter.gguf"
_ARCHITECTURE: Final = "llama"  # the one whose order of rows is known here
_MODULE: Final = re.compile(r"model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)")
_NAMES: Final[Mapping[str, str]] = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def check(weights: Weights, base: GgufHeader) -> None:
    """Raise InvalidInput where the model is not a Llama, or has not the layers of the adapter."""
    if base.architecture != _ARCHITECTURE:
        raise InvalidInput(
            f"a model of the kind {base.architecture!r} cannot be given an adapter in GGUF, only one of the "
            f"kind {_ARCHITECTURE!r}: serve the folder with PEFT"
        )
    _renamed(weights, base)


def written(weights: Weights, base: GgufHeader, path: Path) -> Path:
    """Write these weights, which `check` let through, for a base model in GGUF; return the file.

    BackendError where the disk does not take it.
    """
    tensors = {name: _ordered(name, each, base) for name, each in _renamed(weights, base).items()}
    try:
        writer = GGUFWriter(path, _ARCHITECTURE)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(weights.alpha))
        for name in sorted(tensors):
            writer.add_tensor(name, np.ascontiguousarray(tensors[name], dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as exc:
        raise BackendError(f"the adapter was not written to {path} ({exc}): choose another folder") from exc
    return path


def _renamed(weights: Weights, base: GgufHeader) -> dict[str, NDArray[np.float32]]:
    blocks = int(base.values.get(f"{_ARCHITECTURE}.block_count", 0))
    found: dict[str, NDArray[np.float32]] = {}
    for key, each in weights.tensors.items():
        end, kind = (A, "lora_a") if key.endswith(A) else (B, "lora_b")
        match = _MODULE.fullmatch(key.removesuffix(end).removeprefix(PREFIX))
        name = _NAMES.get(match[2]) if match else None
        if match is None or name is None or int(match[1]) >= blocks:
            raise InvalidInput(f"this adapter does not fit the model: there is no such layer as {key!r}")
        found[f"blk.{match[1]}.{name}.weight.{kind}"] = each
    return found


def _ordered(name: str, tensor: NDArray[np.float32], base: GgufHeader) -> NDArray[np.float32]:
    """Return the tensor with its rows in llama.cpp's order, where they are those of queries or keys."""
    heads = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}.get(name.split(".")[2])
    if heads is None or not name.endswith("lora_b"):
        return tensor
    count = base.values.get(f"{_ARCHITECTURE}.{heads}")
    if not isinstance(count, int) or count < 1 or tensor.shape[0] % (2 * count):
        raise FormatError(f"the model's header says {count!r} of {heads}, which does not fit the adapter")
    rows, rank = tensor.shape
    return tensor.reshape(count, 2, rows // count // 2, rank).swapaxes(1, 2).reshape(rows, rank)
