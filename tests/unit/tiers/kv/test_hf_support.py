from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import transformers

from memos_core.errors import InvalidInput
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")

from memos_core.tiers.kv.hf_support import check_composed, check_served, longest_context

LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 6,
    "long_factor": [4.0] * 6,
    "original_max_position_embeddings": 512,
}
DYNAMIC: dict[str, Any] = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
SHORT: dict[str, Any] = {"original_max_position_embeddings": 256, "rope_parameters": LONGROPE}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_TINY = {"vocab_size": 96, "hidden_size": 32}


def made(kind: str, **settings: Any) -> Any:
    """Return a small random model whose config takes other settings than most."""
    config = getattr(transformers, f"{kind}Config")(**settings)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


SERVED: dict[str, Callable[[], Any]] = {
    "llama": lambda: kv_models.model("Llama"),
    "qwen2": lambda: kv_models.model("Qwen2"),
    "qwen3": lambda: kv_models.model("Qwen3"),
    "mixtral": lambda: kv_models.model("Mixtral", num_local_experts=2),
    "gemma": lambda: kv_models.model("Gemma"),
    "gpt2": lambda: kv_models.model("GPT2"),
    "opt": lambda: made("OPT", **_TINY, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                        word_embed_proj_dim=32, max_position_embeddings=512),
    "phi": lambda: kv_models.model("Phi"),
    "gpt_neox": lambda: kv_models.model("GPTNeoX"),
    "mistral without a window": lambda: kv_models.model("Mistral"),
    "mistral with a window as long as the context": lambda: kv_models.model("Mistral", sliding_window=512),
    "gemma3 with a window as long as the context": lambda: kv_models.model(
        "Gemma3Text", head_dim=12, sliding_window=512
    ),
    "phi3 within the range of its short factors": lambda: kv_models.model(
        "Phi3", max_position_embeddings=2048, original_max_position_embeddings=512, rope_parameters=LONGROPE
    ),
    "dynamic frequencies within their range": lambda: kv_models.model("Llama", rope_parameters=DYNAMIC),
}  # fmt: skip

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "mistral": (lambda: kv_models.model("Mistral", sliding_window=128), "window ends at 128.*context=128"),
    "gemma3_text": (lambda: kv_models.model("Gemma3Text", head_dim=12, sliding_window=511), "context=511"),
    "phi3": (
        lambda: kv_models.model(
            "Phi3", max_position_embeddings=2048, **SHORT
        ),
        "longrope frequencies ends at",
    ),
    "mamba": (
        lambda: made("Mamba", **_TINY, num_hidden_layers=2, state_size=4),
        "running state",
    ),
    "jamba": (
        lambda: made("Jamba", **_TINY, intermediate_size=32, num_hidden_layers=4,
                     attn_layer_period=2, attn_layer_offset=1, num_experts=2, use_mamba_kernels=False,
                     **_HEADS),
        "running state",
    ),
    "bamba": (
        lambda: made("Bamba", **_TINY, intermediate_size=32, num_hidden_layers=2,
                     attn_layer_indices=[1], mamba_n_heads=4, mamba_d_head=16, mamba_d_state=4, **_HEADS),
        "running state",
    ),
    "minimax": (
        lambda: made("MiniMax", **_TINY, intermediate_size=32, num_hidden_layers=2,
                     num_local_experts=2, head_dim=8, **_HEADS),
        "plain attention|running state",
    ),
    "bloom": (
        lambda: made("Bloom", **_TINY, n_layer=2, n_head=4), "told the positions"
    ),
    "bert": (
        lambda: made("Bert", **_TINY, intermediate_size=32, num_hidden_layers=2,
                     num_attention_heads=4),
        "see what comes after",
    ),
    "t5": (
        lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4)
        ),
        "encoder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVED)
def test_plain_attention_is_served(name: str) -> None:
    assert check_served(SERVED[name](), context=512) == 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_stored_prefix_would_be_wrong_for_is_refused_by_name(name: str) -> None:
    model, reason = REFUSED[name]
    with pytest.raises(InvalidInput, match=rf"(?s)the model '{name}' .*({reason})"):
        check_served(model(), context=512)


@pytest.mark.parametrize("name", ["mistral", "gemma3_text", "phi3"])
def test_a_shorter_context_is_served_where_the_refusal_said_so(name: str) -> None:
    assert check_served(REFUSED[name][0](), context=128) == 2


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mixtral", "gemma", "phi", "gpt_neox"])
def test_fixed_frequencies_can_be_composed(name: str) -> None:
    check_composed(SERVED[name](), context=512)  # raises where they cannot


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gpt2", "not rotary"),
        ("opt", "not rotary"),
        ("mistral with a window as long as the context", "sliding window"),
        ("gemma3 with a window as long as the context", "sliding window"),
        ("dynamic frequencies within their range", "dynamic"),
        ("phi3 within the range of its short factors", "longrope"),
    ],
)
def test_what_cannot_be_moved_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"cannot be composed: .*{reason}.*exact mode"):
        check_composed(SERVED[name](), context=512)


def test_the_context_is_what_the_model_was_made_for() -> None:
    assert [longest_context(SERVED[name]()) for name in ("llama", "gpt2", "opt")] == [512, 512, 512]


def test_a_model_that_does_not_say_its_context_is_asked_for_one() -> None:
    with pytest.raises(InvalidInput, match="give `context`"):
        longest_context(REFUSED["bloom"][0]())
