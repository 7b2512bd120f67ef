"""Bad input through the public face: a typed error that names the remedy, and not a row changed."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from memos_core import (
    BackendError,
    Conflict,
    FormatError,
    InvalidInput,
    MemCube,
    MemOS,
    MemOSError,
    Message,
    MigrationNeeded,
    NotFound,
    Where,
)
from memos_core.embed import CallableEmbedder
from memos_core.reader.formats import read_conversations
from memos_core.testing import HashEmbedder, InMemoryIndex

NAIVE = datetime(2024, 5, 1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EAST, WEST = timezone(timedelta(hours=3)), timezone(timedelta(hours=-3))
HUGE = "x" * ((1 << 20) + 1)
GOOD = Message("Ana", "a good message")


REFUSED = {
    "remember nothing": lambda cube, m: cube.remember(""),
    "remember blanks": lambda cube, m: cube.remember(" \n\u3000\t"),
    "remember too much": lambda cube, m: cube.remember(HUGE),
    "remember bytes": lambda cube, m: cube.remember(b"text"),
    "remember None": lambda cube, m: cube.remember(None),
    "remember half a character": lambda cube, m: cube.remember("\ud83d"),
    "remember a naive time": lambda cube, m: cube.remember("x", at=NAIVE),
    "remember a time as text": lambda cube, m: cube.remember("x", at="2024-05-01"),
    "remember before all time": lambda cube, m: cube.remember("x", at=datetime.min.replace(tzinfo=EAST)),
    "remember after all time": lambda cube, m: cube.remember("x", at=datetime.max.replace(tzinfo=WEST)),
    "remember for no time": lambda cube, m: cube.remember("x", ttl=timedelta(0)),
    "remember for seconds": lambda cube, m: cube.remember("x", ttl=60),
    "remember beyond the calendar": lambda cube, m: cube.remember("x", ttl=timedelta.max),
    "remember a bare tag": lambda cube, m: cube.remember("x", tags="home"),
    "remember no tags": lambda cube, m: cube.remember("x", tags=None),
    "remember an empty tag": lambda cube, m: cube.remember("x", tags=["home", ""]),
    "remember a number as tag": lambda cube, m: cube.remember("x", tags=[5]),
    "remember an endless tag": lambda cube, m: cube.remember("x", tags=["t" * 1025]),
    "remember an empty kind": lambda cube, m: cube.remember("x", kind=" "),
    "remember no kind": lambda cube, m: cube.remember("x", kind=None),
    "remember too sensitive": lambda cube, m: cube.remember("x", sensitivity=10),
    "remember truly sensitive": lambda cube, m: cube.remember("x", sensitivity=True),
    "remember half sensitive": lambda cube, m: cube.remember("x", sensitivity=0.5),
    "remember too urgent": lambda cube, m: cube.remember("x", priority=-10),
    "remember visibly wrong": lambda cube, m: cube.remember("x", visibility="everyone"),
    "remember visibly list": lambda cube, m: cube.remember("x", visibility=[]),
    "ingest a text": lambda cube, m: cube.ingest("hello"),
    "ingest one message": lambda cube, m: cube.ingest(GOOD),
    "ingest None": lambda cube, m: cube.ingest(None),
    "ingest dicts": lambda cube, m: cube.ingest([GOOD, {"role": "user", "content": "hi"}]),
    "ingest a hole": lambda cube, m: cube.ingest([GOOD, None]),
    "ingest an empty session": lambda cube, m: cube.ingest([GOOD], session=""),
    "ingest a number as session": lambda cube, m: cube.ingest([GOOD], session=5),
    "consolidate by a number": lambda cube, m: cube.consolidate(3),
    "consolidate within a number": lambda cube, m: cube.consolidate(budget=3),
    "undo nothing": lambda cube, m: cube.undo(cube.consolidate(dry_run=True)),
    "undo the beginning": lambda cube, m: cube.undo(0),
    "undo a word": lambda cube, m: cube.undo("last"),
    "revise to nothing": lambda cube, m: cube.revise(m.id, ""),
    "revise to too much": lambda cube, m: cube.revise(m.id, HUGE),
    "revise to a naive time": lambda cube, m: cube.revise(m.id, "x", at=NAIVE),
    "revise to a bare tag": lambda cube, m: cube.revise(m.id, "x", tags="home"),
    "revise to no kind": lambda cube, m: cube.revise(m.id, "x", kind=""),
    "revise a text as version": lambda cube, m: cube.revise(m.id, "x", expected="1"),
    "revise a truth as version": lambda cube, m: cube.revise(m.id, "x", expected=True),
    "revise a list": lambda cube, m: cube.revise([m.id], "x"),
    "forget nothing": lambda cube, m: cube.forget(""),
    "forget everything": lambda cube, m: cube.forget(None),
    "forget one and more": lambda cube, m: cube.forget(m.id, where=Where(kinds=("fact",))),
    "forget by an empty filter": lambda cube, m: cube.forget(where=Where()),
    "forget by a dict": lambda cube, m: cube.forget(where={"kinds": ["fact"]}),
    "forget a list": lambda cube, m: cube.forget([m.id]),
    "link to itself": lambda cube, m: cube.link(m.id, "supports", m.id),
    "link somehow": lambda cube, m: cube.link(m.id, "likes", "x"),
    "link from a list": lambda cube, m: cube.link([m.id], "supports", m.id),
    "link to None": lambda cube, m: cube.link(m.id, "supports", None),
    "recall nothing": lambda cube, m: cube.recall(""),
    "recall None": lambda cube, m: cube.recall(None),
    "recall too much": lambda cube, m: cube.recall(HUGE),
    "recall no hits": lambda cube, m: cube.recall("x", k=0),
    "recall a text of hits": lambda cube, m: cube.recall("x", k="5"),
    "recall all hits": lambda cube, m: cube.recall("x", k=10_001),
    "recall for no tokens": lambda cube, m: cube.recall("x", budget=0),
    "recall for half a token": lambda cube, m: cube.recall("x", budget=0.5),
    "recall by text filter": lambda cube, m: cube.recall("x", where="kind = 'fact'"),
    "recall by dict": lambda cube, m: cube.recall("x", where={"kind": "fact"}),
    "recall a number as session": lambda cube, m: cube.recall("x", session=5),
    "recall two sessions": lambda cube, m: cube.recall("x", session="a", where=Where(sessions=["b"])),
    "list by dict": lambda cube, m: cube.list(where={}),
    "list a bare tag": lambda cube, m: cube.list(tags="home"),
    "list backwards": lambda cube, m: cube.list(limit=-1),
    "list from before": lambda cube, m: cube.list(offset=-1),
    "list half": lambda cube, m: cube.list(limit=1.5),
    "list beyond": lambda cube, m: cube.list(offset=1 << 64),
    "filter by naive time": lambda cube, m: cube.list(where=Where(since=NAIVE)),
    "filter by bare text": lambda cube, m: cube.list(where=Where(kinds="fact")),
    "changes before": lambda cube, m: cube.changes(since=-1),
    "changes after a time": lambda cube, m: cube.changes(since=NAIVE),
    "get half a character": lambda cube, m: cube.get("\ud83d"),
    "get a list": lambda cube, m: cube.get([m.id]),
    "history of None": lambda cube, m: cube.history(None),
    "history of half a character": lambda cube, m: cube.history("\ud83d"),
    "sources of a list": lambda cube, m: cube.sources([m.id]),
    "lineage of nothing": lambda cube, m: cube.lineage(""),
    "lineage of a list": lambda cube, m: cube.lineage([m.id]),
    "remember half trusted": lambda cube, m: cube.remember("x", trust="half"),
    "ingest half trusted": lambda cube, m: cube.ingest([GOOD], trust=0.5),
    "revise half trusted": lambda cube, m: cube.revise(m.id, "x", trust=None),
    "classify half trusted": lambda cube, m: cube.classify(m.id, trust="half"),
    "limit to one bare purpose": lambda cube, m: cube.limit(purposes="support"),
    "limit to an empty purpose": lambda cube, m: cube.limit(purposes=[""]),
    "remember by an empty maker": lambda cube, m: cube.remember("x", made_by=""),
    "remember as if verbatim": lambda cube, m: cube.remember("x", made_by="verbatim"),
    "remember as if imported": lambda cube, m: cube.remember("x", made_by="import:mem0"),
    "remember from a bare id": lambda cube, m: cube.remember("x", derived_from=m.id),
    "remember from nothing": lambda cube, m: cube.remember("x", derived_from=[""]),
    "remember from itself": lambda cube, m: cube.remember(m.text, derived_from=[m.id]),
    "find nothing": lambda cube, m: cube.find(""),
    "find None": lambda cube, m: cube.find(None),
    "find in no state": lambda cube, m: cube.find(m.id, state="asleep"),
    "list in no state": lambda cube, m: cube.list(state=5),
    "ingest visibly wrong": lambda cube, m: cube.ingest([GOOD], visibility="everyone"),
    "copy a list": lambda cube, m: cube.copy([m.id]),
    "copy to nothing": lambda cube, m: cube.copy(m.id, ""),
    "activate nothing": lambda cube, m: cube.activate(""),
    "snapshot nothing": lambda cube, m: cube.snapshot(""),
    "snapshot None": lambda cube, m: cube.snapshot(None),
    "snapshot an endless label": lambda cube, m: cube.snapshot("x" * 1025),
    "drop_snapshot of a list": lambda cube, m: cube.drop_snapshot(["a"]),
    "recall at a number": lambda cube, m: cube.recall("x", at=5),
    "recall at a naive time": lambda cube, m: cube.recall("x", at=NAIVE),
    "list at nothing": lambda cube, m: cube.list(at=""),
    "get at half a character": lambda cube, m: cube.get(m.id, at="\ud83d"),
    "diff from now": lambda cube, m: cube.diff(None),
    "diff to a number": lambda cube, m: cube.diff(NOON, 5),
    "diff backwards": lambda cube, m: cube.diff(datetime(2050, 1, 1, tzinfo=UTC), NOON),
    "revert to none": lambda cube, m: cube.revert(m.id, to=0),
    "revert to a truth": lambda cube, m: cube.revert(m.id, to=True),
    "revert a list": lambda cube, m: cube.revert([m.id], to=1),
    "rollback to now": lambda cube, m: cube.rollback(None),
    "rollback to a number": lambda cube, m: cube.rollback(3),
    "fork to nothing": lambda cube, m: cube.fork(" "),
    "fork to its own name": lambda cube, m: cube.fork(cube.name),
    "merge a name": lambda cube, m: cube.merge("notes", on_conflict="ours"),
    "merge itself": lambda cube, m: cube.merge(cube, on_conflict="ours"),
    "merge somehow": lambda cube, m: cube.merge(cube, on_conflict="somehow"),
    "archive a list": lambda cube, m: cube.archive([m.id]),
    "restore None": lambda cube, m: cube.restore(None),
    "freeze half a character": lambda cube, m: cube.freeze("\ud83d"),
    "unfreeze nothing": lambda cube, m: cube.unfreeze(" "),
    "classify as nothing": lambda cube, m: cube.classify(m.id),
    "classify wrongly": lambda cube, m: cube.classify(m.id, visibility="everyone"),
    "classify too sensitive": lambda cube, m: cube.classify(m.id, sensitivity=10),
    "grant to nobody": lambda cube, m: cube.grant("", "read"),
    "grant to a number": lambda cube, m: cube.grant(5, "read"),
    "grant everything": lambda cube, m: cube.grant("bob", "everything"),
    "grant to the owner": lambda cube, m: cube.grant("local", None),
    "revoke from nobody": lambda cube, m: cube.revoke(""),
    "revoke everything": lambda cube, m: cube.revoke("bob", "everything"),
    "limit to less than nothing": lambda cube, m: cube.limit(memories=-1),
    "limit to half a byte": lambda cube, m: cube.limit(text_bytes=0.5),
    "limit to a number of days": lambda cube, m: cube.limit(ttl=30),
    "dump nowhere": lambda cube, m: cube.dump(""),
    "dump to a number": lambda cube, m: cube.dump(5),
    "dump through a NUL": lambda cube, m: cube.dump("a\0b"),
    "dump over what is there": lambda cube, m: cube.dump(__file__),
    "dump over a folder": lambda cube, m: cube.dump("/", overwrite=True),
    "dump signed by a word": lambda cube, m: cube.dump("never", sign="me"),
    "dump sealed with nothing": lambda cube, m: cube.dump("never", passphrase=""),
    "dump sealed with bytes": lambda cube, m: cube.dump("never", passphrase=b"word"),
    "dump sealed with half a character": lambda cube, m: cube.dump("never", passphrase="\ud83d"),
    "dump on terms of a word": lambda cube, m: cube.dump("never", terms="MIT"),
    "credit a bare id": lambda cube, m: cube.credit(m.id, "an answer"),
    "credit no answer": lambda cube, m: cube.credit([m.id], None),
    "credit an empty id": lambda cube, m: cube.credit([""], "an answer"),
    "working without a session": lambda cube, m: cube.working(""),
    "working with less than nothing": lambda cube, m: cube.working("s1", budget=-1),
    "working after a list": lambda cube, m: cube.working("s1", before=[m]),
}


@pytest.fixture
def known(cube, memos):
    """One memory, and nothing owed to the index: whatever is written from now on shows."""
    memory = cube.remember("A memory that must not change", tags=["home"])
    memos.drain()
    return memory


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """A store that every refused verb leaves as it is, so that one serves them all."""
    index = InMemoryIndex(dimensions=64)
    with MemOS.open(
        tmp_path_factory.mktemp("steady") / "store", embedder=HashEmbedder(), index=index
    ) as memos:
        memos.cube("notes").remember("A memory that must not change", tags=["home"])
        memos.cube("other").remember("elsewhere")
        memos.as_principal("bob").cube("notes").remember("not yours")
        memos.cube("notes").forget(memos.cube("notes").remember("soon gone").id)
        memos.drain()
        yield memos


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_and_not_a_row_changes(steady, catalog_rows, what):
    cube, before = steady.cube("notes"), catalog_rows(steady)
    with pytest.raises(InvalidInput) as caught:
        REFUSED[what](cube, cube.list()[0])
    assert (len(str(caught.value)) > 10, catalog_rows(steady)) == (True, before)


@pytest.mark.parametrize(
    ("verb", "remedy"),
    [
        (lambda cube: cube.remember("x", at=NAIVE), r"at\.replace\(tzinfo=timezone\.utc\)"),
        (lambda cube: cube.list(where=Where(until=NAIVE)), r"until\.astimezone\(\)"),
        (lambda cube: cube.remember(HUGE), "split it into several memories"),
        (lambda cube: cube.remember("x", tags="home"), r"tags=\[\.\.\.\]"),
        (lambda cube: cube.remember("x", ttl=timedelta(0)), r"forget\(\)"),
        (lambda cube: cube.ingest(GOOD), r"\[message\]"),
        (lambda cube: cube.recall(" "), r"list\(\)"),
        (lambda cube: cube.remember("x", visibility="all"), "private, shared, public"),
        (lambda cube: cube.link("a", "likes", "b"), "derived_from, supersedes"),
        (lambda cube: cube.recall("x", session=5), "session"),
        (lambda cube: cube.recall("x", where=Where(kinds=[5])), "kind"),
    ],
)
def test_the_message_names_the_remedy(steady, verb, remedy):
    with pytest.raises(InvalidInput, match=remedy):
        verb(steady.cube("notes"))


UNKNOWN = {
    "get": lambda cube, memory_id: cube.get(memory_id),
    "history": lambda cube, memory_id: cube.history(memory_id),
    "sources": lambda cube, memory_id: cube.sources(memory_id),
    "lineage": lambda cube, memory_id: cube.lineage(memory_id),
    "remember from": lambda cube, memory_id: cube.remember("x", derived_from=[memory_id]),
    "find": lambda cube, memory_id: cube.find(memory_id),
    "revise": lambda cube, memory_id: cube.revise(memory_id, "x"),
    "revise expecting": lambda cube, memory_id: cube.revise(memory_id, "x", expected=1),
    "forget": lambda cube, memory_id: cube.forget(memory_id),
    "link from": lambda cube, memory_id: cube.link(memory_id, "supports", cube.list()[0].id),
    "link to": lambda cube, memory_id: cube.link(cube.list()[0].id, "supports", memory_id),
}


@pytest.fixture(params=["nobody's", "another cube's", "another principal's", "a forgotten one"])
def foreign_id(request, steady, catalog_rows):
    match request.param:
        case "another cube's":
            return steady.cube("other").list()[0].id
        case "another principal's":
            return steady.as_principal("bob").cube("notes").list()[0].id
        case "a forgotten one":
            lines = catalog_rows(steady)["audit"]  # seq, at, principal, cube, change, verb, memory, ...
            return next(line[6] for line in lines if line[5] == "forget")
        case _:
            return "0" * 32


@pytest.mark.parametrize("verb", UNKNOWN)
def test_an_id_that_is_not_of_this_cube_is_not_found_and_not_a_row_changes(
    steady, catalog_rows, verb, foreign_id
):
    before = catalog_rows(steady)
    with pytest.raises(NotFound) as caught:
        UNKNOWN[verb](steady.cube("notes"), foreign_id)
    assert (caught.value.what, caught.value.name, catalog_rows(steady)) == ("memory", foreign_id, before)


@pytest.mark.parametrize("expected", [1, 3, 99])
def test_a_version_gone_by_is_a_conflict_that_tells_both(memos, cube, known, catalog_rows, expected):
    cube.revise(known.id, "The second version")
    memos.drain()
    before = catalog_rows(memos)
    with pytest.raises(Conflict, match="expected=2") as caught:
        cube.revise(known.id, "A late version", expected=expected)
    facts = (caught.value.memory_id, caught.value.expected, caught.value.found)
    assert (facts, catalog_rows(memos)) == ((known.id, expected, 2), before)


@pytest.mark.parametrize("name", ["", " ", None, 5, "\ud800", "n" * 1025, ["notes"]])
def test_a_cube_needs_a_name(steady, name):
    with pytest.raises(InvalidInput, match="cube name"):
        steady.cube(name)


def test_a_cube_of_somebody_else_is_not_found_whether_it_exists_or_not(memos, cube, catalog_rows):
    stranger, before = memos.as_principal("bob"), catalog_rows(memos)
    messages = []
    for name in ("notes", "no such cube"):
        with pytest.raises(NotFound) as caught:
            stranger.cube(name, owner="local")
        messages.append(str(caught.value).replace(name, "NAME"))
    assert (len(set(messages)), catalog_rows(memos)) == (1, before)


@pytest.mark.parametrize("place", range(3))
def test_a_batch_with_one_broken_message_is_refused_whole(memos, cube, known, catalog_rows, place):
    before = catalog_rows(memos)
    batch = [Message("Ana", f"turn {number}") for number in range(2)]
    batch.insert(place, "not a message")
    with pytest.raises(InvalidInput):
        cube.ingest(batch)
    assert catalog_rows(memos) == before


def test_messages_that_stop_coming_leave_nothing_half_ingested(memos, cube, known, catalog_rows):
    def stopping():
        yield GOOD
        raise ConnectionError("the line went dead")

    before = catalog_rows(memos)
    with pytest.raises(ConnectionError):
        cube.ingest(stopping())
    assert catalog_rows(memos) == before


def test_a_broken_line_of_a_file_is_named_and_nothing_is_ingested(memos, cube, known, catalog_rows, tmp_path):
    path = tmp_path / "chat.jsonl"
    lines = [json.dumps({"speaker": "Ana", "text": f"turn {number}"}) for number in range(5)]
    path.write_text("\n".join([*lines[:3], '{"speaker": "Ana", "text": ', *lines[3:]]))
    before = catalog_rows(memos)
    with pytest.raises(FormatError, match="line 4") as caught:  # noqa: PT012 - as a caller writes it
        for conversation in read_conversations(path):
            cube.ingest(conversation.messages)
    assert (caught.value.line, catalog_rows(memos)) == (4, before)


# --- embedders and vectors -------------------------------------------------------------------


class Failing(HashEmbedder):
    """Embeds until it is told not to."""

    answer = None

    def embed(self, texts):
        if isinstance(self.answer, Exception):
            raise self.answer
        return super().embed(texts) if self.answer is None else self.answer(len(texts))


@pytest.mark.parametrize(
    "answer",
    [
        BackendError("the model broke"),
        lambda count: np.zeros((count, 32), np.float32),  # another dimension
        lambda count: np.zeros((count + 1, 64), np.float32),  # another count
        lambda count: np.full((count, 64), np.nan, np.float32),
    ],
    ids=["it raises", "other dimensions", "other count", "not a number"],
)
@pytest.mark.parametrize("verb", ["remember", "ingest", "revise"])
def test_vectors_that_are_not_the_stores_own_are_never_written(open_memos, catalog_rows, answer, verb):
    embedder = Failing()
    memos = open_memos(embedder=embedder)
    cube = memos.cube("notes")
    memory = cube.remember("A memory that must not change")
    memos.drain()
    before = catalog_rows(memos)
    embedder.answer = answer
    write = {
        "remember": lambda: cube.remember("new"),
        "ingest": lambda: cube.ingest([GOOD, Message("Bo", "another")]),
        "revise": lambda: cube.revise(memory.id, "new"),
    }[verb]
    with pytest.raises(MemOSError):
        write()
    assert catalog_rows(memos) == before


@pytest.mark.parametrize("dimensions", [32, 128])
def test_an_embedder_of_another_identity_is_refused_and_reindex_is_named(
    open_memos, catalog_rows, folder, dimensions
):
    with open_memos() as memos:
        memos.cube("notes").remember("kept")
        memos.drain()
    before = catalog_rows(folder)
    other = HashEmbedder(dimensions=dimensions)
    with open_memos(embedder=other, index=InMemoryIndex(dimensions=dimensions)) as memos:
        cube = memos.cube("notes")
        for verb in (lambda: cube.remember("new"), lambda: cube.recall("kept"), lambda: cube.ingest([GOOD])):
            with pytest.raises(MigrationNeeded, match=r"reindex\(embedder=") as caught:
                verb()
    assert (caught.value.found, caught.value.wanted) == ("hashed-words-64@1", other.identity)
    assert catalog_rows(folder) == before


def test_a_store_that_only_the_caller_can_open_says_so(open_memos, folder):
    with open_memos() as memos:
        memos.cube("notes").remember("kept")
    with pytest.raises(MigrationNeeded, match="embedder=") as caught:
        MemOS.open(folder)
    assert caught.value.found == "hashed-words-64@1"
    with open_memos(index=InMemoryIndex(dimensions=64)) as again:  # and the refusal left no lock behind
        assert again.cube("notes").count() == 1


def test_an_index_of_another_dimension_is_refused_and_nothing_is_lost(open_memos):
    memos = open_memos(index=InMemoryIndex(dimensions=32))
    cube = memos.cube("notes")
    cube.remember("The harbour")
    with pytest.raises(MemOSError):
        memos.drain()
    assert (cube.recall("harbour").texts, memos.lag()) == (["The harbour"], 1)


@pytest.mark.parametrize("spec", ["no-such-model", "openai:", "sentence-transformers: ", 5, object()])
def test_an_embedder_that_means_nothing_is_refused_with_those_that_do(open_memos, spec):
    memos = open_memos(embedder=spec)
    with pytest.raises(InvalidInput, match="minilm"):
        memos.cube("notes").remember("x")


def test_a_callable_of_changing_width_is_refused(open_memos):
    def widening(texts):
        return [[1.0] * (64 + len(text) % 2) for text in texts]

    memos = open_memos(embedder=CallableEmbedder(widening, identity="mine@1", dimensions=64))
    memos.cube("notes").remember("even")
    with pytest.raises(MemOSError):
        memos.cube("notes").remember("odd")
    assert memos.cube("notes").count() == 1


# --- folders ---------------------------------------------------------------------------------


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["letter.txt", "catalog.sqlite", "milvus.db.bak", ".hidden"])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(folder, name):
    folder.mkdir()
    (folder / name).write_text("Dear Ana")
    before = contents(folder)
    with pytest.raises(FormatError, match="choose an empty or a new folder"):
        MemOS.open(folder)
    assert contents(folder) == before


def test_a_catalog_that_is_no_database_is_refused_and_left_as_it_is(folder):
    folder.mkdir()
    (folder / "catalog.db").write_bytes(b"Dear Ana, " * 1000)
    with pytest.raises(FormatError, match="not a database"):
        MemOS.open(folder)
    assert (folder / "catalog.db").read_bytes() == b"Dear Ana, " * 1000


def test_a_file_in_place_of_the_folder_is_refused(folder):
    folder.write_text("Dear Ana")
    with pytest.raises(MemOSError, match="choose another folder"):
        MemOS.open(folder)
    assert folder.read_text() == "Dear Ana"


@pytest.mark.parametrize("given", [None, 5, "", "a\0b"])
def test_what_is_no_folder_is_refused(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.txt").write_text("the empty name must not mean this folder")
    with pytest.raises(MemOSError):
        MemOS.open(given)


@pytest.mark.parametrize("left", [["lock"], ["lock", "lock.pid"], ["lock", "catalog.db"], ["lock", "blobs"]])
def test_a_folder_that_a_crash_left_half_made_is_made_whole(open_memos, folder, left):
    folder.mkdir()
    for name in left:
        (folder / name).mkdir() if name == "blobs" else (folder / name).touch()
    with open_memos() as memos:
        assert memos.cube("notes").remember("kept").text == "kept"


def test_a_newer_schema_is_refused_and_left_as_it_is(open_memos, folder, catalog_rows):
    with open_memos() as memos:
        memos.cube("notes").remember("kept")
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = catalog_rows(folder)
    with pytest.raises(MigrationNeeded, match="upgrade memos-suite-core") as caught:
        open_memos(index=InMemoryIndex(dimensions=64))
    assert (caught.value.found, catalog_rows(folder)) == ("9999", before)


@pytest.mark.parametrize(
    "given",
    [
        {"principal": ""},
        {"principal": 5},
        {"resident_bytes": -1},
        {"resident_bytes": 1.5},
        {"resident_bytes": True},
        {"clock": datetime.now},
        {"clock": lambda: "noon"},
        {"clock": NOON},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_store_opened_wrongly_is_refused_and_the_folder_stays_free(open_memos, given):
    with pytest.raises(InvalidInput):
        open_memos(**given)
    with open_memos(index=InMemoryIndex(dimensions=64)) as memos:
        assert memos.cubes() == []


def test_a_folder_copied_while_closed_is_a_store_of_its_own(open_memos, folder, tmp_path):
    with open_memos() as memos:
        memos.cube("notes").remember("kept")
    shutil.copytree(folder, tmp_path / "copy")
    with open_memos(tmp_path / "copy", index=InMemoryIndex(dimensions=64)) as copy:
        assert copy.cube("notes").recall("kept").texts == ["kept"]


def test_every_verb_of_a_cube_meets_bad_input_above():
    verbs = {name for name in dir(MemCube) if not name.startswith("_") and callable(getattr(MemCube, name))}
    without_input = {"count", "lag", "grants", "limits", "imports", "snapshots"}
    assert verbs - {what.split()[0] for what in REFUSED} == without_input
