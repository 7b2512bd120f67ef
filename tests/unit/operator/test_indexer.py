import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from memos_core import BackendError, BackendUnavailable
from memos_core.operator import indexer as module
from memos_core.operator.indexer import Indexer
from memos_core.testing import InMemoryIndex

SOON = 10.0  # seconds a background thread may take on a busy machine


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.01)
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(module, "RETRY_LAST", 0.04)


class Meddled(InMemoryIndex):
    """Calls `meddle` once, right after it was told; notes the batches; raises `broken` if it is set."""

    def __init__(self):
        super().__init__(dimensions=64)
        self.meddle = None
        self.broken = None
        self.batches = []
        self.told = threading.Event()

    def upsert(self, entries):
        if self.broken is not None:
            raise self.broken
        super().upsert(entries)
        self.batches.append([entry.text for entry in entries])
        meddle, self.meddle = self.meddle, None
        if meddle:
            meddle()
        self.told.set()


@pytest.fixture
def index():
    return Meddled()


def held(index):
    return {memory_id: (entry.version, entry.text) for memory_id, entry in index._held.items()}


def settles(indexer):
    """Wait until nothing is owed."""
    for _ in range(int(SOON / 0.02)):
        if not indexer.owed():
            return True
        threading.Event().wait(0.02)
    return False


def test_draining_makes_the_index_a_projection_of_the_catalog(indexer, index, add, revise, forget):
    kept, revised, forgotten = add("kept", "old", "forgotten")
    first = indexer.drain()
    revise(revised, "new")
    forget(forgotten)
    second = indexer.drain()
    assert (first, second, indexer.owed()) == (3, 2, 0)
    assert held(index) == {kept.id: (1, "kept"), revised.id: (2, "new")}


def test_draining_when_nothing_is_owed_asks_no_index(catalog):
    def unasked():
        raise AssertionError

    assert Indexer(catalog, index=unasked, model=lambda: "m@1").drain() == 0


def test_the_index_is_told_in_batches(indexer, index, add, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)
    add(*map(str, range(10)))
    assert (indexer.drain(), [len(batch) for batch in index.batches]) == (10, [4, 4, 2])


def test_draining_may_stop_while_a_little_is_owed(indexer, add, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)
    add(*map(str, range(10)))
    assert (indexer.drain(until=6), indexer.owed()) == (4, 6)


def test_an_outage_raises_and_the_debt_stays_free_to_be_paid(indexer, index, add):
    add("one")
    index.down = True
    with pytest.raises(BackendUnavailable):
        indexer.drain()
    owed = indexer.owed()
    index.down = False
    assert (owed, indexer.drain(), indexer.owed()) == (1, 1, 0)


@pytest.mark.parametrize(
    "broken", [BackendError("refused"), RuntimeError("a bug of its own"), KeyboardInterrupt()]
)
def test_whatever_the_index_raises_the_debt_is_free_at_once(indexer, index, add, broken):
    add("one")
    index.broken = broken
    with pytest.raises(type(broken)):
        indexer.drain()
    index.broken = None
    assert indexer.drain() == 1


def test_a_revision_while_the_index_is_told_is_told_as_well(indexer, index, add, revise):
    memory = add("old")[0]
    index.meddle = lambda: revise(memory, "new")
    while indexer.owed():
        indexer.drain()
    assert held(index) == {memory.id: (2, "new")}


def test_a_memory_forgotten_while_the_index_is_told_does_not_stay_in_it(indexer, index, add, forget):
    memory = add("secret")[0]
    index.meddle = lambda: forget(memory)
    while indexer.owed():
        indexer.drain()
    assert held(index) == {}


def test_two_payers_at_once_pay_everything_once(indexer, index, catalog, add, embedder, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 5)
    add(*map(str, range(60)))
    other = Indexer(catalog, index=lambda: index, model=lambda: embedder.identity)
    with ThreadPoolExecutor(4) as threads:
        settled = sum(threads.map(lambda each: each.drain(), [indexer, other] * 2))
    told = [text for batch in index.batches for text in batch]
    assert (settled, sorted(told), indexer.owed()) == (60, sorted(map(str, range(60))), 0)


def test_the_background_pays_soon_after_a_poke(indexer, index, add):
    memory = add("one")[0]
    with indexer.writing():
        pass
    assert (settles(indexer), held(index)) == (True, {memory.id: (1, "one")})


@pytest.mark.parametrize(
    "broken", [BackendUnavailable("down"), BackendError("refused"), RuntimeError("a bug"), ValueError("x")]
)
def test_the_background_outlives_every_failure_and_pays_when_it_is_over(indexer, index, add, broken):
    index.broken = broken
    add("one")
    with indexer.writing():
        pass
    threading.Event().wait(0.2)
    owed = indexer.owed()
    index.broken = None
    assert (owed, settles(indexer)) == (1, True)


def test_while_it_is_paused_nobody_pays(indexer, index, add):
    add("one")
    with indexer.paused():
        with indexer.writing():
            pass
        threading.Event().wait(0.2)
        batches = list(index.batches)
    assert (batches, settles(indexer)) == ([], True)


def test_closing_waits_for_the_batch_in_hand_and_leaves_the_rest(indexer, index, add, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 1)
    add("one", "two")
    index.meddle = lambda: threading.Event().wait(0.2)
    with indexer.writing():
        pass
    index.told.wait(SOON)
    indexer.close()
    assert (len(index.batches), indexer.owed()) in ((1, 1), (2, 0))  # two, if it was faster than this thread
    assert not indexer._thread.is_alive()


def test_closing_what_never_began_is_no_error(catalog):
    Indexer(catalog, index=lambda: None, model=lambda: "m@1").close()


def test_debt_is_told_by_cube(indexer, add, new_cube, header):
    other = new_cube("other")
    add("here")
    add("there", "and there", cube=other)
    assert (indexer.owed(), indexer.owed(cube_id=header.id), indexer.owed(cube_id=other.id)) == (3, 1, 2)
