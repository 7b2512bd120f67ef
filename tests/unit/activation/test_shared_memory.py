"""A cube that several ask about: nobody's prompt or listing holds what is hidden from them, and what
changes who reads what leaves no state behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_core import Entry, Forbidden, Where


def told(n, whose):
    return f"Fact {n} of {whose}: " + f"{whose} keeps thing {n} on the shelf. " * 8


@pytest.fixture
def ana(memos):
    return memos.as_principal("ana").cube("notes")


@pytest.fixture
def eve(memos, ana):
    """Ana's cube as Eve sees it, who may write; each has memories of her own, and two are shared."""
    ana.grant("eve", "write")
    cube = memos.as_principal("eve").cube("notes", owner="ana")
    for n, (who, level) in enumerate(
        [(ana, "shared"), (ana, "private"), (cube, "shared"), (cube, "private"), (ana, "public")]
    ):
        who.remember(told(n, who._principal.name), visibility=level)
    return cube


def ids(memories):
    return {memory.id for memory in memories}


def blobs(memos):
    return sorted((memos._core.folder / "blobs").glob("??/*"))


def test_a_prompt_holds_what_its_asker_may_see_and_nothing_else(ask, ana, eve, memos):
    stranger = memos.as_principal("zoe").cube("notes", owner="ana")
    for cube, count in ((ana, 5), (eve, 4), (stranger, 1)):
        reply = ask(cube)
        assert set(reply.memories) == ids(cube.list())
        assert len(reply.memories) == count


def test_a_prompt_of_chosen_memories_holds_no_hidden_one(ask, eve):
    reply = ask(eve, stable=Where(kinds=("fact",)))
    assert set(reply.memories) == ids(eve.list())


def test_what_one_has_computed_is_found_by_who_may_read_all_of_it(ask, ana, memos):
    for n in range(4):
        ana.remember(told(n, "ana"), visibility="shared")
    ana.grant("eve", "read")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    ask(ana)
    assert ask(eve).reuse.built == 0
    ana.remember(told(5, "ana"))
    first = ask(ana)
    assert first.reuse.built > 0  # with a private memory in it the prefix is for other readers
    assert ask(eve).memories != first.memories


def test_segments_of_hidden_memories_are_listed_evicted_pinned_and_checked_by_nobody_else(
    ask, ana, eve, memos
):
    ask(ana)
    ask(eve)
    as_ana, as_eve = memos.as_principal("ana"), memos.as_principal("eve")
    everything = as_ana.segments()
    shown = as_eve.segments(eve)
    mine = ids(eve.list())
    assert 0 < len(shown) < len(everything)
    assert all(source.memory_id in mine for segment in shown for source in segment.sources)
    hidden = [each for each in everything if each.key not in {one.key for one in shown}]
    as_eve.pin(hidden[0])
    assert as_eve.evict(hidden) == 0
    assert as_eve.verify_segments(hidden).sound == 0
    assert [each.pinned for each in as_ana.segments()] == [False] * len(everything)
    assert as_eve.evict(shown) == len(shown)
    assert {each.key for each in as_ana.segments()} == {each.key for each in hidden}


SYSTEM = "You are Mira's doctor, and nobody may know it."


@pytest.fixture
def readers(memos, ana):
    """Ana's cube as Eve and Bo see it, who may read all that is in it."""
    for n in range(4):
        ana.remember(told(n, "ana"), visibility="public")
    ana.grant("eve", "read")
    ana.grant("bo", "read")
    return [memos.as_principal(name).cube("notes", owner="ana") for name in ("eve", "bo")]


def test_a_system_text_is_for_nobody_but_who_gave_it(ask, readers, memos):
    eve, bo = readers
    made = ask(eve, system=SYSTEM).reuse.built
    again = ask(eve, system=SYSTEM).reuse
    assert (again.segments, again.built) == (made, 0)
    everything = memos.as_principal("ana").segments()  # whoever governs a cube sees what is private in it
    as_eve, as_bo = memos.as_principal("eve"), memos.as_principal("bo")
    assert {each.key for each in as_eve.segments(eve)} == {each.key for each in everything}
    assert (as_bo.segments(bo), as_bo.verify_segments(everything).sound) == ([], 0)
    assert [each.kv.count for each in as_bo.overview().cubes if each.id == bo.id] == [0]
    assert not any(bo.lineage(memory.id).artifacts for memory in bo.list())
    assert ask(bo, system=SYSTEM).reuse.segments == 0  # nor does the time tell
    assert [segment.hits for segment in as_bo.segments(bo)] == [0] * made


def test_without_a_system_text_readers_share_what_was_computed(ask, readers):
    eve, bo = readers
    made = ask(eve).reuse.built
    ask(eve, system=SYSTEM)
    assert ask(bo).reuse.segments == made


def test_a_system_text_without_memories_is_private_as_well(ask, memos, ana):
    ana.grant("eve", "read")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    assert ask(ana, system=SYSTEM).reuse.built == 1
    assert memos.as_principal("eve").segments(eve) == []


def test_a_system_text_goes_into_no_file(ask, ana, readers, tmp_path):
    kept = ask(ana).reuse.built
    for number, cube in enumerate((ana, *readers)):
        ask(cube, system=SYSTEM)
        dump = cube.dump(tmp_path / f"{number}.memcube")
        assert dump.manifest.counts["segments"] == kept


