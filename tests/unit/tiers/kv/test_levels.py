import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random

import pytest

from memos_core.errors import InvalidInput
from memos_core.tiers.kv.eviction import least_recently_used
from memos_core.tiers.kv.levels import DEVICE, HOST, Levels, LevelStats, Sizes, Worth

WAIT = 10  # seconds after which a test that hangs fails


@dataclass(frozen=True)
class Held:
    """A state: whose it is, how large, and where."""

    name: str
    size: int = 10
    place: str = DEVICE


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def down(state: Held) -> Held:
    return replace(state, place=HOST)


def up(state: Held) -> Held:
    return replace(state, place=DEVICE)


def levels(device: int, host: int = 0, **given) -> Levels[Held]:
    wanted = {"clock": Ticking(), "to_host": down, "to_device": up, "policy": least_recently_used}
    return Levels(device_bytes=device, host_bytes=host, **{**wanted, **given})


def put(shelf: Levels[Held], *names: str, size: int = 10, build: float = 1.0, parent: str = "") -> None:
    for name in names:
        shelf.put(name, Held(name, size), worth=Worth(build=build, parent=parent))


# --- one level -------------------------------------------------------------------------------


def test_what_was_put_is_had_again_and_the_rest_is_a_miss():
    shelf = levels(100)
    put(shelf, "a")
    assert (shelf.get("a"), shelf.get("b")) == ((Held("a"), DEVICE), None)


def test_without_room_the_policy_says_what_leaves():
    shelf = levels(20)
    put(shelf, "a", "b")
    shelf.get("a")
    put(shelf, "c")
    assert (shelf.keys(), shelf.sizes()) == ({"a", "c"}, Sizes(20, 0))


def test_by_default_seconds_per_byte_decide():
    shelf = Levels[Held](device_bytes=20)
    put(shelf, "costly", build=9.0)
    put(shelf, "cheap", "cheaper", build=0.001)
    assert shelf.keys() >= {"costly"}


def test_a_newcomer_of_no_value_is_the_one_that_leaves():
    shelf = Levels[Held](device_bytes=20)
    put(shelf, "a", "b")
    put(shelf, "c", build=0.0)
    assert shelf.keys() == {"a", "b"}


def test_what_is_larger_than_the_budget_moves_nothing():
    shelf = levels(20)
    put(shelf, "a", "b")
    put(shelf, "huge", size=21)
    assert (shelf.keys(), shelf.stats().refused, shelf.stats().evicted) == ({"a", "b"}, 1, 0)


def test_the_uses_of_what_left_are_remembered_when_it_comes_back():
    now = [0.0]
    shelf = Levels[Held](device_bytes=20, clock=lambda: now[0])
    put(shelf, *(["often"] * 50))
    put(shelf, "x", "y", build=1000.0)
    left = shelf.keys()
    shelf.drop("xy")
    now[0] = 86_400.0
    put(shelf, "often")
    put(shelf, "once", build=2.0)
    now[0] *= 2
    put(shelf, "new", build=1000.0)
    assert (left, shelf.keys()) == ({"x", "y"}, {"often", "new"})


def test_a_chain_loses_its_last_link_first():
    shelf = levels(30)
    put(shelf, "root")
    put(shelf, "leaf", parent="root")
    put(shelf, "other", "another")
    assert shelf.keys() == {"root", "other", "another"}


def test_a_state_put_again_takes_the_place_of_the_former_one():
    shelf = levels(100)
    put(shelf, "a", size=10)
    put(shelf, "a", size=30)
    assert (shelf.get("a"), shelf.sizes()) == ((Held("a", 30), DEVICE), Sizes(30, 0))


def test_what_is_pinned_stays_whatever_comes_until_it_is_unpinned():
    shelf = levels(20)
    shelf.pin(["a", "b"])
    put(shelf, "a", "b", "c", "d")
    held = shelf.keys()
    shelf.unpin(["a"])
    put(shelf, "e")
    assert (held, shelf.keys()) == ({"a", "b"}, {"b", "e"})


def test_pins_alone_may_exceed_the_budget_and_unpinning_mends_it():
    shelf = levels(20)
    shelf.pin("abc")
    put(shelf, "a", "b", "c")
    before = shelf.sizes()
    shelf.unpin("abc")
    assert (before, shelf.sizes()) == (Sizes(30, 0), Sizes(20, 0))


