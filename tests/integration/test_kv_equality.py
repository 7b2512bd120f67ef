"""An attached prefix changes no answer: greedy tokens after a chain are those of a full prefill, in fp32.

Every mix is of a model, a template, texts of some length, a number of turns, and a way to cut the
prompt into links, at the parts' ends or anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import pytest

from memos_core.inference import Prompt, Turn
from memos_core.reply import Sampling
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")

from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.states import TensorState

_SMALL = [
    ("Llama", "chatml"),
    ("Llama", "thinking"),
    ("Qwen2", "dated"),
    ("Qwen3", "chatml"),
    ("Qwen3", "last"),
    ("Gemma", "refusing"),
    ("GPT2", None),
    ("Mistral", "dated"),
    ("Phi", "chatml"),
    ("GPTNeoX", "deaf"),
]
_LENGTHS = (0, 12, 60, 200)  # words of memories
_TURNS = (1, 5)
_WORDS = (
    "Mira moved to Lisbon in May and keeps a dog called Quill 日本 ⚡ that fears thunder or 42 ships".split()
)


class Mix(NamedTuple):
    """What differs from case to case."""

    words: int
    turns: int
    seed: int


@pytest.fixture(scope="module", params=_SMALL, ids=lambda each: f"{each[0]}-{each[1]}")
def small(request: pytest.FixtureRequest) -> Iterator[HfEngine]:
    kind, template = request.param
    model = kv_models.model(kind, max_position_embeddings=2048)
    with closing(HfEngine(model, kv_models.tokenizer(template))) as engine:
        yield engine


@pytest.fixture(scope="module")
def real() -> Iterator[HfEngine]:
    with closing(HfEngine.open("smollm2-135m", device="cpu")) as engine:
        yield engine


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("turns", _TURNS)
@pytest.mark.parametrize("words", _LENGTHS)
def test_small_models_answer_the_same(small: HfEngine, words: int, turns: int, seed: int) -> None:
    prompt = _prompt(small, Mix(words, turns, seed))
    alone = _said(small, prompt.ids, [], tokens=24)
    for ends in _links(prompt, seed):
        assert _said(small, prompt.ids, _chain(small, prompt.ids, ends), tokens=24) == alone, ends


@pytest.mark.slow
@pytest.mark.parametrize(
    "mix", [Mix(12, 1, 0), Mix(60, 1, 1), Mix(60, 3, 2), Mix(120, 1, 3), Mix(200, 3, 4), Mix(0, 3, 5)]
)
def test_the_real_model_answers_the_same(real: HfEngine, mix: Mix) -> None:
    prompt = _prompt(real, mix)
    alone = _said(real, prompt.ids, [], tokens=12)
    for ends in _links(prompt, mix.seed)[:2]:
        assert _said(real, prompt.ids, _chain(real, prompt.ids, ends), tokens=12) == alone, ends


def _prompt(engine: HfEngine, mix: Mix) -> Prompt:
    draw = random.Random(repr(mix))
    words = draw.choices(_WORDS, k=mix.words)
    parts = [
        "You keep an inn.\n",
        *(" ".join(words[at : at + 20]) + ".\n" for at in range(0, len(words), 20)),
    ]
    roles = ("user", "assistant")
    turns = [
        Turn(roles[at % 2], " ".join(draw.choices(_WORDS, k=draw.randint(1, 12)))) for at in range(mix.turns)
    ]
    return engine.encode(parts if mix.words else (), turns)


def _links(prompt: Prompt, seed: int) -> list[list[int]]:
    """Return ways to cut: at the parts' ends where there are any, somewhere, and into single tokens."""
    draw = random.Random(seed)
    last = len(prompt.ids) - 1
    anywhere = sorted(draw.sample(range(1, last), min(5, last - 1)))
    at_ends = list(prompt.cuts) or [last // 2]
    return [at_ends, anywhere, [*range(1, 4), last]]


def _chain(engine: HfEngine, ids: Sequence[int], ends: Sequence[int]) -> list[TensorState]:
    states: list[TensorState] = []
    for end in ends:
        states.append(engine.prefill(ids[:end], states))
    return states


def _said(engine: HfEngine, ids: Sequence[int], base: Sequence[TensorState], *, tokens: int) -> list[int]:
    return [token.id for token in engine.generate(ids, base, Sampling(max_tokens=tokens))]
