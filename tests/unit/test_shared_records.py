"""Records in a cube that several use: who sees which, who may write over which, and what becomes of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from memos_core import Entry, Forbidden, IllegalTransition, Limits, Principal, Right, SecretFound
from memos_core.vault import records
from memos_core.vault.catalog import Catalog
from memos_core.vault.migrations.versions import r0003_records

pytestmark = pytest.mark.databases

HOUR = timedelta(hours=1)


def entry(key, *texts, ttl=None, **data):
    return Entry(key=key, data=data, texts=texts, ttl=ttl)


@pytest.fixture
def ana(memos):
    return memos.as_principal("ana").cube("notes")


@pytest.fixture
def as_one(memos, ana):
    def as_one(name, right):
        ana.grant(name, right)
        return memos.as_principal(name).cube("notes", owner="ana")

    return as_one


@pytest.fixture
def mixed(ana):
    """Records of every visibility, with a memory behind them and without."""
    for level in ("private", "shared", "public"):
        entries = [entry(f"{level} told", f"the ferry is {level}", n=1), entry(f"{level} bare", n=2)]
        ana.records.put(entries, visibility=level)
    return ana


def seen(cube):
    """Return the levels of the records that a cube shows, which has to be one set however they are read."""
    every = {f"{level} {how}" for level in ("private", "shared", "public") for how in ("told", "bare")}
    records = cube.records
    listed = {record.key for record in records.list()}
    assert (set(records.get(every)), records.count()) == (listed, len(listed))
    found = {match.record.key for match in records.recall("ferry", k=9)}
    assert found == {key for key in listed if key.endswith("told")}
    levels = {key.split()[0] for key in listed}
    assert listed == {f"{level} {how}" for level in levels for how in ("told", "bare")}
    return levels


@pytest.mark.parametrize(
    ("right", "wanted"),
    [
        ("read", {"shared", "public"}),
        ("write", {"shared", "public"}),
        ("admin", {"private", "shared", "public"}),
    ],
)
def test_every_way_of_reading_records_shows_what_may_be_seen(mixed, as_one, right, wanted):
    assert seen(as_one("eve", right)) == wanted


def test_who_was_granted_nothing_sees_what_is_public(mixed, memos):
    assert seen(memos.as_principal("eve").cube("notes", owner="ana")) == {"public"}


def test_a_cube_is_listed_for_its_records_to_who_sees_one(ana, as_one, memos):
    ana.records.put([entry("a", "salt")])
    eve = as_one("eve", "read")
    here = memos.as_principal("eve")
    assert (list(here.cubes(with_records=True)), len(here.cubes())) == ([], 1)
    ana.classify(ana.records.get(["a"])["a"].memory_id, visibility="shared")
    assert [cube.id for cube in here.cubes(with_records=True)] == [eve.id]


def test_who_may_only_read_renews_nothing_by_reading(ana, as_one, clock):
    ana.records.put([entry("a", "salt", ttl=HOUR)], visibility="shared")
    eve = as_one("eve", "read")
    clock.move(minutes=30)
    before = ana.records.get(["a"])["a"].expires_at
    assert eve.records.get(["a"], renew=True)["a"].expires_at == before
    assert ana.records.get(["a"], renew=True)["a"].expires_at == before + timedelta(minutes=30)


@pytest.mark.parametrize("texts", [("salt",), ()])
def test_a_key_that_somebody_elses_record_holds_is_not_written_over(ana, as_one, catalog_rows, memos, texts):
    ana.records.put([entry("a", *texts, n=1)])
    eve = as_one("eve", "write")
    rows = catalog_rows(memos)
    with pytest.raises(Forbidden):
        eve.records.put([entry("a", "pepper", n=2)])
    assert eve.records.put([], drop=["a"]) == []
    assert catalog_rows(memos)["records"] == rows["records"]
    assert catalog_rows(memos)["memories"] == rows["memories"]


def test_a_shared_record_is_written_over_by_who_may_write_and_stays_shared(ana, as_one):
    ana.records.put([entry("a", "salt", n=1)], visibility="shared")
    eve = as_one("eve", "write")
    eve.records.put([entry("a", "pepper", n=2)])
    assert ana.records.get(["a"])["a"].data == {"n": 2}
    eve.records.put([entry("a", n=3)])
    assert (ana.records.get(["a"])["a"].data, eve.records.get(["a"])["a"].data) == ({"n": 3}, {"n": 3})
    eve.records.put([entry("a", "found again", n=4)])
    assert [match.record.data for match in ana.records.recall("found")] == [{"n": 4}]
    assert [match.record.data for match in eve.records.recall("found")] == [{"n": 4}]


def test_making_a_record_public_takes_the_right_to_share(ana, as_one):
    eve = as_one("eve", "write")
    for texts in (("salt",), ()):
        with pytest.raises(Forbidden):
            eve.records.put([entry("a", *texts)], visibility="public")
    assert ana.records.count() == 0


def test_a_frozen_record_refuses_writing_and_its_time_is_never_over(ana, clock, memos, catalog_rows):
    kept = ana.records.put([entry("a", "salt", n=1, ttl=HOUR)])[0]
    ana.freeze(kept.memory_id)
    memos.drain()
    rows = catalog_rows(memos)
    for call in (
        lambda: ana.records.put([entry("a", "salt", n=2)]),
        lambda: ana.records.put([entry("a", n=2)]),
        lambda: ana.records.put([], drop=["a"]),
    ):
        with pytest.raises(IllegalTransition):
            call()
    assert catalog_rows(memos) == rows
    clock.move(hours=2)
    assert ana.records.sweep() == 0
    ana.records.renew(["a"])
    assert ana.records.get(["a"], renew=True)["a"].data == {"n": 1}
    ana.unfreeze(kept.memory_id)
    assert ana.records.get(["a"]) == {}


def test_an_archived_record_is_out_of_sight_until_it_is_restored(ana):
    kept = ana.records.put([entry("a", "salt", n=1)])[0]
    ana.archive(kept.memory_id)
    assert (ana.records.get(["a"]), ana.records.list(), ana.records.count()) == ({}, [], 0)
    assert ana.records.recall("salt") == []
    ana.restore(kept.memory_id)
    assert ana.records.get(["a"])["a"].data == {"n": 1}


def test_what_is_dropped_goes_from_the_archive_too(ana, memos, catalog_rows):
    kept = ana.records.put([entry("a", "salt", n=1)])[0]
    ana.archive(kept.memory_id)
    ana.records.put([], drop=["a"])
    assert (catalog_rows(memos)["records"], catalog_rows(memos)["memories"]) == ([], [])


def test_upkeep_erases_the_record_with_the_words_that_it_is_found_by(ana, memos, clock, catalog_rows):
    ana.records.put([entry("a", "saltword", n="saltvalue", ttl=HOUR)])
    clock.move(hours=2)
    assert memos.upkeep().expired == 1
    assert catalog_rows(memos)["records"] == []
    ana.records.put([entry("a", "pepper", n=2)])
    assert ana.records.get(["a"])["a"].data == {"n": 2}


def test_no_record_is_known_for_longer_than_its_cube_allows(ana, clock):
    day = timedelta(days=1)
    ana.records.put([entry("old", "salt"), entry("bare")])
    start = clock.now
    assert ana.limit(ttl=day) == Limits(ttl=day)
    clock.move(hours=1)
    ana.records.put([entry("old", "salt, renewed", ttl=30 * day), entry("new", "pepper", ttl=30 * day)])
    ana.records.renew(["old", "new"])
    ends = {record.key: record.expires_at for record in ana.records.list()}
    assert ends == {"old": start + day, "bare": start + day, "new": start + HOUR + day}
    clock.move(hours=23)
    assert [record.key for record in ana.records.list()] == ["new"]


def test_what_records_write_down_is_in_the_chain(ana, memos):
    ana.records.put([entry("a", "salt"), entry("b")])
    ana.records.put([], drop=["a", "b"])
    verbs = [line.verb for line in memos.as_principal("ana").audit()]
    assert verbs == ["create", "remember", "put", "put", "forget", "drop", "drop"]
    check = memos.verify_audit()
    assert (check.ok, check.head.lines) == (True, len(verbs))


def test_values_and_texts_of_records_are_redacted_before_they_are_written(open_memos, catalog_rows):
    memos = open_memos(redaction="mask")
    cube = memos.cube("notes")
    secret = "ana@example.org"
    cube.records.put([entry("a", f"write to {secret}", to=[{"at": secret}], n=1)])
    assert cube.records.get(["a"])["a"].data == {"to": [{"at": "[email]"}], "n": 1}
    assert secret not in str(catalog_rows(memos))


def test_a_record_that_holds_a_secret_is_refused_whole(open_memos, catalog_rows):
    memos = open_memos(redaction="refuse")
    cube = memos.cube("notes")
    with pytest.raises(SecretFound):
        cube.records.put([entry("fine", n=1), entry("a", at="ana@example.org")])
    assert cube.records.count() == 0


def test_records_of_an_older_catalog_are_their_cubes_owners(tmp_path, monkeypatch, clock):
    path = tmp_path / "catalog.db"
    monkeypatch.setattr("memos_core.vault.migrate.HEAD", r0003_records.revision)
    Catalog(path, clock=clock).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO cubes (id, owner, name, change, created_at) VALUES ('c1', 'ana', 'notes', 1, 0)"
        )
        connection.execute(
            "INSERT INTO records (cube_id, key, data, created_at, updated_at) VALUES ('c1', 'a', '{}', 0, 0)"
        )
        connection.commit()
    monkeypatch.undo()
    catalog = Catalog(path, clock=clock)
    with catalog.read() as view:
        seen = records.count(view, view.enter("c1", Principal("ana"), Right.READ))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT key, owner, visibility FROM records").fetchall()
    catalog.close()
    assert (seen, rows) == (1, [("a", "ana", "private")])
