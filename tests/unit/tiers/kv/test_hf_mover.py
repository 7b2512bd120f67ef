import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")

import torch

from memos_core.testing import ScriptedEngine
from memos_core.tiers.kv.engines import levels
from memos_core.tiers.kv.hf_mover import Mover, mover_of
from memos_core.tiers.kv.levels import Levels, Worth
from tests.unit.tiers.kv.segments import a_state

CPU = Mover(device=torch.device("cpu"))


def same(one, other):
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return (one.start, one.end) == (other.start, other.end) and all(
        a.dtype == b.dtype and a.equal(b) for a, b in pairs
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_and_back_is_the_same_state(dtype):
    state = a_state(start=4, dtype=dtype)
    lowered = CPU.to_host(state)
    assert same(lowered, state)
    assert same(CPU.to_device(lowered), state)


def test_what_was_lowered_stands_by_itself():
    state = a_state()
    lowered = CPU.to_host(state)
    before = lowered.keys[0].clone()
    state.keys[0].zero_()
    assert lowered.keys[0].equal(before)


def test_what_is_there_already_is_not_copied():
    state = a_state()
    assert CPU.to_device(state).keys[0] is state.keys[0]


def test_the_cpu_needs_no_mover_and_another_device_has_one():
    assert mover_of(torch.device("cpu")) is None
    assert mover_of(torch.device("cuda", 1)) == Mover(device=torch.device("cuda", 1))


def test_without_word_of_the_memory_nothing_is_held():
    assert CPU.budget == 0


def test_a_quarter_of_the_memory_is_the_budget(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 80 << 30))
    assert Mover(device=torch.device("cuda", 0)).budget == 20 << 30


def test_levels_move_states_down_and_up_with_it():
    state, other = a_state(), a_state(start=20)
    both = Levels(
        device_bytes=state.size, host_bytes=state.size, to_host=CPU.to_host, to_device=CPU.to_device
    )
    both.put("a", state, worth=Worth(build=1.0))
    both.put("b", other, worth=Worth(build=2.0))
    found = {key: both.get(key) for key in "ab"}
    assert both.stats().demoted == 1
    assert {level for _, level in found.values()} == {"device", "host"}
    assert same(found["a"][0], state)
    assert same(found["b"][0], other)


@pytest.mark.parametrize(("given", "device"), [(None, 0), (7, 7)])
def test_an_engine_with_a_mover_gets_two_levels(given, device):
    class Moving(ScriptedEngine):
        mover = CPU

    assert levels(Moving(), device_bytes=given, host_bytes=9).budgets == (device, 9)
    assert levels(ScriptedEngine(), device_bytes=given, host_bytes=9).budgets == (9, 0)
