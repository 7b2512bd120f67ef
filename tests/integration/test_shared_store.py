"""Several processes on one store: each notices what the others do before it answers.

Two handles with cores of their own share nothing but the catalog and the index, as two processes do; what
only real processes can show is shown with real ones. The index is the twin, in the place of a server.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta

import pytest
from sqlalchemy import update

from memos_core import (
    FormatError,
    InvalidInput,
    Locked,
    MemOS,
    MigrationNeeded,
    NotFound,
    Runtime,
    Settings,
)
from memos_core.index import IndexSlot
from memos_core.testing import HashEmbedder, InMemoryIndex, ScriptedEngine
from memos_core.vault import schema
from memos_core.vault.outbox import LEASE

SERVER = "http://127.0.0.1:1"  # nobody is there: what stands for it is the twin


class Server(InMemoryIndex):
    """The twin as a server: it has no files of ours, and may be begun anew."""

    def scrub(self):
        pass

    def drop(self):
        self._held.clear()


@pytest.fixture(autouse=True)
def twin(monkeypatch):
    """What every process finds at the server's address; vectors of another width are kept elsewhere there."""
    kept = {64: Server(dimensions=64), 32: Server(dimensions=32)}
    monkeypatch.setattr(IndexSlot, "_milvus", lambda _slot, _identity, dimensions: kept[dimensions])
    return kept[64]


@pytest.fixture
def url(postgres):
    name = postgres.take()
    yield postgres.url(name)
    postgres.give_back(name)


@pytest.fixture
def opened(url, folder):
    """Open the store once more, as another process does."""
    handles = []

    def open_one(where=folder, **given):
        given = {"embedder": HashEmbedder(dimensions=64), "catalog": url, "index": SERVER, **given}
        handles.append(MemOS.open(where, **given))
        return handles[-1]

    yield open_one
    for memos in handles:
        memos.close()


def texts(memos, query="the mill", **where):
    return set(memos.cube("notes", **where).recall(query, k=20).texts)


@pytest.mark.parametrize("resident", [0, 64 << 20])
def test_each_recalls_what_the_other_wrote_and_no_more_what_it_erased(opened, resident):
    one, other = opened(resident_bytes=resident), opened(resident_bytes=resident)
    first = one.cube("notes").remember("the mill closed")
    assert texts(other) == {"the mill closed"}
    other.cube("notes").remember("the mill burnt")
    assert texts(one) == {"the mill closed", "the mill burnt"}
    one.cube("notes").revise(first.id, "the mill opened")
    assert texts(other) == {"the mill opened", "the mill burnt"}
    other.cube("notes").forget(first.id)
    assert texts(one) == {"the mill burnt"}
    with pytest.raises(NotFound):
        one.cube("notes").get(first.id)


def test_a_right_that_was_granted_or_revoked_elsewhere_counts_at_once(opened):
    one, other = opened(), opened()
    ana, bo = one.as_principal("ana").cube("notes"), other.as_principal("bo")
    ana.remember("the mill closed", visibility="shared")
    with pytest.raises(NotFound):
        bo.cube("notes", owner="ana")
    ana.grant("bo", "read")
    assert texts(bo, owner="ana") == {"the mill closed"}
    ana.revoke("bo", "read")
    with pytest.raises(NotFound):
        bo.cube("notes", owner="ana")


def files(folder):
    return sorted((folder / "blobs").glob("??/*"))


@pytest.fixture
def runtimes():
    with Runtime(ScriptedEngine()) as one, Runtime(ScriptedEngine()) as other:
        yield one, other


