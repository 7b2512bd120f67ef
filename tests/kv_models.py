"""Small models with random weights, and a tokenizer with the kinds of templates there are; made here."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    # the date first, everything trimmed (Llama 3)
    "dated": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] | trim %}"
        "{% set messages = messages[1:] %}{% else %}{% set sys = '' %}{% endif %}"
        "{{ '<|im_start|>system\n\nToday Date: 26 Jul 2024\n\n' + sys + '<|im_end|>' }}"
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n\n' + message['content'] | trim + '<|im_end|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
    ),
    # no system role, turns must alternate, everything trimmed (Gemma)
    "refusing": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
    ),
    # the system text goes into the last turn, with a space of the template's own (Mistral)
    "last": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] %}"
        "{% set messages = messages[1:] %}{% endif %}{% for message in messages %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' }}"
        "{% if loop.last and sys is defined %}{{ sys + '\n\n' }}{% endif %}"
        "{{ message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] | trim + eos_token }}"
        "{% endif %}{% endfor %}"
    ),
    # leaves the thoughts out that came before an earlier answer (Qwen 3)
    "thinking": (
        "{% for message in messages %}{% set content = message['content'] %}"
        "{% if message['role'] == 'assistant' and '</think>' in content %}"
        "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "deaf": (  # to the system role
        "{% for message in messages %}{% if message['role'] != 'system' %}"
        "{{ message['role'] + ': ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
    ),
}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CORPUS = (
    "You keep an inn in a small town and answer briefly. Mira moved to Lisbon in May 2024. Her dog is "
    "called Quill; it is afraid of thunder. Where does Mira live, and who is Quill? Good evening! "
    "system user assistant The sign says that this and that and the other thing are there."
)


def tokenizer(template: str | None = "chatml") -> Any:
    """Return a tokenizer over bytes with some words in it; `template` is a name of `TEMPLATES`, or None."""
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bytes()),
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
    )
    made.chat_template = TEMPLATES[template] if template else None
    return made


@cache
def _bytes() -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=[AddedToken(each, special=True) for each in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([_CORPUS] * 4, trainer)
    return made.to_str()


def model(kind: str, *, seed: int = 0, **settings: Any) -> Any:
    """Return a model of two layers with random weights; `kind` is the name of its config in transformers."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**{**_SIZES, **_OWN.get(kind, {}), **settings})
    made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    made.generation_config.eos_token_id = 2
    return made.eval()


_SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,  # so that likelihoods lie apart
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_OWN: dict[str, dict[str, Any]] = {
    "Qwen3": {"head_dim": 12},
    "Gemma": {"head_dim": 12},
    "Mistral": {"sliding_window": None},
}
