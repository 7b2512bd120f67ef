"""What goes wrong around a store: other processes, lost folders, full disks, clocks, threads."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from memos_core import (
    BackendError,
    BackendUnavailable,
    Closed,
    Conflict,
    Jobs,
    Locked,
    MemCube,
    MemOS,
    MemOSError,
    Message,
    MigrationNeeded,
    NotFound,
    Reindexed,
    Right,
    Where,
)
from memos_core.embed import CallableEmbedder
from memos_core.operator import indexer as indexer_module
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.vault.keyring import count_without_keys, key_rows
from tests.unit.test_every_verb_is_checked import CALLS

SOON = 20.0


def run(code, *args, **given):
    """Run a script in another process; return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **given)
    assert told.returncode == 0, told.stderr
    return told.stdout


def index():
    return InMemoryIndex(dimensions=64)


# --- two processes ---------------------------------------------------------------------------

TRY = """
    import sys
    from memos_core import Locked, MemOS
    from memos_core.testing import HashEmbedder, InMemoryIndex
    try:
        with MemOS.open(sys.argv[1], embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64)) as memos:
            print(memos.cube("notes").count())
    except Locked as exc:
        print(exc.holder, "|", exc)
"""


def test_a_second_process_is_told_who_has_the_folder_and_what_to_do(memos, folder):
    told = run(TRY, folder)
    assert told.startswith(
        f"process {os.getpid()} | {folder} is in use by process {os.getpid()}: close it there"
    )


def test_a_second_handle_in_this_process_is_told_so(memos, open_memos):
    with pytest.raises(Locked, match="share one MemOS handle"):
        open_memos()


def test_another_process_goes_on_where_this_one_closed(open_memos, folder):
    with open_memos() as memos:
        memos.cube("notes").ingest([Message("Ana", f"turn {number}") for number in range(7)])
    assert run(TRY, folder).strip() == "7"


# --- the index -------------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(indexer_module, "LINGER", 0.01)
    monkeypatch.setattr(indexer_module, "RETRY_FIRST", 0.02)


def test_while_the_index_is_down_nothing_is_lost_and_own_writes_are_read(open_memos, index, hurried):
    memos = open_memos(resident_bytes=0)
    cube = memos.cube("notes")
    told = cube.remember("The old harbour")
    memos.drain()
    index.down = True
    new = cube.remember("The new harbour")
    cube.revise(told.id, "The older harbour")
    gone = cube.ingest([Message("Ana", "A harbour to forget")])[0]
    cube.forget(gone.id)
    found, lag = {memory.text for memory in cube.recall("harbour").memories}, memos.lag()
    with pytest.raises(BackendUnavailable):
        memos.drain()
    index.down = False
    memos.drain()
    assert (found, lag, memos.lag()) == ({"The new harbour", "The older harbour"}, 4, 0)
    assert {memory_id: entry.version for memory_id, entry in index._held.items()} == {told.id: 2, new.id: 1}


def test_the_background_pays_when_the_index_is_back(memos, cube, index, hurried):
    index.down = True
    cube.remember("The harbour")
    time.sleep(0.1)
    index.down = False
    deadline = time.monotonic() + SOON
    while memos.lag() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (memos.lag(), index.count()) == (0, 1)


def test_what_was_owed_at_the_end_is_paid_after_reopening(open_memos):
    down = index()
    down.down = True
    with open_memos(index=down) as memos:
        memos.cube("notes").ingest([Message("Ana", f"turn {number}") for number in range(9)])
    up = index()
    with open_memos(index=up) as memos:
        assert (memos.lag(), memos.drain(), up.count()) == (9, 9, 9)