@pytest.mark.parametrize("by", ["ana", "zoe"])
def test_a_system_text_is_erased_with_who_gave_it(ask, ana, readers, memos, by):
    zoe = memos.as_principal("zoe").cube("notes", owner="ana")  # who has no right to lose: all is public
    kept = ask(ana).reuse.built
    made = ask(zoe, system=SYSTEM).reuse.built
    receipt = memos.as_principal(by).forget_principal("zoe")
    assert (receipt.erased["artifacts"], len(blobs(memos))) == (made, kept)


def test_a_segment_is_evicted_in_its_own_cube_whatever_is_claimed(ask, ana, eve, memos):
    ask(ana)
    own = memos.as_principal("eve").cube("hers")
    forged = [replace(each, cube=own.id) for each in memos.as_principal("ana").segments()]
    assert memos.as_principal("eve").evict(forged) == 0
    assert len(memos.as_principal("ana").segments()) == len(forged)


def stale_by(memos, change):
    """Make the change; return which segments Ana has before, and which after it."""
    as_ana = memos.as_principal("ana")
    before = {segment.key for segment in as_ana.segments()}
    change()
    assert len(blobs(memos)) == len(as_ana.segments()), "a file outlived its row"
    return before, {segment.key for segment in as_ana.segments()}


def one_of(cube, level):
    return next(m.id for m in cube.list() if m.header.governance.visibility == level)


CHANGES = {
    "archive": lambda memos, ana, clock: ana.archive(one_of(ana, "shared")),
    "classify": lambda memos, ana, clock: ana.classify(one_of(ana, "shared"), visibility="private"),
    "publish": lambda memos, ana, clock: ana.classify(one_of(ana, "shared"), visibility="public"),
    "grant": lambda memos, ana, clock: ana.grant("zoe", "read"),
    "revoke": lambda memos, ana, clock: ana.revoke("eve"),
    "join": lambda memos, ana, clock: memos.as_principal("ana").group("team", members=["zoe"]),
    "grant to a group": lambda memos, ana, clock: ana.grant(memos.as_principal("ana").group("new"), "read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_who_reads_what_leaves_no_state_behind(ask, ana, eve, memos, clock, change):
    ana.grant(memos.as_principal("ana").group("team", members=["bob"]), "read")
    ask(ana)
    before, after = stale_by(memos, lambda: CHANGES[change](memos, ana, clock))
    assert before - after
    if change in ("grant", "revoke", "join", "grant to a group"):
        assert after == set()
    assert set(ask.runtime._levels.keys()) <= after
    assert set(ask(ana).memories) == ids(ana.list())


KEEPS = {
    "freeze": lambda memos, ana: ana.freeze(one_of(ana, "shared")),
    "activate": lambda memos, ana: ana.activate(one_of(ana, "shared")),
    "priority": lambda memos, ana: ana.classify(one_of(ana, "shared"), priority=1),
    "same visibility": lambda memos, ana: ana.classify(one_of(ana, "shared"), visibility="shared"),
    "restated": lambda memos, ana: ana.remember(told(0, "ana"), visibility="shared"),
    "granted again": lambda memos, ana: ana.grant("eve", "write"),
    "nothing to revoke": lambda memos, ana: ana.revoke("nobody"),
    "a group that no cube knows": lambda memos, ana: memos.as_principal("ana").group("x", members=["eve"]),
}


@pytest.mark.parametrize("change", KEEPS)
def test_what_changes_neither_words_nor_readers_keeps_what_was_computed(ask, ana, eve, memos, change):
    ask(ana)
    before, after = stale_by(memos, lambda: KEEPS[change](memos, ana))
    assert before == after
    assert ask(ana).reuse.built == 0


def test_upkeep_takes_the_files_of_what_it_expires_and_archives(ask, ana, memos, clock):
    ana.remember(told(0, "ana"), ttl=timedelta(hours=1))
    ask(ana)
    clock.move(hours=2)
    before, after = stale_by(memos, memos.upkeep)
    assert before - after
    ana.remember(told(1, "ana"))
    ask(ana)
    clock.move(days=9)
    before, after = stale_by(memos, lambda: memos.upkeep(archive_after=timedelta(days=1)))
    assert before - after


def test_a_frozen_memory_whose_time_was_over_takes_its_files_with_it_when_it_thaws(ask, ana, memos, clock):
    memory = ana.remember(told(0, "ana"), ttl=timedelta(hours=1))
    ana.freeze(memory.id)
    clock.move(hours=2)
    assert ask(ana).memories == (memory.id,)
    before, after = stale_by(memos, lambda: ana.unfreeze(memory.id))
    assert before - after
    assert ask(ana).memories == ()


def test_what_is_archived_or_expired_is_forgotten_with_its_record_and_its_files(ask, ana, memos, clock):
    put = [Entry(key=key, data={"n": 1}, texts=(told(n, key),)) for n, key in enumerate(("a", "b"))]
    archived, kept = ana.records.put(put)
    ask(ana)
    ana.archive(archived.memory_id)
    receipt = ana.forget(archived.memory_id)
    assert (receipt.erased["records"], receipt.erased["memories"]) == (1, 1)
    receipt = ana.forget(kept.memory_id)
    assert receipt.erased["records"] == 1
    assert (ana.records.count(), ana.list()) == (0, [])


def test_a_grant_that_is_refused_leaves_the_files(ask, ana, eve, memos):
    ask(ana)

    def refused():
        with pytest.raises(Forbidden):
            eve.grant("zoe", "read")

    before, after = stale_by(memos, refused)
    assert before == after != set()
