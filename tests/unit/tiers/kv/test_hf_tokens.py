from __future__ import annotations

from typing import Any

import pytest

from memos_core.reply import Sampling
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")

import torch

from memos_core.tiers.kv.hf_text import Texts
from memos_core.tiers.kv.hf_tokens import Chooser, Speller, likelihoods

LOGITS = torch.log(torch.tensor([0.5, 0.2, 0.2, 0.1]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_k": 1}, [1.0, 0, 0, 0]),
        ({"top_k": 9}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 0.5}, [1.0, 0, 0, 0]),
        ({"top_p": 0.9}, [5 / 9, 2 / 9, 2 / 9, 0]),
        ({"top_p": 1e-9}, [1.0, 0, 0, 0]),
        ({"temperature": 0.5}, [0.25 / 0.34, 0.04 / 0.34, 0.04 / 0.34, 0.01 / 0.34]),
        ({"top_k": 3, "top_p": 0.6}, [5 / 7, 2 / 7, 0, 0]),
    ],
)
def test_likelihoods(options: dict[str, Any], expected: list[float]) -> None:
    found = likelihoods(LOGITS, Sampling(**{"temperature": 1.0, **options}))
    assert sorted(found.tolist()) == pytest.approx(sorted(expected), abs=1e-6)
    assert found.argmax() == 0


def test_greedy_takes_the_likeliest() -> None:
    assert Chooser(Sampling()).choose(torch.tensor([0.1, 3.0, 2.9])) == 1


def test_equal_seeds_choose_equally_and_leave_the_common_generator_alone() -> None:
    before = torch.random.get_rng_state()
    runs = [[Chooser(Sampling(temperature=1, seed=5)).choose(LOGITS)] for _ in range(2)]
    chooser, other = (Chooser(Sampling(temperature=1, seed=5)) for _ in range(2))
    assert [chooser.choose(LOGITS) for _ in range(20)] == [other.choose(LOGITS) for _ in range(20)]
    assert runs[0] == runs[1]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_seed_answers_differ() -> None:
    flat = torch.zeros(1000)
    draws = {
        tuple(chooser.choose(flat) for _ in range(8)) for chooser in (Chooser(Sampling(temperature=1)),) * 2
    }
    draws |= {tuple(Chooser(Sampling(temperature=1)).choose(flat) for _ in range(8))}
    assert len(draws) > 1


@pytest.mark.parametrize("text", ["plain words", "été ½", "日本語 🎉🎊", "a\n\n b", "🎉", "�", "x � y"])
def test_an_answer_is_spelled_without_half_characters(text: str) -> None:
    texts = Texts(kv_models.tokenizer())
    speller = Speller(texts.decode)
    pieces = [speller.spell(token) for token in texts.literal(text)]
    assert "".join(pieces).rstrip("�") == text.rstrip("�")
    assert all(not set(piece) - set(text) for piece in pieces)


def test_bytes_that_are_no_text_are_shown_once_and_spoil_nothing_after_them() -> None:
    texts = Texts(kv_models.tokenizer())
    broken = [token for part in ("日", "🎉") for token in texts.literal(part)[:2]]
    ids = [*broken, *broken, *texts.literal("then 日本 again")]
    speller = Speller(texts.decode)
    assert "".join(speller.spell(token) for token in ids) == texts.decode(ids)


def test_a_decoder_that_takes_back_what_it_showed_is_waited_for() -> None:
    shown = {(1,): "ab", (1, 2): "x", (1, 2, 3): "abc"}
    speller = Speller(lambda ids: shown.get(tuple(ids), "ab" if ids == [1] else "c"))
    assert [speller.spell(1), speller.spell(2), speller.spell(3)] == ["ab", "", "c"]