@pytest.mark.slow
def test_reads_go_on_when_the_milvus_folder_is_deleted_and_reindex_heals(tmp_path, caplog):
    texts = [
        f"The {animal} lives at number {number}"
        for number, animal in enumerate("cat dog fox owl hen".split())
    ]
    with MemOS.open(tmp_path / "store", resident_bytes=0) as memos:
        cube = memos.cube("notes")
        cube.ingest([Message("Ana", text) for text in texts])
        memos.drain()
        shutil.rmtree(tmp_path / "store" / "milvus.db")
        during = cube.recall("Where does the owl live?", k=1).texts
        later = cube.remember("The badger lives under the bridge").text
        own = cube.recall("Where does the badger live?", k=1).texts
        ill = memos.doctor().ok
        healed = memos.reindex()
        after = cube.recall("Where does the owl live?", k=1).texts
        assert (during, own, ill) == ([texts[3]], [later], False)
        assert (healed.indexed, after, memos.lag(), memos.doctor().ok) == (6, [texts[3]], 0, True)
    with MemOS.open(tmp_path / "store", resident_bytes=0) as memos:  # as it was, without naming an embedder
        assert memos.cube("notes").recall("Where does the badger live?", k=1).texts == [later]


@pytest.mark.slow
def test_a_milvus_folder_deleted_between_two_runs_is_found_by_the_doctor_and_healed(tmp_path):
    with MemOS.open(tmp_path / "store", resident_bytes=0) as memos:
        memos.cube("notes").ingest([Message("Ana", f"The harbour of town {number}") for number in range(5)])
        memos.drain()
    shutil.rmtree(tmp_path / "store" / "milvus.db")
    with MemOS.open(tmp_path / "store", resident_bytes=0) as memos:
        found, ill = len(memos.cube("notes").recall("harbour town")), memos.doctor()
        memos.reindex()
        assert (found, ill.ok, memos.doctor().ok) == (5, False, True)
        assert [finding.remedy for finding in ill.findings if not finding.ok] == ["run reindex"]


# --- a full disk -----------------------------------------------------------------------------

FILL = """
    import resource, signal, sys
    from memos_core import BackendError, MemOS, Message
    from memos_core.testing import HashEmbedder, InMemoryIndex

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def room(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    memos = MemOS.open(sys.argv[1], embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64))
    cube = memos.cube("notes")
    kept, refused = [], []
    room(2_000_000)
    for number in range(200):
        text = f"memory {number} " + "word " * 2000
        try:
            kept.append(cube.remember(text).id)
        except BackendError as exc:
            refused.append(str(exc))
            if len(refused) == 3:
                break
    listed = sorted(memory.id for memory in cube.list())
    found = len(cube.recall("memory word", k=5))
    room(resource.RLIM_INFINITY)
    kept.append(cube.remember("there is room again").id)
    after = sorted(memory.id for memory in cube.list())
    doctor = memos.doctor().ok
    memos.close()
    print(len(refused), "free some space" in refused[0], listed == sorted(kept[:-1]), found)
    print(after == sorted(kept), doctor, len(kept) > 5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_full_disk_refuses_the_write_and_loses_nothing(tmp_path):
    assert run(FILL, tmp_path / "store").split() == ["3", "True", "True", "5", "True", "True", "True"]


CLOSE_WHEN_FULL = """
    import resource, signal, sys
    from memos_core import MemOS, MemOSError
    from memos_core.testing import HashEmbedder, InMemoryIndex

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    given = {"embedder": HashEmbedder(), "index": InMemoryIndex(dimensions=64)}
    memos = MemOS.open(sys.argv[1], **given)
    memos.cube("notes").remember("kept")
    memos.drain()
    memos.cube("notes").recall("kept")  # a use to write down
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        memos.close()
    except MemOSError as exc:
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with MemOS.open(sys.argv[1], embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64)) as again:
        print(again.cube("notes").recall("kept").texts)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_store_closed_on_a_full_disk_can_be_opened_again(tmp_path):
    assert run(CLOSE_WHEN_FULL, tmp_path / "store").strip() == "['kept']"


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 3 MiB, where this machine lets us mount one."""
    where = tmp_path / "tiny"
    where.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or os.geteuid() or mount is None:
        pytest.skip("mounting a small disk needs root")
    told = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", where], capture_output=True, check=False
    )
    if told.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    yield where
    subprocess.run(["umount", "-l", where], check=False)


def filled(disk):
    """Write until nothing more fits; return the file to delete for room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def test_a_really_full_disk_refuses_and_serves_again_when_there_is_room(tiny_disk, open_memos):
    memos = open_memos(tiny_disk / "store")
    cube = memos.cube("notes")
    kept = [cube.remember("the first").id]
    ballast = filled(tiny_disk)
    with pytest.raises(BackendError, match="free some space"):  # noqa: PT012 - it is the first that finds no room
        for number in range(300):
            memory = cube.remember(f"number {number} " + "word " * 200)
            kept.append(memory.id)
    full = sorted(memory.id for memory in cube.list())
    ballast.unlink()
    kept.append(cube.remember("the last").id)
    assert (full, sorted(memory.id for memory in cube.list()), memos.doctor().ok) == (
        sorted(kept[:-1]),
        sorted(kept),
        True,
    )


