"""Models in the shape of real ones, with random weights: time does not depend on what a model knows."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config

from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.hf_attention import register

_QWEN3: dict[str, Any] = {
    "vocab_size": 151_936,
    "head_dim": 128,
    "num_key_value_heads": 8,
    "max_position_embeddings": 40_960,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
SHAPES: dict[str, dict[str, Any]] = {  # from the models' published config.json
    "qwen3-8b": _QWEN3
    | {
        "hidden_size": 4096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
    "qwen3-32b": _QWEN3
    | {
        "hidden_size": 5120,
        "intermediate_size": 25_600,
        "num_hidden_layers": 64,
        "num_attention_heads": 64,
    },
    "tiny": _QWEN3
    | {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}


def random_engine(
    shape: str, *, device: str, dtype: str = "bfloat16", attention: str = "sdpa", seed: int = 0
) -> HfEngine:
    """Return an engine whose model was made on the device; `shape` is a name of `SHAPES`."""
    torch.manual_seed(seed)
    kind = register() if attention == "sdpa" and device == "cpu" else attention
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            Qwen3Config(**SHAPES[shape]), dtype=getattr(torch, dtype), attn_implementation=kind
        )
    name = hashlib.sha256(f"{shape} {dtype} {seed}".encode()).hexdigest()  # hashing 65 GB takes minutes
    return HfEngine(model, _tokenizer(), weights=name)


def weights_of(shape: str) -> int:
    """Return how many weights a model of this shape has."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(Qwen3Config(**SHAPES[shape]))
    return sum(each.numel() for each in model.parameters())


def _tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes; prompts here are ids, and an engine has to have one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={each: at for at, each in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)
