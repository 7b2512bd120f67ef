"""What a real engine's memory holds after an erasure, and after it was closed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

pytest.importorskip("transformers", reason="needs the extra local-llm")

from memos_core import MemCube, MemOS, Runtime, Sampling
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.levels import Levels, Worth
from tests import kv_models

SHORT = Sampling(max_tokens=4)


@pytest.fixture
def engine() -> Iterator[HfEngine]:
    model = kv_models.model("Llama", max_position_embeddings=2048)
    with closing(HfEngine(model, kv_models.tokenizer())) as engine:
        yield engine


def is_blank(engine: HfEngine) -> bool:
    """Whether nothing is left in the buffers that the next call uses."""
    layers = [layer for cache in engine._rooms._free for layer in cache.layers]
    assert layers
    return not any(bool(each.any()) for layer in layers for each in (layer.keys, layer.values))


def forgotten(memos: MemOS, cube: MemCube) -> None:
    cube.forget(cube.list()[0].id)


def all_forgotten(memos: MemOS, cube: MemCube) -> None:
    memos.forget_cube(cube.name)


def archived(memos: MemOS, cube: MemCube) -> None:
    cube.archive(cube.list()[0].id)


@pytest.mark.parametrize("erase", [forgotten, all_forgotten, archived])
def test_working_memory_is_overwritten_when_something_is_erased(memos, cube, engine, erase):
    cube.remember("Mira moved to Lisbon.")
    with Runtime(engine) as runtime:
        runtime.chat("Where?", cube, sampling=SHORT)
        assert not is_blank(engine)
        erase(memos, cube)
        assert is_blank(engine)


def test_working_memory_is_overwritten_though_nothing_of_the_erased_was_stored(memos, cube, engine, clock):
    cube.remember("Mira moved to Lisbon.")
    brief = cube.remember("Her dog is called Quill.", ttl=timedelta(minutes=1))
    with Runtime(engine) as runtime:
        for erase in (lambda: cube.forget(brief.id), memos.upkeep):
            runtime.chat("Where?", cube, reuse=False, sampling=SHORT)
            clock.move(minutes=2)
            cube.remember("It is afraid of thunder.", ttl=timedelta(minutes=1))
            assert not is_blank(engine)
            clock.move(minutes=2)
            erase()
            assert is_blank(engine)


def test_what_only_lacks_room_leaves_working_memory_alone(memos, cube, engine):
    cube.remember("Mira moved to Lisbon.")
    with Runtime(engine) as runtime:
        runtime.chat("Where?", cube, sampling=SHORT)
        assert memos.evict(memos.segments()) > 0
        assert not is_blank(engine)


@pytest.mark.parametrize("teaches", [False, True])
def test_a_closed_runtime_holds_no_model(cube, teaches):
    cube.remember("Mira moved to Lisbon.")
    model = kv_models.model("Llama", max_position_embeddings=2048)
    gone = weakref.ref(model)
    parameters = [weakref.ref(each) for each in model.parameters()]
    runtime = Runtime(HfEngine(model, kv_models.tokenizer()))
    del model
    runtime.chat("Where?", cube, sampling=SHORT)
    if teaches:
        pytest.importorskip("peft", reason="needs the extra lora")
        runtime._teaching()
    runtime.close()
    gc.collect()
    assert gone() is None
    assert not any(each() is not None for each in parameters)
    assert not runtime.engine._rooms._free


def test_an_answer_that_outlives_its_runtime_leaves_no_state_there(memos, cube, engine):
    cube.remember("Mira moved to Lisbon.")
    runtime = Runtime(engine)
    stream = runtime.stream("Where?", cube, sampling=SHORT)
    next(stream)
    runtime.close()
    stream.finished()
    assert (runtime._levels.keys(), list(engine._rooms._free)) == (frozenset(), [])


def test_closed_levels_keep_nothing():
    class State:
        size = 1

    levels: Levels[State] = Levels(device_bytes=10)
    levels.put("a", State(), worth=Worth(build=1.0))
    levels.close()
    levels.put("b", State(), worth=Worth(build=1.0))
    assert (levels.keys(), levels.sizes().device) == (frozenset(), 0)