@pytest.mark.usefixtures("no_copied_catalogs")
def test_a_store_cannot_be_begun_on_a_full_disk_and_says_so(tiny_disk, open_memos):
    ballast = filled(tiny_disk)
    with pytest.raises(MemOSError):
        open_memos(tiny_disk / "store")
    ballast.unlink()
    assert open_memos(tiny_disk / "store").cube("notes").remember("there is room").text == "there is room"


# --- clocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-4000, -1, 1, 4000])
def test_a_clock_that_jumps_neither_loses_nor_doubles_nor_reorders(memos, cube, clock, index, days):
    first = cube.ingest([Message("Ana", "turn 1")], session="s")[0]
    cube.remember("A statement")
    clock.move(days=days)
    cube.ingest([Message("Ana", "turn 2")], session="s")
    cube.revise(first.id, "turn 1, revised", expected=1)
    cube.remember("A statement")
    memos.drain()
    told = (
        [memory.text for memory in cube.list()],
        [revision.version for revision in cube.history(first.id)],
        sorted(cube.recall("turn").texts[:2]),
        memos.lag(),
        index.count(),
    )
    assert told == (
        ["turn 1, revised", "A statement", "turn 2"], [1, 2], ["turn 1, revised", "turn 2"], 0, 3,
    )  # fmt: skip


def test_debt_that_was_claimed_before_the_clock_went_back_is_paid(memos, cube, clock, index):
    index.down = True
    cube.remember("The harbour")
    with pytest.raises(BackendUnavailable):
        memos.drain()
    clock.move(days=-365)
    index.down = False
    assert (memos.drain() + index.count(), memos.lag()) == (2, 0)


def test_what_expires_is_gone_for_every_reader_at_that_moment(memos, cube, clock):
    memory = cube.remember("The code is 1234", ttl=timedelta(hours=1), tags=["code"])
    kept = cube.remember("The code is never written down")
    cube.link(memory.id, "supersedes", kept.id)
    clock.move(minutes=59, seconds=59)
    before = (cube.count(), len(cube.recall("code")), len(cube.list(tags=["code"])), cube.get(memory.id).id)
    clock.move(seconds=1)
    after = (cube.count(), [each.id for each in cube.recall("code").memories], list(cube.list(tags=["code"])))
    assert (before, after) == ((2, 2, 1, memory.id), (1, [kept.id], []))
    for verb in (cube.get, cube.history, cube.sources, cube.find):
        with pytest.raises(NotFound):
            verb(memory.id)


def test_a_statement_that_expired_can_be_made_anew(cube, clock):
    old = cube.remember("The code is 1234", ttl=timedelta(hours=1))
    clock.move(hours=2)
    new = cube.remember("The code is 1234")
    assert (new.id != old.id, new.version, cube.count()) == (True, 1, 1)


# --- another embedder ------------------------------------------------------------------------


class Interrupted(HashEmbedder):
    """Embeds `left` batches and is interrupted then."""

    left = 1 << 30
    meddle = None

    def __init__(self):
        super().__init__(dimensions=128)

    def embed(self, texts):
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= 1
        meddle, self.meddle = self.meddle, None
        if meddle:
            meddle()
        return super().embed(texts)