def test_what_is_dropped_is_gone_with_its_pin_and_its_past():
    shelf = levels(20)
    shelf.pin(["a"])
    put(shelf, "a", "b")
    assert (shelf.drop(["a", "a", "unknown"]), shelf.get("a"), shelf.sizes()) == (1, None, Sizes(10, 0))
    put(shelf, "a", "c", "d")
    assert shelf.keys() == {"c", "d"}


def test_clearing_leaves_nothing():
    shelf = levels(10, 10)
    put(shelf, "a", "b")
    shelf.clear()
    assert (shelf.keys(), shelf.sizes()) == (frozenset(), Sizes(0, 0))


def test_a_reader_goes_on_with_what_has_left_and_then_it_is_freed():
    class Large:
        size = 10

    shelf = Levels[Large](device_bytes=10)
    shelf.put("a", Large(), worth=Worth(build=1.0))
    found = shelf.get("a")
    assert found is not None
    state, _ = found
    shelf.drop(["a"])
    alive = weakref.ref(state)
    assert state.size == 10
    del found, state
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("wrong", [-1, 1.5, True, None])
def test_a_budget_is_a_number_of_bytes(wrong):
    with pytest.raises(InvalidInput, match="host_bytes"):
        Levels(device_bytes=1, host_bytes=wrong)


# --- two levels ------------------------------------------------------------------------------


def test_what_no_longer_fits_on_the_device_goes_down_and_comes_up_when_used():
    shelf = levels(10, 20)
    put(shelf, "a", "b")
    down_there = shelf.sizes()
    found = shelf.get("a")
    assert (down_there, found, shelf.get("a")) == (Sizes(10, 10), (Held("a"), HOST), (Held("a"), DEVICE))


def test_what_fits_in_neither_leaves():
    shelf = levels(10, 10)
    put(shelf, "a", "b", "c")
    assert (shelf.keys(), shelf.sizes()) == ({"b", "c"}, Sizes(10, 10))


def test_what_the_host_would_not_keep_is_not_copied():
    copied = []
    shelf = levels(10, 9, to_host=lambda state: copied.append(state) or down(state))
    put(shelf, "a", "b")
    assert (shelf.keys(), copied) == ({"b"}, [])


def test_what_is_worth_less_than_all_on_the_device_stays_below():
    shelf = Levels[Held](device_bytes=20, host_bytes=20, to_host=down, to_device=up)
    put(shelf, "a", "b", build=50.0)
    put(shelf, "c", build=0.1)
    first, second = shelf.get("c"), shelf.get("c")
    assert (first, second) == ((Held("c"), HOST), (Held("c"), HOST))


def test_what_is_too_large_for_the_device_is_kept_below():
    shelf = levels(10, 50)
    put(shelf, "large", size=30)
    assert (shelf.get("large"), shelf.sizes()) == ((Held("large", 30), HOST), Sizes(0, 30))


def test_without_a_device_the_host_is_the_only_level_and_nothing_is_copied():
    shelf = levels(0, 20, to_device=None, to_host=lambda state: state)
    put(shelf, "a", "b", "c")
    assert (shelf.get("c"), shelf.get("a"), shelf.sizes()) == ((Held("c"), HOST), None, Sizes(0, 20))


def test_a_form_that_is_smaller_below_is_counted_as_it_is():
    shelf = levels(10, 100, to_host=lambda state: replace(state, size=4, place=HOST))
    put(shelf, "a", "b")
    assert shelf.sizes() == Sizes(10, 4)


def test_a_pin_holds_on_the_device():
    shelf = levels(20, 20)
    shelf.pin(["a"])
    put(shelf, "a", "b", "c")
    assert [shelf.get(key)[1] for key in "acb"] == [DEVICE, DEVICE, HOST]


def test_it_is_told_what_happened():
    shelf = levels(10, 10)
    put(shelf, "a", "b", "c")
    shelf.pin(["c", "absent"])
    for key in "abc":
        shelf.get(key)
    assert shelf.stats() == LevelStats(
        entries=2,
        pinned=1,
        sizes=Sizes(10, 10),
        hits_device=1,
        hits_host=1,
        misses=1,
        demoted=2,
        evicted=1,
    )


