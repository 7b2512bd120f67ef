"""Which transformers models can be served, and which can have their states moved."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.hf_cache import BufferLayer
from memos_core.tiers.kv.hf_forward import advanced

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_FIXED_ROPE = frozenset({"default", "linear", "llama3", "yarn", "proportional"})
_TRIED = 5  # tokens
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # relative; 0.1 in half precision


def text_config(model: PreTrainedModel) -> PreTrainedConfig:
    """Return the configuration of the language model, which may be a part of a larger one."""
    return model.config.get_text_config(decoder=True)


def longest_context(model: PreTrainedModel) -> int:
    """Return how many tokens the model was made for; InvalidInput where it does not say."""
    config = text_config(model)
    for name in ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    raise InvalidInput(f"the model {_name(model)} does not say how long a text it can read: give `context`")


def check_served(model: PreTrainedModel, *, context: int) -> int:
    """Return how many layers keep keys and values, if every one of them does so for the whole context.

    InvalidInput names the model and the reason where a stored prefix would not be what a full prefill
    computes: no plain attention, a window or frequencies that change before `context`. What a config
    does not tell is seen by trying: the model computes a few tokens.
    """
    config = text_config(model)
    if reason := _unserved(model, config):
        raise InvalidInput(f"the model {_name(model)} cannot be served from stored prefixes: {reason}")
    layers = _cache_layers(model, config)
    for layer in layers:
        if type(layer) is DynamicSlidingWindowLayer:
            _check_within(model, layer.sliding_window, context=context, what="attention window")
        elif type(layer) is not DynamicLayer:
            raise InvalidInput(
                f"the model {_name(model)} cannot be served from stored prefixes: "
                f"not all of its layers are plain attention ({type(layer).__name__})"
            )
    for rope in _ropes(config):
        if rope["rope_type"] in ("dynamic", "longrope"):
            limit = rope.get("original_max_position_embeddings") or _original_length(config)
            _check_within(model, limit, context=context, what=f"range of its {rope['rope_type']} frequencies")
    if reason := _wrong(model, len(layers)):
        raise InvalidInput(f"the model {_name(model)} cannot be served from stored prefixes: {reason}")
    return len(layers)


def check_composed(model: PreTrainedModel, *, context: int) -> None:
    """Do nothing if states of this model can be moved to other positions; else InvalidInput says why not.

    That takes rotary positions whose frequencies do not depend on the length, in every layer.
    """
    check_served(model, context=context)
    config = text_config(model)
    ropes = _ropes(config)
    reason = ""
    if not ropes or not any(name.endswith("inv_freq") for name, _ in model.named_buffers()):
        reason = "its positions are not rotary, so that keys cannot be moved"
    elif kinds := sorted({rope["rope_type"] for rope in ropes} - _FIXED_ROPE):
        reason = f"its rotary frequencies change with the length ({', '.join(kinds)})"
    elif any(type(layer) is DynamicSlidingWindowLayer for layer in _cache_layers(model, config)):
        reason = "it has layers with a sliding window"
    if reason:
        raise InvalidInput(f"states of the model {_name(model)} cannot be composed: {reason}; use exact mode")


def _unserved(model: PreTrainedModel, config: PreTrainedConfig) -> str:
    parameters = inspect.signature(
        model.get_base_model().forward if _is_peft(model) else model.forward
    ).parameters
    if config.is_encoder_decoder or model.config.is_encoder_decoder:
        return "it is an encoder with a decoder, not a decoder alone"
    if getattr(model, "_is_stateful", False) or "past_key_values" not in parameters:
        return "it keeps a running state instead of keys and values"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "its adapter puts tokens of its own before the text"
    if "position_ids" not in parameters:
        return "it cannot be told the positions of its tokens"
    if getattr(config, "num_kv_shared_layers", 0):
        return "some of its layers share their keys and values"
    return ""


def _wrong(model: PreTrainedModel, layers: int) -> str:
    """Return what is wrong with the keys that the model computes, "" if nothing is.

    Every layer must have them for each token, and they must be the same whatever comes after.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = [(each * 7919) % vocabulary for each in range(1, _TRIED + 1)]
    with torch.inference_mode():
        short, long = (_tried_keys(model, layers, ids[:count]) for count in (_TRIED - 1, _TRIED))
    if any(keys is None or keys.shape[-2] != _TRIED for keys in long):
        return "not every one of its layers keeps keys and values of its own"
    for before, after in zip(short, long, strict=True):
        scale = float(before.abs().max())
        if float((after[..., :-1, :] - before).abs().max()) > _TOLERANCE.get(before.dtype, 0.1) * scale:
            return "its tokens see what comes after them"
    return ""


def _tried_keys(model: PreTrainedModel, layers: int, ids: list[int]) -> list[torch.Tensor]:
    cache = Cache(layers=[BufferLayer(_TRIED) for _ in range(layers)])
    advanced(model, cache, ids, 0)
    return [layer.keys if layer.keys is None else layer.keys[:, :, : layer.used] for layer in cache.layers]


def _cache_layers(model: PreTrainedModel, config: PreTrainedConfig) -> list[Any]:
    """Return the layers of the cache that transformers itself would make for this model."""
    try:
        layers: list[Any] = DynamicCache(config=config).layers
    except (ValueError, KeyError, AttributeError) as exc:
        raise InvalidInput(f"the model {_name(model)} has layers that no cache is known for: {exc}") from exc
    if len(layers) != config.num_hidden_layers:
        raise InvalidInput(f"the model {_name(model)} does not keep keys and values in every layer")
    return layers


def _ropes(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """Return the rotary parameters, several where kinds of layers have their own; none without rotation."""
    given = getattr(config, "rope_parameters", None) or {}
    if "rope_type" in given:
        return [given]
    return [each for each in given.values() if isinstance(each, dict) and "rope_type" in each]


def _original_length(config: PreTrainedConfig) -> int:
    original = getattr(config, "original_max_position_embeddings", None)
    return int(original or config.max_position_embeddings)


def _check_within(model: PreTrainedModel, limit: int, *, context: int, what: str) -> None:
    if context > limit:
        raise InvalidInput(
            f"the model {_name(model)} cannot be served from stored prefixes up to {context} tokens: "
            f"the {what} ends at {limit}; open it with context={limit} or less"
        )


def _is_peft(model: PreTrainedModel) -> bool:
    return hasattr(model, "get_base_model")


def _name(model: PreTrainedModel) -> str:
    return repr(text_config(model).model_type)
