"""A memory's life through the public face: every step, what each refuses, and what each leaves behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from memos_core import IllegalTransition, InvalidInput, Message, NotFound, State, Where

pytestmark = pytest.mark.databases

WORDS = "Mira hid the brass key behind the stuffed pike"
STEPS = ("activate", "archive", "restore", "freeze", "unfreeze")


def audit_of(memos, memory_id):
    with memos._core.catalog.read() as view:
        query = text("SELECT verb, detail FROM audit WHERE memory_id = :id ORDER BY seq")
        return [tuple(row) for row in view.connection.execute(query, {"id": memory_id})]


def ids(memories):
    return [memory.id for memory in memories]


@pytest.fixture(params=[512 << 20, 0], ids=["resident", "proposed"])
def both(open_memos, request):
    """A store whose cubes are answered from RAM, and one whose indexes propose."""
    return open_memos(resident_bytes=request.param)


def test_an_archived_memory_is_in_no_answer_and_in_no_index(both, index):
    cube = both.cube("notes")
    kept, away = cube.remember("the ferry leaves at noon"), cube.remember("the ferry leaves at one")
    cube.recall("ferry")
    assert cube.archive(away.id).state is State.ARCHIVED
    both.drain()
    assert (ids(cube.list()), ids(cube.recall("ferry", k=5).memories), cube.count()) == (
        [kept.id],
        [kept.id],
        1,
    )
    assert set(index._held) == {kept.id}
    with pytest.raises(NotFound):
        cube.get(away.id)


def test_the_full_text_index_does_not_propose_what_is_archived(memos, cube):
    from memos_core.vault import keyring

    away = cube.remember("the ferry leaves at one")
    cube.archive(away.id)
    with memos._core.reading(memos.principal, cube.id) as (view, header):
        archived = keyring.lexical_matches(view.connection, header, ["ferri"], limit=5)
    cube.restore(away.id)
    with memos._core.reading(memos.principal, cube.id) as (view, header):
        restored = keyring.lexical_matches(view.connection, header, ["ferri"], limit=5)
    assert (archived, len(restored)) == ([], 1)


def test_an_archived_memory_comes_back_whole(both, index):
    cube = both.cube("notes")
    away = cube.remember(WORDS, tags=["key"])
    cube.revise(away.id, f"{WORDS}, twice")
    cube.archive(away.id)
    both.drain()
    back = cube.restore(away.id)
    both.drain()
    assert (back.state, back.version, back.tags) == (State.ACTIVATED, 2, ("key",))
    assert (ids(cube.recall("brass key").memories), set(index._held)) == ([away.id], {away.id})
    assert len(cube.history(away.id)) == 2


def test_what_is_archived_is_listed_when_asked_for(cube):
    cube.remember("here")
    away = cube.remember("away", tags=["x"])
    cube.archive(away.id)
    assert ids(cube.list(state="archived", where=Where(tags=("x",)))) == [away.id]
    assert cube.find(away.id[:9], state=State.ARCHIVED) == away.id


def test_a_state_that_there_is_not_is_refused(cube):
    with pytest.raises(InvalidInput, match="archived"):
        cube.list(state="asleep")


@pytest.mark.parametrize(
    ("before", "verb"),
    [
        ((), "restore"),
        ((), "unfreeze"),
        (("activate",), "activate"),
        (("archive",), "archive"),
        (("archive",), "freeze"),
        (("archive",), "activate"),
        (("freeze",), "archive"),
        (("freeze",), "freeze"),
        (("freeze",), "activate"),
        (("freeze",), "restore"),
    ],
)
def test_what_the_table_lacks_is_refused_and_changes_nothing(memos, cube, catalog_rows, before, verb):
    memory = cube.remember(WORDS)
    for each in before:
        getattr(cube, each)(memory.id)
    memos.drain()  # or the background pays between the two looks
    rows = catalog_rows(memos)
    with pytest.raises(IllegalTransition) as caught:
        getattr(cube, verb)(memory.id)
    assert (caught.value.memory_id, caught.value.verb) == (memory.id, verb)
    assert catalog_rows(memos) == rows


@pytest.mark.parametrize("verb", STEPS)
def test_no_step_is_taken_with_what_is_not_there(cube, clock, verb):
    overdue = cube.remember(WORDS, ttl=timedelta(hours=1))
    clock.move(hours=2)
    for missing in (overdue.id, "nothing"):
        with pytest.raises(NotFound):
            getattr(cube, verb)(missing)


def test_every_step_leaves_its_line_in_the_audit(memos, cube):
    memory = cube.remember(WORDS)
    cube.remember(WORDS)
    for verb in ("activate", "archive", "restore", "freeze", "unfreeze"):
        getattr(cube, verb)(memory.id)
    assert audit_of(memos, memory.id) == [
        ("remember", None), ("restate", None), ("overlap", "generated>merged"),
        ("activate", "merged>activated"), ("archive", "activated>archived"),
        ("restore", "archived>activated"), ("freeze", "activated>frozen"), ("unfreeze", "frozen>activated"),
    ]  # fmt: skip


# --- frozen ----------------------------------------------------------------------------------


def test_a_frozen_memory_refuses_every_write(memos, cube, catalog_rows):
    (frozen,) = cube.ingest([Message("Mira", WORDS, id="m1")], session="s")
    stated, other = cube.remember("stated", tags=["a"]), cube.remember("another")
    cube.freeze(frozen.id)
    cube.freeze(stated.id)
    memos.drain()  # or the background pays between the two looks
    rows = catalog_rows(memos)
    for write in (
        lambda: cube.revise(frozen.id, "other words"),
        lambda: cube.forget(frozen.id),
        lambda: cube.link(frozen.id, "supports", other.id),
        lambda: cube.ingest([Message("Mira", "an edit", id="m1")], session="s"),
        lambda: cube.remember("stated", tags=["b"]),
    ):
        with pytest.raises(IllegalTransition):
            write()
    assert catalog_rows(memos) == rows


def test_a_frozen_memory_is_read_and_found_as_before(both):
    cube = both.cube("notes")
    frozen = cube.remember(WORDS)
    cube.freeze(frozen.id)
    assert cube.get(frozen.id).text == WORDS
    assert ids(cube.recall("brass key").memories) == [frozen.id]


def test_a_frozen_memory_is_written_on_by_a_copy(both):
    cube = both.cube("notes")
    frozen = cube.remember(WORDS, tags=["key"], kind="secret")
    cube.freeze(frozen.id)
    copied = cube.copy(frozen.id, "Mira hid the brass key in the bread oven")
    link = copied.header.behaviour.lineage[0]
    assert (copied.tags, copied.kind, copied.state) == (("key",), "secret", State.GENERATED)
    assert (link.relation, link.target, cube.get(frozen.id).text) == ("derived_from", frozen.id, WORDS)
    assert ids(cube.recall("bread oven", k=1).memories) == [copied.id]


def test_a_copy_with_the_same_words_is_a_memory_of_its_own(cube):
    frozen = cube.remember(WORDS)
    first, second = cube.copy(frozen.id), cube.copy(frozen.id)
    assert len({frozen.id, first.id, second.id}) == 3
    assert cube.remember(WORDS).id == frozen.id


def test_a_frozen_memory_does_not_expire_until_it_is_unfrozen(memos, cube, clock):
    memory = cube.remember(WORDS, ttl=timedelta(hours=1))
    cube.freeze(memory.id)
    clock.move(hours=2)
    assert (memos.upkeep().expired, cube.get(memory.id).text) == (0, WORDS)
    cube.unfreeze(memory.id)
    with pytest.raises(NotFound):
        cube.get(memory.id)
    assert memos.upkeep().expired == 1


# --- use, overlap, age ------------------------------------------------------------------------


def test_the_first_use_activates(memos, cube):
    used, unused = cube.remember(WORDS), cube.remember("nothing like it")
    cube.recall("brass key", k=1)
    cube.recall("brass key", k=1)
    memos.drain()
    assert (cube.get(used.id).state, cube.get(unused.id).state) == (State.ACTIVATED, State.GENERATED)
    assert audit_of(memos, used.id)[1:] == [("use", "generated>activated")]


def test_a_statement_made_again_is_merged(cube):
    cube.remember(WORDS)
    assert cube.remember(WORDS).state is State.MERGED


def test_what_rested_is_archived_and_what_was_used_or_frozen_is_not(memos, cube, clock):
    rested, used, frozen = (cube.remember(text) for text in ("rested", "used lately", "frozen"))
    cube.freeze(frozen.id)
    clock.move(days=20)
    cube.recall("used lately", k=1)
    clock.move(days=15)
    done = memos.upkeep(archive_after=timedelta(days=30))
    assert (done.archived, ids(cube.list())) == (1, [used.id, frozen.id])
    cube.restore(rested.id)
    assert memos.upkeep(archive_after=timedelta(days=30)).archived == 0


# --- expired ----------------------------------------------------------------------------------


def test_an_expired_memory_keeps_only_the_minimum(both, index, clock):
    cube = both.cube("notes")
    (memory,) = cube.ingest([Message("Mira", "the zanzibar ledger", id="m1")], session="tonight")
    cube.link(memory.id, "related", cube.remember("other").id)
    written = cube.remember(WORDS, tags=["quixotic"], ttl=timedelta(hours=1))
    both.drain()
    clock.move(hours=2)
    assert both.upkeep().expired == 1
    both.drain()
    (shell,) = cube.list(state="expired")
    assert (shell.id, shell.text, shell.tags, shell.kind, shell.state) == (
        written.id,
        "",
        (),
        "",
        State.EXPIRED,
    )
    governance = shell.header.governance
    assert (governance.owner, governance.expires_at) == ("local", written.header.governance.expires_at)
    assert written.id not in index._held
    assert [verb for verb, _ in audit_of(both, written.id)] == ["remember", "ttl"]
    assert both.doctor().ok
    assert both.reindex().embedded == 0


def test_the_words_of_the_expired_are_in_no_byte_of_the_catalog(open_memos, folder, clock):
    memos = open_memos()
    memos.cube("notes").remember("the quixotic zanzibar ledger", tags=["vermilion"], ttl=timedelta(hours=1))
    clock.move(hours=2)
    memos.upkeep()
    memos.drain()
    memos.close()
    held = b"".join(path.read_bytes() for path in folder.glob("catalog.db*")).lower()
    assert [word for word in (b"quixot", b"zanzibar", b"vermilion") if word in held] == []


def test_what_is_overdue_counts_as_expired_before_upkeep(cube, clock):
    memory = cube.remember(WORDS, ttl=timedelta(hours=1))
    clock.move(hours=2)
    assert ids(cube.list(state="expired")) == [memory.id]


@pytest.mark.parametrize("away", ["archived", "overdue", "expired"])
def test_what_is_away_can_be_forgotten(memos, cube, clock, away):
    memory = cube.remember(WORDS, ttl=timedelta(hours=1))
    if away == "archived":
        cube.archive(memory.id)
    else:
        clock.move(hours=2)
    if away == "expired":
        memos.upkeep()
    receipt = cube.forget(memory.id)
    assert (receipt.erased["memories"], cube.list(state="expired"), cube.list(state="archived")) == (
        1,
        [],
        [],
    )
    with pytest.raises(NotFound):
        cube.forget(memory.id)


def test_upkeep_works_through_more_than_one_batch(memos, cube, clock, monkeypatch):
    monkeypatch.setattr("memos_core.vault.tx_life.BATCH", 3)
    cube.ingest([Message("Mira", f"turn {n}") for n in range(2)])
    for number in range(8):
        cube.remember(f"fleeting {number}", ttl=timedelta(hours=1))
    clock.move(hours=2)
    assert (memos.upkeep().expired, cube.count(), memos.upkeep().expired) == (8, 2, 0)


@pytest.mark.parametrize("after", [timedelta(0), -timedelta(days=1), 30, "30d"])
def test_a_rest_that_is_none_is_refused(memos, after):
    with pytest.raises(InvalidInput):
        memos.upkeep(archive_after=after)
