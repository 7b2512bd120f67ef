"""Every verb of the API asks who is asking: a verb that is not in the tables below fails here."""

from __future__ import annotations

import atexit
import functools
import inspect
import shutil
import tempfile
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from memos_core import (
    Adapter,
    ComposedCubes,
    EngineIdentity,
    Entry,
    Evaluation,
    Forbidden,
    InvalidInput,
    Jobs,
    MemCube,
    MemOS,
    Message,
    NotFound,
    Principal,
    Recipe,
    Records,
    Right,
    Runtime,
    Segment,
    Store,
    WrongPurpose,
)
from memos_core.adapter import base_of
from memos_core.governance import NEEDS
from memos_core.testing import HashEmbedder, InMemoryIndex, RoteTeacher, ScriptedEngine
from memos_core.vault.schema import audit
from memos_core.vault.schema_jobs import jobs
from tests.conftest import DIMENSIONS, Clock


def one_in(cube, state, otherwise):
    """Return the id of a memory in this state, if the cube shows one."""
    return next((memory.id for memory in cube.list(state=state)), otherwise)


def store_of(cube):
    return MemOS(cube._core, cube._principal)


def together(cube):
    """Return a view over the cube as somebody may have kept it."""
    return ComposedCubes(cube._core, [cube.id], cube._principal)


def twig_of(cube):
    """Return the fork of Ana's cube; everybody may read it."""
    return MemOS(cube._core, Principal("ana", purpose=cube._principal.purpose)).cube("twig")


def segment_of(cube):
    """Return a segment as somebody may have noted it; that there is such a one is not said."""
    identity = ScriptedEngine().identity
    assert isinstance(identity, EngineIdentity)
    sizes = {"start": 0, "tokens": 1, "size": 1, "build_seconds": 0.0, "saved_seconds": 0.0, "hits": 0}
    uses = {"created_at": cube._core.catalog.clock(), "last_used": None, "pinned": False, "stale": None}
    return Segment(
        key="0" * 64,
        cube=cube.id,
        cube_name=cube.name,
        identity=identity,
        kind="chain",
        form="exact",
        sources=(),
        **sizes,
        **uses,
    )


def job_of(cube, state="waiting"):
    """Return the id of a job about Ana's cube, as somebody may have noted it, whatever it was for."""
    if cube._core.is_closed:
        return "0" * 32
    wanted = select(jobs.c.id).where(jobs.c.cube_id == cube.id, jobs.c.state == state)
    with cube._core.catalog.read() as view:
        return view.connection.execute(wanted.limit(1)).scalar_one()


def run_of(cube):
    """Return the number of the run that Ana's cube has had, as somebody may have noted it."""
    with cube._core.catalog.read() as view:
        wanted = select(audit.c.change).where(audit.c.cube_id == cube.id, audit.c.verb == "consolidate")
        return view.connection.execute(wanted.limit(1)).scalar() or 1


def adapter_of(cube):
    """Return an adapter as somebody may have noted it; that there is such a one is not said."""
    evaluation = Evaluation(questions=1, choice=1.0, choice_base=0.0, contains=1.0, unknown=1.0, neutral=1.0)
    return Adapter(
        key="0" * 64,
        cube=cube.id,
        cube_name=cube.name,
        base=base_of(ScriptedEngine().identity),
        recipe=Recipe(),
        steps=1,
        evaluation=evaluation,
        failed=(),
        size=1,
        train_seconds=1.0,
        created_at=cube._core.catalog.clock(),
        stale=None,
        sources=(),
    )


def exported(cube):
    """Return None for who is let in: there is no such adapter; who is not meets another error before."""
    with pytest.raises(NotFound) as caught:
        store_of(cube).export_adapter(adapter_of(cube), "nowhere")
    if caught.value.what != "adapter":
        raise caught.value


def recited(cube):
    """Return None for who is let in: there is no such adapter; who is not meets another error before."""
    with Runtime(RoteTeacher()) as runtime, pytest.raises(NotFound) as caught:
        runtime.recite(cube)
    if caught.value.what != "adapter":
        raise caught.value


def examined(cube):
    """Return None for who is let in: there is no such adapter; who is not meets another error before."""
    with Runtime(RoteTeacher()) as runtime, pytest.raises(NotFound) as caught:
        runtime.examine(cube, adapter_of(cube))
    if caught.value.what != "adapter":
        raise caught.value


def chosen(cube, verb):
    """Return None for who is let in, as above."""
    with pytest.raises(NotFound) as caught:
        getattr(store_of(cube), verb)(adapter_of(cube))
    if caught.value.what != "adapter":
        raise caught.value


def rehearsed(cube):
    """Rehearse; who is let in may see nothing that is long enough to be taught."""
    with Runtime(RoteTeacher()) as runtime, suppress(InvalidInput):
        return runtime.rehearse(cube)


