"""The audit is a chain: whatever is done to it past the library is found, and no word is in it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DatabaseError

from memos_core import MemOS, Message
from memos_core.audit import GENESIS, AuditHead, AuditLine, verified
from memos_core.vault.catalog import Catalog
from memos_core.vault.migrations.versions import r0001_first

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def chain_of(*verbs):
    lines, former = [], GENESIS
    for seq, verb in enumerate(verbs, start=1):
        bare = AuditLine(seq=seq, at=AT, principal="ana", cube="c1", change=seq, verb=verb)
        former = bare.sealed_after(former)
        lines.append(
            AuditLine(seq=seq, at=AT, principal="ana", cube="c1", change=seq, verb=verb, hash=former)
        )
    return lines, AuditHead(lines=len(lines), hash=former)


def test_a_hash_is_what_the_documentation_says_it_is():
    line = AuditLine(seq=1, at=AT, principal="ána", cube="c1", change=0, verb="create")
    written = (
        '["'
        + "0" * 64
        + '",1,"2026-05-01T12:00:00.000000+00:00","\\u00e1na","c1",0,"create",null,null,null,null]'
    )
    assert line.sealed_after(GENESIS) == hashlib.sha256(written.encode()).hexdigest()


def test_a_chain_as_it_was_written_is_well():
    lines, head = chain_of("create", "remember", "forget")
    assert (verified(lines, head).ok, verified(lines, head).head, verified([], AuditHead()).ok) == (
        True,
        head,
        True,
    )


@pytest.mark.parametrize(
    "harm",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: lines[:-1],
        lambda lines: [],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines, lines[-1]],
    ],
    ids=["first gone", "middle gone", "last gone", "all gone", "moved", "said twice"],
)
def test_what_is_gone_or_moved_is_found(harm):
    lines, head = chain_of("create", "remember", "revise", "forget")
    assert not verified(harm(lines), head).ok


def test_a_chain_that_was_written_anew_is_found_by_a_head_that_was_noted():
    _, noted = chain_of("create", "remember", "forget")
    forged, head = chain_of("create", "remember", "recall", "recall")
    assert verified(forged, head).ok
    assert not verified(forged, head, noted=noted.hash).ok
    grown, head = chain_of("create", "remember", "forget", "remember")
    assert verified(grown, head, noted=noted.hash).ok


# --- in the catalog ---------------------------------------------------------------------------

HARM = {
    "a word changed": "UPDATE audit SET verb = 'restate' WHERE seq = 3",
    "who did it changed": "UPDATE audit SET principal = 'eve' WHERE seq = 3",
    "when changed": "UPDATE audit SET at = at + 1 WHERE seq = 3",
    "the cube changed": "UPDATE audit SET cube_id = 'x' WHERE seq = 3",
    "the memory changed": "UPDATE audit SET memory_id = 'x' WHERE seq = 3",
    "the number of the change": "UPDATE audit SET change = 99 WHERE seq = 3",
    "the version changed": "UPDATE audit SET version = 7 WHERE seq = 3",
    "the detail changed": "UPDATE audit SET detail = 'x' WHERE seq = 3",
    "the first deleted": "DELETE FROM audit WHERE seq = 1",
    "one deleted": "DELETE FROM audit WHERE seq = 3",
    "the last deleted": "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "all deleted": "DELETE FROM audit",
    "two swapped": "UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3);"
    "UPDATE audit SET seq = -seq WHERE seq < 0",
    "one put in": "INSERT INTO audit (at, principal, cube_id, change, verb) VALUES (0, 'eve', 'x', 1, 'y')",
    "the head cut back": 'UPDATE store SET value = \'{"lines": 0, "hash": "x"}\' WHERE key = \'audit.head\'',
}


@pytest.fixture
def lived(memos):
    cube = memos.cube("notes")
    first = cube.remember("one")
    cube.ingest([Message("Mira", "two"), Message("Mira", "three")])
    cube.revise(first.id, "one again")
    cube.forget(first.id)
    return memos


def tamper(memos, script):
    with closing(sqlite3.connect(memos._core.folder / "catalog.db")) as connection:
        connection.executescript(
            f"DROP TRIGGER audit_refuses_update; DROP TRIGGER audit_refuses_delete; {script}; "
        )


def test_what_was_lived_is_well_and_so_is_the_doctor(lived):
    check = lived.verify_audit()
    assert (check.ok, check.head.lines, lived.doctor().ok) == (True, 6, True)


@pytest.mark.parametrize("script", HARM.values(), ids=HARM)
def test_what_is_done_past_the_library_is_found(lived, script):
    tamper(lived, script)
    assert not lived.verify_audit().ok
    assert [finding.check for finding in lived.doctor().findings if not finding.ok] == ["audit"]


@pytest.mark.parametrize("script", ["UPDATE audit SET verb = 'x'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_a_line(lived, script):
    with lived._core.catalog.connection() as connection, pytest.raises(DatabaseError, match="append-only"):
        connection.exec_driver_sql(script)


def test_a_change_that_is_undone_leaves_the_chain_whole(lived):
    cube = lived.cube("notes")
    cube.limit(memories=2)
    with pytest.raises(Exception, match="may hold"):
        cube.remember("too much")
    assert lived.verify_audit().ok


def test_no_word_of_a_memory_is_in_the_audit(lived, clock):
    cube = lived.cube("notes")
    memory = cube.remember("zanzibar", tags=["vermilion"], kind="quixotic", ttl=timedelta(hours=1))
    cube.copy(memory.id, "zanzibar twice")
    cube.classify(memory.id, sensitivity=3)
    clock.move(hours=2)
    lived.upkeep()
    told = json.dumps([str(line) for line in lived.audit()])
    assert [word for word in ("zanzibar", "vermilion", "quixotic") if word in told] == []


def test_others_see_the_hashes_only_and_can_still_check_their_own_lines(lived):
    eve = lived.as_principal("eve")
    eve.cube("hers").remember("hers")
    lines = eve.audit()
    theirs, own = lines[:6], lines[6:]
    assert {(line.verb, line.principal, line.cube) for line in theirs} == {(None, None, None)}
    assert [line.verb for line in own] == ["create", "remember"]
    assert own[0].sealed_after(theirs[-1].hash) == own[0].hash


def test_lines_of_an_older_catalog_are_sealed_when_it_is_upgraded(tmp_path, monkeypatch, clock):
    path = tmp_path / "catalog.db"
    monkeypatch.setattr("memos_core.vault.migrate.HEAD", r0001_first.revision)
    Catalog(path, clock=clock).close()
    with closing(sqlite3.connect(path)) as connection:
        for change, verb in enumerate(("create", "remember", "forget")):
            row = (7 * change + 3, 1_700_000_000_000_001 + change, "ana", "c1", change, verb, "m1", 1, 1)
            connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
    monkeypatch.undo()
    catalog = Catalog(path, clock=clock)
    from memos_core.vault import chain

    with catalog.read() as view:
        check, verbs = chain.verify(view.connection), [line.verb for line in chain.lines(view.connection)]
    catalog.close()
    assert (check.ok, check.head.lines, verbs) == (True, 3, ["create", "remember", "forget"])


def test_the_chain_goes_on_after_a_crash_and_a_reopening(folder, embedder, index, clock):
    for number in range(3):
        with MemOS.open(folder, embedder=embedder, index=index, clock=clock) as memos:
            memos.cube("notes").remember(f"number {number}")
            assert memos.verify_audit().ok