class AnyWidth(InMemoryIndex):
    """Takes the vectors of whichever embedder the store has: it is begun anew when they change."""

    def upsert(self, entries):
        if entries and entries[0].vectors.shape[1] != self.dimensions:
            self.dimensions = entries[0].vectors.shape[1]
            self._held.clear()
        super().upsert(entries)

    def search(self, vector, **given):
        return super().search(vector, **given) if len(vector) == self.dimensions else []


@pytest.fixture
def small_batches(monkeypatch):
    from memos_core import care

    monkeypatch.setattr(care, "EMBED_BATCH", 10)


@pytest.fixture(params=[1 << 30, 0], ids=["resident", "proposed"])
def moving(request, open_memos, small_batches):
    """A store with 45 memories, about to move to another embedder."""
    memos = open_memos(index=AnyWidth(dimensions=64), resident_bytes=request.param)
    memos.cube("notes").ingest([Message("Ana", f"turn {number} of the harbour") for number in range(45)])
    memos.drain()
    return memos


def vectors_by(memos):
    with memos._core.catalog.read() as view:
        rows = view.connection.exec_driver_sql("SELECT model, count(*) FROM vectors GROUP BY model").all()
    return dict(tuple(row) for row in rows)


def test_an_interrupted_reindex_goes_on_where_it_stopped(moving, folder, clock):
    new, cube = Interrupted(), moving.cube("notes")
    new.left = 2
    with pytest.raises(KeyboardInterrupt):
        moving.reindex(embedder=new)
    halfway = (
        vectors_by(moving),
        moving.stats().embedder,
        cube.recall("turn 7 harbour", k=1).texts,
        moving.lag(),
    )
    cube.remember("Written in between")
    new.left, progress = 1 << 30, []
    done = moving.reindex(embedder=new, progress=lambda done, of: progress.append((done, of)))
    assert halfway == (
        {"hashed-words-64@1": 45, "hashed-words-128@1": 20},
        "hashed-words-64@1",
        ["turn 7 of the harbour"],
        0,
    )  # fmt: skip
    assert (done, vectors_by(moving), moving.lag()) == (
        Reindexed(embedded=26, indexed=46, embedder="hashed-words-128@1"),
        {"hashed-words-128@1": 46},
        0,
    )  # fmt: skip
    assert (progress[:3], progress[-1]) == ([(10, 26), (20, 26), (26, 26)], (46, 46))
    assert (cube.recall("turn 7 harbour", k=1).texts, cube.recall("between", k=1).texts) == (
        ["turn 7 of the harbour"], ["Written in between"],
    )  # fmt: skip


def test_after_a_reindex_the_store_opens_with_the_new_embedder_only(moving, open_memos):
    moving.reindex(embedder=Interrupted())
    moving.close()
    with open_memos(embedder=HashEmbedder(dimensions=128), index=AnyWidth(dimensions=128)) as memos:
        assert memos.cube("notes").recall("turn 7 harbour", k=1).texts == ["turn 7 of the harbour"]
    with open_memos(index=index()) as memos, pytest.raises(MigrationNeeded):
        memos.cube("notes").recall("turn 7")


def test_one_reads_and_writes_while_a_reindex_runs(moving):
    cube, found, made = moving.cube("notes"), [], []
    new, over = Interrupted(), threading.Event()

    def use():
        number = 0
        while not over.is_set() or number < 3:
            made.append(cube.remember(f"harbour note {number}").id)
            found.append(len(cube.recall("turn 7 harbour", k=3)))
            number += 1

    thread = threading.Thread(target=use)
    thread.start()
    moving.reindex(embedder=new)
    over.set()
    thread.join()
    moving.drain()
    lost = [
        memory_id
        for memory_id in made
        if memory_id not in {m.id for m in cube.recall("harbour note", k=500).memories}
    ]
    assert (set(found), lost, moving.lag(), set(vectors_by(moving))) == ({3}, [], 0, {new.identity})