def trained(cube):
    with Runtime(RoteTeacher()) as runtime:
        return runtime.train(cube, recipe=Recipe(steps=1))


FILES = Path(tempfile.mkdtemp(prefix="memcubes-"))
atexit.register(shutil.rmtree, FILES, ignore_errors=True)


@functools.cache
def a_file():
    """Return a file with one memory, from another store."""
    given = {"embedder": HashEmbedder(dimensions=64), "index": InMemoryIndex(dimensions=64)}
    with MemOS.open(FILES / "store", **given) as memos:
        memos.cube("notes").remember("words from a file")
        return memos.cube("notes").dump(FILES / "given.memcube").path


def asked(cube, verb, *given):
    with Runtime(ScriptedEngine()) as runtime:
        answer = getattr(runtime, verb)(*given, cube)
        return answer.finished() if verb == "stream" else answer


CALLS = {
    "remember": lambda cube, m: cube.remember("new words"),
    "ingest": lambda cube, m: cube.ingest([Message("Eve", "new words")]),
    "revise": lambda cube, m: cube.revise(m, "other words"),
    "copy": lambda cube, m: cube.copy(m),
    "forget": lambda cube, m: cube.forget(m),
    "link": lambda cube, m: cube.link(cube.list()[1].id if cube.list()[1:] else "x", "supports", m),
    "classify": lambda cube, m: cube.classify(m, priority=3),
    "activate": lambda cube, m: cube.activate(m),
    "archive": lambda cube, m: cube.archive(m),
    "restore": lambda cube, m: cube.restore(one_in(cube, "archived", m)),
    "freeze": lambda cube, m: cube.freeze(m),
    "unfreeze": lambda cube, m: cube.unfreeze(one_in(cube, "frozen", m)),
    "grant": lambda cube, m: cube.grant("zoe", "read"),
    "revoke": lambda cube, m: cube.revoke("zoe"),
    "grants": lambda cube, m: cube.grants(),
    "limit": lambda cube, m: cube.limit(ttl=timedelta(days=9)),
    "limits": lambda cube, m: cube.limits(),
    "recall": lambda cube, m: cube.recall("words"),
    "get": lambda cube, m: cube.get(m),
    "list": lambda cube, m: cube.list(),
    "changes": lambda cube, m: cube.changes(),
    "history": lambda cube, m: cube.history(m),
    "sources": lambda cube, m: cube.sources(m),
    "lineage": lambda cube, m: cube.lineage(m),
    "find": lambda cube, m: cube.find(m[:20]),
    "count": lambda cube, m: cube.count(),
    "lag": lambda cube, m: cube.lag(),
    "snapshot": lambda cube, m: cube.snapshot("new"),
    "snapshots": lambda cube, m: cube.snapshots(),
    "drop_snapshot": lambda cube, m: cube.drop_snapshot("then"),
    "diff": lambda cube, m: cube.diff("then"),
    "revert": lambda cube, m: cube.revert(m, to=1),
    "rollback": lambda cube, m: cube.rollback("then"),
    "consolidate": lambda cube, m: cube.consolidate(),
    "undo": lambda cube, m: cube.undo(run_of(cube)),
    "fork": lambda cube, m: cube.fork("new"),
    "merge": lambda cube, m: cube.merge(twig_of(cube), on_conflict="ours"),
    "compose": lambda cube, m: store_of(cube).compose(cube),
    "compose.recall": lambda cube, m: together(cube).recall("words"),
    "compose.get": lambda cube, m: together(cube).get(m),
    "compose.list": lambda cube, m: together(cube).list(),
    "compose.count": lambda cube, m: together(cube).count(),
    "forget_cube": lambda cube, m: store_of(cube).forget_cube(cube.name, owner=cube.owner),
    "dump": lambda cube, m: cube.dump(FILES / f"{uuid.uuid4().hex}.memcube"),
    "imports": lambda cube, m: cube.imports(),
    "load": lambda cube, m: store_of(cube).load(a_file(), name=cube.name, owner=cube.owner),
    "records.put": lambda cube, m: cube.records.put([Entry(key="new", data={}, texts=("new words",))]),
    "records.get": lambda cube, m: cube.records.get(["k"], renew=True),
    "records.list": lambda cube, m: cube.records.list(),
    "records.recall": lambda cube, m: cube.records.recall("words"),
    "records.renew": lambda cube, m: cube.records.renew(["k"]),
    "records.sweep": lambda cube, m: cube.records.sweep(),
    "records.count": lambda cube, m: cube.records.count(),
    "publish": lambda cube, m: Store("memory://every-verb").publish(cube),
    "jobs.submit": lambda cube, m: store_of(cube).jobs.submit("sweep", cube=cube),
    "jobs.list": lambda cube, m: store_of(cube).jobs.list(cube=cube),
    "jobs.get": lambda cube, m: store_of(cube).jobs.get(job_of(cube)),
    "jobs.retry": lambda cube, m: store_of(cube).jobs.retry(job_of(cube, "cancelled")),
    "jobs.cancel": lambda cube, m: store_of(cube).jobs.cancel(job_of(cube)),
    "jobs.schedule": lambda cube, m: store_of(cube).jobs.schedule("new", "0 3 * * *", "sweep", cube=cube),
    "jobs.schedules": lambda cube, m: store_of(cube).jobs.schedules(cube=cube),
    "jobs.unschedule": lambda cube, m: store_of(cube).jobs.unschedule("nightly", cube=cube),
    "segments": lambda cube, m: store_of(cube).segments(cube),
    "evict": lambda cube, m: store_of(cube).evict([segment_of(cube)]),
    "pin": lambda cube, m: store_of(cube).pin(segment_of(cube)),
    "verify_segments": lambda cube, m: store_of(cube).verify_segments([segment_of(cube)]),
    "adapters": lambda cube, m: store_of(cube).adapters(cube),
    "drop_adapters": lambda cube, m: store_of(cube).drop_adapters([adapter_of(cube)]),
    "export_adapter": lambda cube, m: exported(cube),
    "activate_adapter": lambda cube, m: chosen(cube, "activate_adapter"),
    "deactivate_adapter": lambda cube, m: chosen(cube, "deactivate_adapter"),
    "examine": lambda cube, m: examined(cube),
    "train": lambda cube, m: trained(cube),
    "recite": lambda cube, m: recited(cube),
    "rehearse": lambda cube, m: rehearsed(cube),
    "chat": lambda cube, m: asked(cube, "chat", "What?"),
    "stream": lambda cube, m: asked(cube, "stream", "What?"),
    "build": lambda cube, m: asked(cube, "build"),
    "prefix": lambda cube, m: asked(cube, "prefix"),
    "credit": lambda cube, m: cube.credit([m], "words 0"),
    "working": lambda cube, m: cube.working("s1"),
}
"""How each verb of a cube is called on a cube with memory `m`, another, an archived and a frozen one."""