LOOKS = {
    "answers of another cube": lambda memos, runtime: runtime.chat("Where?", memos.cube("desk")),
    "erases in another cube": lambda memos, _runtime: memos.forget_cube("desk"),
    "drains": lambda memos, _runtime: memos.drain(),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("apart", [False, True], ids=["one folder", "a folder each"])
def test_states_that_another_process_erased_go_with_the_next_look(
    opened, runtimes, folder, tmp_path, look, apart
):
    where = tmp_path / "apart" if apart else folder
    one, other = opened(), opened(where)
    cubes = one.cube("notes"), other.cube("notes")
    memory = cubes[0].remember("the mill closed " * 100)
    cubes[0].remember("the mill burnt")
    other.cube("desk").remember("the desk is tidy")
    for runtime, cube in zip(runtimes, cubes, strict=True):
        runtime.chat("Where?", cube)
    held = runtimes[1]._levels
    before = held.keys()
    assert len(before) == len(files(where)) == 3  # our own words, and two parts with memories
    cubes[0].forget(memory.id)
    LOOKS[look](other, runtimes[1])
    known = {segment.key for segment in other.segments()}
    assert len(held.keys() & before) == 1
    assert held.keys() <= known
    assert len(files(where)) == len(known)


def test_what_another_process_stores_meanwhile_is_not_let_go(opened, runtimes):
    one, other = opened(), opened()
    for memos, runtime in zip((one, other), runtimes, strict=True):
        cube = memos.cube("notes")
        for number in range(3):
            cube.remember(f"the mill closed {number} times")
            runtime.chat("Where?", cube)
    for memos, runtime in zip((one, other), runtimes, strict=True):
        assert runtime.chat("Where?", memos.cube("notes")).reuse.built == 0
        assert runtime._levels.keys() <= {segment.key for segment in memos.segments()}
    assert len(files(one._core.folder)) == len(one.segments())


def test_a_stamp_tells_what_another_process_changed(opened):
    one, other = opened(), opened()
    before = one.cube("notes").stamp
    other.cube("notes").remember("the mill closed")
    assert one.cube("notes").stamp != before


def test_what_one_owes_the_index_another_pays(opened, twin):
    one, other = opened(), opened()
    memory = one.cube("notes").remember("the mill closed")
    other.drain()
    assert (one.lag(), [each.id for each in twin._held.values()]) == (0, [memory.id])


def quiet(memos):
    """Have no background thread: only `drain` pays."""
    memos._core.indexer.writing = nullcontext
    return memos


def lease(memos, **values):
    with memos._core.catalog.connection() as connection:
        now = memos._core.catalog.moment(connection)
        until = now + values.pop("left")
        connection.execute(update(schema.outbox).values(lease_by="another", lease_until=until, **values))


def test_one_process_at_a_time_tells_the_index_and_the_next_waits_for_it(opened, twin):
    one = quiet(opened())
    one.cube("notes").remember("the mill closed")
    lease(one, left=timedelta(seconds=0.6))
    claimed = one._core.indexer.pay()
    assert (claimed, twin.count()) == (0, 0)  # somebody is at it
    assert (one.drain(), twin.count()) == (1, 1)  # who died at it, and was waited for


def test_a_lease_that_ends_between_two_looks_leaves_no_debt(opened, twin, monkeypatch):
    one = quiet(opened())
    one.cube("notes").remember("the mill closed")
    lease(one, left=timedelta(minutes=1))
    pay = one._core.indexer.pay

    def pay_and_end():
        paid = pay()
        if not paid:
            lease(one, left=timedelta(seconds=-1))
        return paid

    monkeypatch.setattr(one._core.indexer, "pay", pay_and_end)
    assert (one.drain(), twin.count()) == (1, 1)


def test_opening_the_store_takes_no_lease_from_who_is_alive(opened):
    one = quiet(opened())
    one.cube("notes").remember("the mill closed")
    lease(one, left=LEASE / 2)
    assert opened()._core.indexer.pay() == 0


def test_a_change_of_embedder_is_followed(opened, monkeypatch):
    known = {"a": HashEmbedder(dimensions=64), "b": HashEmbedder(dimensions=32)}
    monkeypatch.setattr("memos_core.core.open_embedder", known.__getitem__)
    monkeypatch.setattr("memos_core.care.open_embedder", known.__getitem__)
    one = opened(embedder="a")
    other, stubborn = opened(embedder=None), opened(embedder="a")
    one.cube("notes").remember("the mill closed")
    assert texts(other) == texts(stubborn) == {"the mill closed"}
    one.reindex(embedder="b")
    assert texts(other) == {"the mill closed"}
    other.cube("notes").remember("the mill burnt")
    assert (texts(one), other.stats().embedder) == (
        {"the mill closed", "the mill burnt"},
        known["b"].identity,
    )
    with pytest.raises(MigrationNeeded):
        texts(stubborn)


def test_words_that_were_erased_are_looked_for_in_every_row(opened):
    one, other = opened(), opened()
    receipt = one.cube("notes").forget(one.cube("notes").remember("the xylotomous mill").id)
    check = one.verify_erasure(receipt)
    assert (check.ok, check.cells > 0, "write-ahead log" in check.unseen) == (True, True, True)
    with other._core.catalog.connection() as connection:
        connection.execute(schema.store.insert().values(key="note", value="a xylotomous mill"))
        connection.execute(schema.store.insert().values(key="other", value="the xylotomous mill"))
    assert [(each.place, each.form) for each in one.verify_erasure(receipt).residues] == [
        ("catalog.db/store", "utf-8")
    ]


# --- the folder ---------------------------------------------------------------------------------


def test_with_an_index_of_its_own_a_process_is_alone(opened, folder, url):
    opened(index=InMemoryIndex(dimensions=64))
    with pytest.raises(Locked, match="catalog='postgresql"):
        opened(index=InMemoryIndex(dimensions=64))


def test_a_folder_whose_catalog_is_on_a_server_is_not_opened_without_it(opened, folder):
    opened().close()
    with pytest.raises(FormatError, match="with `catalog=`"):
        MemOS.open(folder, embedder=HashEmbedder(dimensions=64))
    assert {path.name for path in folder.iterdir()} == {"blobs", "catalog.elsewhere"}


def test_a_folder_with_a_catalog_of_its_own_is_not_opened_with_another(opened, folder):
    MemOS.open(folder, embedder=HashEmbedder(dimensions=64), index=InMemoryIndex(dimensions=64)).close()
    with pytest.raises(FormatError, match="a catalog of its own"):
        opened()


def test_a_folder_belongs_to_one_store(opened, postgres):
    opened()
    name = postgres.take()
    with pytest.raises(FormatError, match="another store"):
        opened(catalog=postgres.url(name))
    postgres.give_back(name)


# --- written down -------------------------------------------------------------------------------


def test_settings_name_the_catalog_and_open_it_again(opened, url, folder, monkeypatch):
    known = HashEmbedder(dimensions=64)
    monkeypatch.setattr("memos_core.core.open_embedder", lambda _: known)
    memos = opened(embedder="a")
    memos.cube("notes").remember("the mill closed")
    settings = memos.settings
    memos.close()
    assert settings == Settings(folder=str(folder.resolve()), catalog=url, embedder="a", index=SERVER)
    with MemOS.connect(settings) as again:
        assert texts(again) == {"the mill closed"}


def test_a_password_is_never_written_down(opened, url, monkeypatch):
    monkeypatch.setattr("memos_core.core.open_embedder", lambda _: HashEmbedder(dimensions=64))
    memos = opened(embedder="a", catalog=f"{url}&password=hunter2")
    with pytest.raises(InvalidInput, match="pgpass") as caught:
        _ = memos.settings
    assert "hunter2" not in str(caught.value)


def test_what_is_no_url_is_refused(folder):
    with pytest.raises(InvalidInput, match="URL"):
        MemOS.open(folder, catalog=5)


# --- real processes -----------------------------------------------------------------------------

WRITER = """
import sys
from memos_core import MemOS
from memos_core.index import IndexSlot
from memos_core.testing import HashEmbedder, InMemoryIndex
twin = InMemoryIndex(dimensions=64)
IndexSlot._milvus = lambda *_: twin
folder, url, name, count = sys.argv[1:]
embedder = HashEmbedder(dimensions=64)
with MemOS.open(folder, catalog=url, index="http://127.0.0.1:1", embedder=embedder) as memos:
    cube = memos.as_principal("ana").cube("notes")
    for number in range(int(count)):
        cube.remember(f"{name} {number}")
        print(number, flush=True)
"""


def writer(folder, url, name, count):
    command = [sys.executable, "-c", WRITER, str(folder), url, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_nothing_is_lost_that_three_processes_write_at_once_and_one_that_is_killed_holds_up_nobody(
    opened, folder, url
):
    writers = [writer(folder, url, name, 20) for name in ("a", "b")]
    doomed = writer(folder, url, "c", 100_000)
    acknowledged = [int(doomed.stdout.readline()) for _ in range(10)]
    doomed.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in doomed.stdout.read().splitlines()]
    for each in (doomed, *writers):
        each.communicate(timeout=120)
    assert [each.returncode for each in (doomed, *writers)] == [-signal.SIGKILL, 0, 0]
    ana = opened().as_principal("ana")
    cube = ana.cube("notes")
    names = Counter(memory.text.split()[0] for memory in cube.list(limit=None))
    assert (names["a"], names["b"]) == (20, 20)
    assert len(acknowledged) <= names["c"] <= len(acknowledged) + 1
    assert ana.verify_audit().ok
    changes = [line.change for line in ana.audit() if line.verb == "remember"]
    assert changes == sorted(set(changes))