def test_a_memory_revised_while_it_was_embedded_anew_is_found_by_its_new_words(moving):
    cube, new = moving.cube("notes"), Interrupted()
    memory = cube.list()[0]
    new.meddle = lambda: cube.revise(memory.id, "A lighthouse keeper")
    moving.reindex(embedder=new)
    with moving._core.catalog.read() as view:
        header = view.enter(cube.id, moving.principal, Right.READ)
        row = next(key_rows(view.connection, header, new.identity, [1]))
    wanted = new.embed(["Ana: A lighthouse keeper"]).astype(np.float16).tobytes()
    assert (row.version, row.vectors == wanted) == (2, True)


def test_a_memory_forgotten_while_it_was_embedded_anew_stays_forgotten(moving):
    cube, new = moving.cube("notes"), Interrupted()
    memory = cube.list()[0]
    new.meddle = lambda: cube.forget(memory.id)
    moving.reindex(embedder=new)
    assert (cube.count(), vectors_by(moving), moving._core.index().count()) == (44, {new.identity: 44}, 44)


class Waiting(HashEmbedder):
    """Stops in the middle of a call until it is let go."""

    def __init__(self):
        super().__init__(dimensions=64)
        self.hold, self.reached, self.go = None, threading.Event(), threading.Event()

    def _wait(self, verb):
        if self.hold == verb:
            self.hold = None
            self.reached.set()
            assert self.go.wait(SOON)

    def embed(self, texts):
        vectors = super().embed(texts)
        self._wait("embed")
        return vectors

    def embed_query(self, text):
        vector = super().embed_query(text)
        self._wait("embed_query")
        return vector


@pytest.fixture
def overtaken(open_memos, index):
    """Begin an act with the old embedder, change over to another in the middle of it, and let it end."""
    old, new = (
        Waiting(),
        CallableEmbedder(HashEmbedder(dimensions=64).embed, identity="another@1", dimensions=64),
    )
    memos = open_memos(embedder=old)
    cube = memos.cube("notes")
    cube.ingest([Message("Ana", f"turn {number} of the harbour") for number in range(5)])

    def overtake(hold, act):
        old.hold = hold
        with ThreadPoolExecutor(1) as thread:
            pending = thread.submit(act, cube)
            assert old.reached.wait(SOON)
            memos.reindex(embedder=new)
            old.go.set()
            return cube, pending.result(SOON)

    return overtake


def test_a_recall_overtaken_by_a_change_of_embedder_answers_and_so_do_all_after_it(overtaken):
    cube, during = overtaken("embed_query", lambda cube: cube.recall("harbour turn 3", k=2))
    assert (len(during), len(cube.recall("harbour turn 3", k=2)), len(cube.recall("turn 4", k=5))) == (
        2,
        2,
        5,
    )