STORE = {
    "open": "makes the handle; the application vouches for who the principal is",
    "connect": "likewise",
    "opened": "likewise, of a store that is open",
    "as_principal": "likewise",
    "cube": "enters the cube it returns",
    "cubes": "lists what was entered or granted",
    "group": "your own groups only",
    "groups": "those that you own or are in",
    "compose": "enters each cube: in the table above",
    "lag": "counts for whoever runs the store; shows no content",
    "drain": "tells the index what is due",
    "reindex": "makes the index anew",
    "audit": "of cubes that you do not govern it gives hashes only",
    "verify_audit": "sound or not; shows no content",
    "forget_cube": "enters the cube: in the table above",
    "forget_principal": "in cubes that you govern, and what is your own: test_erasure.py",
    "erasures": "your own receipts only",
    "verify_erasure": "likewise; tells places, never words",
    "worker": "does what was ordered, for whoever ordered it",
    "extract_with": "for whoever runs the store; what is read is written as by whoever ingested it",
    "plan": "looks at cubes that you may read, moves what your rights let you: test_plan_verb.py",
    "calibrate": "measures the machine; shows no content",
    "predictor": "makes ready for whoever asked what they may read",
    "upkeep": "does what was promised when a memory was written",
    "segments": "enters each cube: in the table above",
    "evict": "likewise",
    "load": "likewise",
    "pin": "likewise",
    "verify_segments": "likewise",
    "adapters": "likewise",
    "drop_adapters": "likewise",
    "export_adapter": "likewise",
    "activate_adapter": "likewise",
    "deactivate_adapter": "likewise",
    "stats": "counts and sizes",
    "overview": "enters each cube that it tells of: test_overview.py",
    "doctor": "sound or not",
    "close": "releases the folder",
}
"""Verbs of the store, and why each needs no right on a cube."""

EVERY_RIGHT = [None, "public", *Right]


