"""Composed answers in each form, before and after a restart: what can be done is decided by the form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("transformers", reason="needs the extra local-llm")

from memos_core import Composition, InvalidInput, MemCube, Reply, Runtime, Sampling
from memos_core.tiers.kv.hf import HfEngine
from tests import kv_models

FACTS = ("Mira moved to Lisbon.", "Her dog is called Quill.", "It is afraid of thunder.")


@pytest.fixture
def told(cube: MemCube) -> MemCube:
    for fact in FACTS:
        cube.remember(fact)
    return cube


@pytest.fixture
def ask(told: MemCube) -> Iterator[Callable[..., Reply]]:
    """Ask as a process does that was just started: with nothing in RAM."""
    model = kv_models.model("Llama", max_position_embeddings=2048)

    def one(form: str, how: Composition) -> Reply:
        engine = HfEngine(model, kv_models.tokenizer(), form=form)
        with Runtime(engine, form=form) as runtime:
            return runtime.chat("Where?", told, compose=how, sampling=Sampling(max_tokens=4))

    return one


@pytest.mark.parametrize("form", ["exact", "int8", "sparse-50", "int8+sparse-25"])
def test_composing_works_in_every_form_after_a_restart_as_before(ask, form):
    first, second = ask(form, Composition()), ask(form, Composition())
    assert (first.reuse.built, second.reuse.built) == (1 + len(FACTS), 0)
    assert (second.reuse.segments, second.reuse.level) == (1 + len(FACTS), "disk")


@pytest.mark.parametrize(
    "how", [Composition(recompute="first"), Composition(recompute="deviating", amount=0.1)]
)
def test_what_a_form_cannot_do_is_refused_before_anything_is_computed(ask, memos, how):
    with pytest.raises(InvalidInput, match='recompute="none"'):
        ask("sparse-50", how)
    assert memos.segments() == []


@pytest.mark.parametrize(
    ("form", "recompute"), [("exact", "first"), ("bfloat16", "first"), ("sparse-9", "none")]
)
def test_how_segments_are_mended_follows_from_their_form(form, recompute):
    assert Composition().of(form) == Composition(recompute=recompute)
    assert Composition(recompute="none").of(form) == Composition(recompute="none")