WRITES = {
    "remember": lambda cube: cube.remember("A lighthouse keeper"),
    "ingest": lambda cube: cube.ingest([Message("Bo", "A lighthouse keeper")])[0],
    "revise": lambda cube: cube.revise(cube.list()[0].id, "A lighthouse keeper"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_overtaken_by_a_change_of_embedder_is_found_afterwards(overtaken, verb):
    cube, memory = overtaken("embed", WRITES[verb])
    with cube._core.catalog.read() as view:
        lacking = count_without_keys(view.connection, "another@1")
    assert (cube.recall("lighthouse keeper", k=1).memories[0].id, lacking) == (memory.id, 0)


# --- closing and reopening -------------------------------------------------------------------


def test_reopening_keeps_everything(open_memos, clock):
    with open_memos() as memos:
        cube = memos.cube("notes")
        one = cube.remember(
            "Mira lives in Lisbon", tags=["home"], sensitivity=3, priority=-2, ttl=timedelta(days=3)
        )
        two, _ = cube.ingest(
            [Message("Ana", "Hello", at=clock.now, id="m1"), Message("Bo", "Hi")], session="s"
        )
        cube.revise(one.id, "Mira lives in Porto", kind="place")
        cube.link(two.id, "supports", one.id)
        cube.recall("Mira", k=1)
        memos.stats()  # writes the uses down
        before = [(memory, cube.history(memory.id), cube.sources(memory.id)) for memory in cube.list()]
        answer = [hit.memory.id for hit in cube.recall("Where does Mira live?")]
        memos.stats()
        before = [(cube.get(memory.id), *rest) for memory, *rest in before]
    with open_memos(index=index()) as memos:
        cube = memos.cube("notes")
        after = [(memory, cube.history(memory.id), cube.sources(memory.id)) for memory in cube.list()]
        assert (after, [hit.memory.id for hit in cube.recall("Where does Mira live?")]) == (before, answer)


def test_opening_and_closing_changes_nothing(open_memos, folder, catalog_rows):
    with open_memos() as memos:
        memos.cube("notes").remember("kept")
        memos.drain()
    before = catalog_rows(folder)
    for _ in range(3):
        with open_memos(index=index()) as memos:
            memos.cube("notes")
    assert catalog_rows(folder) == before


STORE_VERBS = {
    "as_principal": lambda memos: memos.as_principal("bob"),
    "cube": lambda memos: memos.cube("notes"),
    "cubes": lambda memos: memos.cubes(),
    "compose": lambda memos: memos.compose(),
    "load": lambda memos: memos.load("never"),
    "lag": lambda memos: memos.lag(),
    "drain": lambda memos: memos.drain(),
    "reindex": lambda memos: memos.reindex(),
    "segments": lambda memos: memos.segments(),
    "evict": lambda memos: memos.evict([]),
    "pin": lambda memos: memos.pin(None),
    "verify_segments": lambda memos: memos.verify_segments([]),
    "adapters": lambda memos: memos.adapters(),
    "drop_adapters": lambda memos: memos.drop_adapters([]),
    "export_adapter": lambda memos: memos.export_adapter(None, "nowhere"),
    "activate_adapter": lambda memos: memos.activate_adapter(None),
    "deactivate_adapter": lambda memos: memos.deactivate_adapter(None),
    "group": lambda memos: memos.group("friends"),
    "groups": lambda memos: memos.groups(),
    "plan": lambda memos: memos.plan(),
    "calibrate": lambda memos: memos.calibrate(),
    "predictor": lambda memos: memos.predictor(),
    "audit": lambda memos: memos.audit(),
    "verify_audit": lambda memos: memos.verify_audit(),
    "forget_cube": lambda memos: memos.forget_cube("notes"),
    "forget_principal": lambda memos: memos.forget_principal("bob"),
    "erasures": lambda memos: memos.erasures(),
    "verify_erasure": lambda memos: memos.verify_erasure("0"),
    "upkeep": lambda memos: memos.upkeep(),
    "worker": lambda memos: memos.worker(),
    "extract_with": lambda memos: memos.extract_with(None),
    "stats": lambda memos: memos.stats(),
    "overview": lambda memos: memos.overview(),
    "doctor": lambda memos: memos.doctor(),
}


def verbs(kind):
    return {name for name, each in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_every_verb_of_a_closed_store_raises_closed(open_memos):
    memos = open_memos()
    cube = memos.cube("notes")
    cube.remember("x")
    memos.close()
    memos.close()
    assert verbs(MemOS) - {"close"} == set(STORE_VERBS)
    for act in STORE_VERBS.values():
        with pytest.raises(Closed, match=r"MemOS\.open"):
            act(memos)
    for name in verbs(Jobs):
        with pytest.raises(Closed, match=r"MemOS\.open"):
            CALLS[f"jobs.{name}"](cube, "m")
    for name in verbs(MemCube):
        with pytest.raises(Closed, match=r"MemOS\.open"):
            CALLS[name](cube, "m")


def test_closing_while_the_index_is_told_ends_and_loses_nothing(open_memos, hurried):
    class Slow(InMemoryIndex):
        begun = threading.Event()

        def upsert(self, entries):
            self.begun.set()
            time.sleep(0.3)
            super().upsert(entries)

    slow = Slow(dimensions=64)
    memos = open_memos(index=slow)
    memos.cube("notes").remember("kept")
    assert slow.begun.wait(SOON)
    closing = threading.Thread(target=memos.close, daemon=True)
    closing.start()
    closing.join(SOON)
    assert not closing.is_alive()
    with open_memos(index=index()) as again:
        assert again.cube("notes").count() == 1


def test_a_reindex_while_the_index_is_told_ends_and_leaves_nothing_out(open_memos, hurried):
    class Slow(InMemoryIndex):
        def upsert(self, entries):
            time.sleep(0.02)
            super().upsert(entries)

    slow = Slow(dimensions=64)
    memos = open_memos(index=slow)
    cube = memos.cube("notes")
    threads = [
        threading.Thread(target=lambda n=n: [cube.remember(f"{n} {each}") for each in range(8)], daemon=True)
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    again = threading.Thread(target=lambda: [memos.reindex() for _ in range(3)], daemon=True)
    again.start()
    for thread in (*threads, again):
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in (*threads, again))
    memos.drain()
    assert (cube.count(), slow.count(), memos.lag()) == (24, 24, 0)


# --- eight threads ---------------------------------------------------------------------------


@pytest.mark.parametrize("resident_bytes", [1 << 30, 0], ids=["resident", "proposed"])
def test_of_eight_threads_one_wins_each_version_and_nobody_errs(open_memos, resident_bytes, index):
    memos = open_memos(resident_bytes=resident_bytes)
    cube = memos.cube("notes")
    contested = cube.remember("version 1 of the harbour")
    rounds, wins, late, kept = 3, [], [], []
    barrier = threading.Barrier(8)

    def live(number):
        for turn in range(1, rounds + 1):
            barrier.wait(SOON)
            try:
                cube.revise(contested.id, f"version {turn + 1} by {number}", expected=turn)
                wins.append((turn, number))
            except Conflict as exc:
                late.append((exc.expected, exc.found > exc.expected))
            mine = [cube.remember(f"harbour {turn} of {number}, {each}") for each in "ab"]
            assert mine[0].id in {memory.id for memory in cube.recall(mine[0].text, k=300).memories}
            cube.forget(mine[1].id)
            assert mine[1].id not in {memory.id for memory in cube.recall(mine[1].text, k=300).memories}
            kept.append(mine[0].id)
        return True

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(live, range(8))) == [True] * 8
    memos.drain()
    assert sorted(turn for turn, _ in wins) == list(range(1, rounds + 1))
    assert sorted(late) == [(turn, True) for turn in range(1, rounds + 1) for _ in range(7)]
    assert [revision.text for revision in cube.history(contested.id)][1:] == [
        f"version {turn + 1} by {number}" for turn, number in sorted(wins)
    ]
    assert {memory.id for memory in cube.list()} == {contested.id, *kept} == set(index._held)


def test_one_memory_is_forgotten_once_however_many_try(cube):
    memory = cube.remember("The harbour")
    barrier = threading.Barrier(8)

    def forget(_number):
        barrier.wait(SOON)
        try:
            return cube.forget(memory.id).erased["memories"]
        except NotFound:
            return 0

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(forget, range(8))) == [0] * 7 + [1]


def test_one_statement_is_one_memory_however_many_make_it(cube):
    barrier = threading.Barrier(8)

    def remember(number):
        barrier.wait(SOON)
        return cube.remember("The harbour", tags=[f"by {number}"]).id

    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(remember, range(8)))
    assert (len(ids), cube.count(), len(cube.sources(*ids)), len(cube.get(*ids).tags)) == (1, 1, 8, 8)


def test_one_cube_is_made_however_many_ask_for_it(memos):
    barrier = threading.Barrier(8)

    def make(_number):
        barrier.wait(SOON)
        return memos.cube("notes").id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make, range(8)))) == len(memos.cubes()) == 1


def test_turns_of_one_session_written_at_once_have_places_of_their_own(cube):
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda n: cube.ingest([Message("Ana", f"{n} {each}") for each in "ab"], session="s"), range(8)
            )
        )
    places = [memory.header.descriptive.position for memory in cube.list()]
    assert places == list(range(16))


def test_a_statement_made_again_as_a_greater_secret_is_one(cube):
    cube.remember("The code is 1234")
    cube.remember("The code is 1234", sensitivity=9)
    assert cube.recall("code", where=Where(max_sensitivity=3)).texts == []