def verbs(kind):
    return {name for name, each in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_no_verb_of_a_cube_is_left_out():
    of_records = {f"records.{verb}" for verb in verbs(Records)}
    of_the_store = {
        "adapters",
        "drop_adapters",
        "export_adapter",
        "activate_adapter",
        "deactivate_adapter",
        "segments",
        "evict",
        "pin",
        "verify_segments",
        "compose",
        "forget_cube",
        "load",
        "publish",
    }
    of_the_store |= {f"compose.{verb}" for verb in verbs(ComposedCubes)}
    of_the_store |= {f"jobs.{verb}" for verb in verbs(Jobs)}
    of_runtimes = verbs(Runtime) - {"open", "close"}
    assert verbs(MemCube) | of_records | of_the_store | of_runtimes == set(NEEDS) == set(CALLS)


def test_no_verb_of_the_store_is_left_out():
    assert verbs(MemOS) == set(STORE)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Return the folder of a store with Ana's cube, made once: each test opens a copy."""
    folder = tmp_path_factory.mktemp("written") / "store"
    given = {"embedder": HashEmbedder(dimensions=DIMENSIONS), "index": InMemoryIndex(dimensions=DIMENSIONS)}
    with MemOS.open(folder, clock=Clock(), **given) as memos:
        _write(memos)
    return folder


@pytest.fixture
def memos(written, folder, open_memos):
    shutil.copytree(written, folder)
    return open_memos()


@pytest.fixture
def shared(memos):
    """Return Ana's cube with four memories that are shared, and the first, which is hers to show."""
    ana = memos.as_principal("ana").cube("notes")
    return ana, next(memory.id for memory in ana.list() if memory.text == "words 0")


def _write(memos):
    ana = memos.as_principal("ana").cube("notes")
    _, _, archived, frozen = (ana.remember(f"words {n}", visibility="shared") for n in range(4))
    ana.archive(archived.id)
    ana.freeze(frozen.id)
    brief = Entry(key="k", data={}, texts=("words of a record",), ttl=timedelta(hours=1))
    ana.records.put([brief], visibility="shared")
    for words in ("Ana sings.", "Ana sings"):
        ana.remember(words, visibility="shared")
    ana.consolidate()
    ana.snapshot("then")
    queue = memos.as_principal("ana").jobs
    queue.cancel(queue.submit("prefill", cube=ana, key="earlier").id)
    queue.submit("prefill", cube=ana)
    queue.schedule("nightly", "0 3 * * *", "sweep", cube=ana)
    twig = ana.fork("twig")
    twig.classify(twig.list()[0].id, visibility="public")


def as_eve(memos, shared, held):
    """Return the cube as Eve sees it, who was given the right; a handle is made in any case."""
    ana, first = shared
    if held == "public":
        ana.classify(first, visibility="public")
    elif held is not None:
        ana.grant("eve", held)
    return MemCube(memos._core, ana._header, memos.as_principal("eve").principal)


def expected(verb, held):
    """Return the error that Eve meets, None where she is let in."""
    implied = {
        "read": "read",
        "write": "read write",
        "share": "read share",
        "admin": "read write share admin",
    }
    rights = implied.get(held, "").split() if held not in (None, "public") else []
    if held is None:
        return NotFound
    if held == "public" and NEEDS[verb] is Right.READ:
        return None
    return None if NEEDS[verb] in rights else Forbidden


@pytest.mark.parametrize("held", EVERY_RIGHT)
@pytest.mark.parametrize("verb", sorted(NEEDS))
def test_a_verb_lets_in_who_holds_its_right_and_nobody_else(memos, shared, catalog_rows, verb, held):
    cube = as_eve(memos, shared, held)
    error = expected(verb, held)
    if error is None:
        assert CALLS[verb](cube, shared[1]) is not NotImplemented
        return
    memos.drain()  # or the background pays between the two looks
    rows = catalog_rows(memos)
    with pytest.raises(error):
        CALLS[verb](cube, shared[1])
    assert catalog_rows(memos) == rows


@pytest.mark.parametrize(
    "verb",
    ["revise", "copy", "forget", "classify", "archive", "freeze", "get", "history", "sources", "lineage"],
)
def test_what_is_private_to_another_does_not_exist(memos, shared, verb):
    ana, _ = shared
    private = ana.remember("nobody else's")
    ana.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    with pytest.raises(Forbidden if verb == "freeze" else NotFound):
        CALLS[verb](eve, private.id)


@pytest.mark.parametrize("verb", sorted(NEEDS))
@pytest.mark.parametrize("who", ["ana", "eve"])
def test_every_verb_asks_what_for(memos, shared, catalog_rows, verb, who):
    ana, first = shared
    ana.grant("eve", "admin")
    ana.limit(purposes=["support", "billing"])
    memos.drain()
    rows = catalog_rows(memos)
    for purpose in ("", "advertising"):
        cube = MemCube(memos._core, ana._header, Principal(who, purpose=purpose))
        with pytest.raises(WrongPurpose) as caught:
            CALLS[verb](cube, first)
        assert (caught.value.purpose, caught.value.purposes) == (purpose, ("support", "billing"))
    assert catalog_rows(memos) == rows
    CALLS[verb](MemCube(memos._core, ana._header, Principal(who, purpose="billing")), first)