def test_a_copy_that_fails_loses_that_state_alone_and_says_so():
    def full(_state):
        raise MemoryError

    shelf = levels(10, 10, to_host=full)
    put(shelf, "a")
    with pytest.raises(MemoryError):
        put(shelf, "b")
    assert (shelf.keys(), shelf.sizes()) == ({"b"}, Sizes(10, 0))


# --- threads ---------------------------------------------------------------------------------


class Slowly:
    """A copy that waits until it is let go."""

    def __init__(self, move) -> None:
        self.move, self.begun, self.go = move, threading.Event(), threading.Event()

    def __call__(self, state: Held) -> Held:
        self.begun.set()
        assert self.go.wait(WAIT)
        return self.move(state)


def test_a_slow_copy_holds_up_nobody():
    slow = Slowly(down)
    shelf = levels(20, 20, to_host=slow)
    put(shelf, "a", "b")
    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put, shelf, "c")
        assert slow.begun.wait(WAIT)
        meanwhile = shelf.get("a"), shelf.get("c")
        slow.go.set()
        putting.result(WAIT)
    assert meanwhile == ((Held("a"), DEVICE), (Held("c"), DEVICE))
    assert shelf.sizes() == Sizes(20, 10)


def test_what_is_erased_while_it_goes_down_does_not_come_back():
    slow = Slowly(down)
    shelf = levels(10, 20, to_host=slow)
    put(shelf, "a")
    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put, shelf, "b")
        assert slow.begun.wait(WAIT)
        shelf.drop(["a"])
        gone = shelf.get("a")
        slow.go.set()
        putting.result(WAIT)
    assert (gone, shelf.get("a"), shelf.sizes()) == (None, None, Sizes(10, 0))


def test_what_is_put_anew_while_the_former_goes_down_stays_on_the_device():
    slow = Slowly(down)
    shelf = levels(10, 20, to_host=slow)
    put(shelf, "a")
    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put, shelf, "b")
        assert slow.begun.wait(WAIT)
        shelf.drop(["a", "b"])
        put(shelf, "a", size=9)
        slow.go.set()
        putting.result(WAIT)
    assert (shelf.get("a"), shelf.sizes()) == ((Held("a", 9), DEVICE), Sizes(9, 0))


def test_what_is_erased_while_it_comes_up_does_not_come_back():
    slow = Slowly(up)
    shelf = levels(10, 20, to_device=slow)
    put(shelf, "a", "b")
    with ThreadPoolExecutor(1) as thread:
        getting = thread.submit(shelf.get, "a")
        assert slow.begun.wait(WAIT)
        shelf.drop(["a"])
        slow.go.set()
        got = getting.result(WAIT)
    assert (got, shelf.get("a"), shelf.sizes()) == ((Held("a"), HOST), None, Sizes(10, 0))


@pytest.mark.parametrize(("device", "host"), [(100, 0), (60, 80), (0, 100)])
def test_eight_threads_get_their_own_and_never_what_was_erased(device, host):
    shelf = Levels[Held](device_bytes=device, host_bytes=host, to_host=down, to_device=up)
    erased = [f"erased {n}" for n in range(8)]
    put(shelf, *erased)
    after = threading.Barrier(8, action=lambda: shelf.drop(erased))

    def work(number: int) -> list[str]:
        draw, wrong = Random(number), []
        for _ in range(20):
            shelf.get(draw.choice(erased))
        after.wait(WAIT)
        for step in range(300):
            name = str(draw.randrange(30))
            match draw.randrange(8):
                case 0 | 1 | 2:
                    put(shelf, name, size=5 + int(name), build=draw.random())
                case 3:
                    shelf.drop([name])
                case 4:
                    shelf.pin([name])
                    shelf.unpin([name])
                case _:
                    found = shelf.get(name)
                    if found is not None and found[0].name != name:
                        wrong.append(f"{name}: {found}")
            if shelf.get(draw.choice(erased)) is not None:
                wrong.append(f"erased, at step {step}")
        return wrong

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [[]] * 8
    sizes, held = shelf.sizes(), sorted(shelf.keys())
    assert (sizes.device <= device, sizes.host <= host) == (True, True)
    assert sum(sizes) == sum(5 + int(name) for name in held)
