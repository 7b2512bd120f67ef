"""A cube shared: who sees which memory, in every way of reading; groups, quotas, a TTL for all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memos_core import (
    Forbidden,
    InvalidInput,
    Limits,
    MemCube,
    Message,
    NotFound,
    Principal,
    QuotaExceeded,
    Right,
    Where,
)

pytestmark = pytest.mark.databases


def ids(memories):
    return {memory.id for memory in memories}


@pytest.fixture(params=[512 << 20, 0], ids=["resident", "proposed"])
def both(open_memos, request):
    return open_memos(resident_bytes=request.param)


@pytest.fixture
def ana(both):
    return both.as_principal("ana").cube("notes")


def as_one(both, name):
    return both.as_principal(name).cube("notes", owner="ana")


@pytest.fixture
def mixed(ana):
    return {
        level: ana.remember(f"the ferry is {level}", visibility=level)
        for level in ("private", "shared", "public")
    }


@pytest.mark.parametrize(
    ("right", "seen"),
    [("public", {"public"}), ("read", {"shared", "public"}), ("admin", {"private", "shared", "public"})],
)
def test_every_way_of_reading_shows_what_may_be_seen_and_nothing_else(both, ana, mixed, right, seen):
    if right != "public":
        ana.grant("bob", right)
    bob = as_one(both, "bob")
    wanted = {mixed[level].id for level in seen}
    assert ids(bob.recall("ferry", k=9).memories) == wanted
    assert ids(bob.recall("ferry", k=9, where=Where(kinds=("fact",))).memories) == wanted
    assert ids(bob.recall("ferry", k=9, budget=500).memories) == wanted
    assert ids(bob.list()) == wanted
    assert bob.count() == len(wanted)
    hidden = [memory for level, memory in mixed.items() if level not in seen]
    for memory in hidden:
        for read in (bob.get, bob.history, bob.sources, bob.find):
            with pytest.raises(NotFound):
                read(memory.id)


def test_what_is_hidden_enters_no_score(both, ana, open_memos, tmp_path):
    turns = [Message("Mira", f"the ferry number {n} leaves the harbour") for n in range(6)]
    ana.ingest(turns[:3], session="s", visibility="shared")
    alone = open_memos(tmp_path / "alone", resident_bytes=both._core.residents.budget)
    same = alone.as_principal("ana").cube("notes")
    same.ingest(turns[:3], session="s", visibility="shared")
    ana.ingest([*turns[3:], Message("Ferry", "ferry ferry ferry harbour")], session="s")
    ana.grant("bob", "read")
    found = as_one(both, "bob").recall("Which ferry leaves the harbour?", k=9)
    wanted = same.recall("Which ferry leaves the harbour?", k=9)
    assert [(hit.memory.text, hit.score) for hit in found] == [(hit.memory.text, hit.score) for hit in wanted]


def test_a_change_of_visibility_reaches_the_next_recall(both, ana, mixed):
    ana.grant("bob", "read")
    bob = as_one(both, "bob")
    bob.recall("ferry")
    ana.classify(mixed["private"].id, visibility="shared")
    ana.classify(mixed["shared"].id, visibility="private")
    assert ids(bob.recall("ferry", k=9).memories) == {mixed["private"].id, mixed["public"].id}


def test_an_edge_to_what_may_not_be_seen_is_no_edge(both, ana, mixed):
    ana.link(mixed["shared"].id, "supports", mixed["private"].id)
    ana.link(mixed["shared"].id, "related", mixed["public"].id)
    ana.grant("bob", "read")
    lineage = as_one(both, "bob").get(mixed["shared"].id).header.behaviour.lineage
    assert [link.target for link in lineage] == [mixed["public"].id]


def test_a_hidden_successor_stays_hidden(both, ana, mixed):
    ana.link(mixed["private"].id, "supersedes", mixed["shared"].id)
    ana.grant("bob", "read")
    assert mixed["private"].id not in ids(as_one(both, "bob").recall("ferry", k=9).memories)


def test_what_a_member_writes_privately_is_seen_by_it_and_by_the_owner(both, ana):
    ana.grant("bob", "write")
    ana.grant("eve", "write")
    bob, eve = as_one(both, "bob"), as_one(both, "eve")
    note = bob.remember("bob keeps a note")
    assert (ids(bob.list()), ids(ana.list()), ids(eve.list())) == ({note.id}, {note.id}, set())
    assert eve.remember("bob keeps a note").id != note.id


def test_a_revoked_right_is_gone_at_once_and_handles_with_it(both, ana, mixed):
    ana.grant("bob", "write")
    bob = as_one(both, "bob")
    bob.recall("ferry")
    ana.classify(mixed["public"].id, visibility="shared")
    assert ana.revoke("bob") == 1
    for verb in (
        bob.list,
        lambda: bob.recall("ferry"),
        lambda: bob.remember("x"),
        lambda: as_one(both, "bob"),
    ):
        with pytest.raises(NotFound):
            verb()


def test_a_group_is_granted_a_right_that_its_members_hold_while_they_are_in_it(both, ana, mixed):
    mine = both.as_principal("ana")
    team = mine.group("team", members=["bob", "eve"])
    grant = ana.grant(team, "read")
    assert (grant.to, grant.right, grant.by) == (team, Right.READ, "ana")
    assert as_one(both, "eve").count() == 2
    mine.group("team", members=["bob"])
    assert (as_one(both, "bob").count(), as_one(both, "eve").count()) == (2, 1)
    assert [cube.name for cube in both.as_principal("bob").cubes()] == ["notes"]
    assert [group.name for group in both.as_principal("bob").groups()] == ["team"]


def test_a_group_of_somebody_else_is_no_group_to_grant_to(both, ana):
    theirs = both.as_principal("eve").group("team", members=["eve"])
    with pytest.raises(NotFound):
        ana.grant(theirs, "read")


def test_two_owners_may_each_have_a_group_of_one_name(both):
    one, two = both.as_principal("ana").group("team"), both.as_principal("bob").group("team")
    assert (one.id != two.id, both.as_principal("ana").group("team")) == (True, one)


def test_nobody_grants_to_themselves(both, ana):
    ana.grant("bob", "admin")
    bob = as_one(both, "bob")
    for cube, name in ((ana, "ana"), (bob, "bob")):
        with pytest.raises(Forbidden, match="itself"):
            cube.grant(name, "admin")


def test_who_may_share_passes_on_what_it_holds_and_no_more(both, ana):
    ana.grant("bob", "share")
    bob = as_one(both, "bob")
    assert bob.grant(Principal("eve"), "read").by == "bob"
    for right in ("write", "share", "admin"):
        with pytest.raises(Forbidden):
            bob.grant("eve", right)
    assert [(str(each.to), each.right) for each in ana.grants()] == [("bob", "share"), ("eve", "read")]


def test_a_right_given_twice_is_one_grant(both, ana):
    ana.grant("bob", "read")
    ana.grant("bob", "read")
    assert len(ana.grants()) == 1


@pytest.mark.parametrize("write", ["remember", "ingest", "classify", "copy"])
def test_only_who_may_share_makes_something_public(both, ana, mixed, write):
    ana.grant("bob", "write")
    bob = as_one(both, "bob")
    own = bob.remember("bob's own")
    calls = {
        "remember": lambda: bob.remember("x", visibility="public"),
        "ingest": lambda: bob.ingest([Message("Bob", "x")], visibility="public"),
        "classify": lambda: bob.classify(own.id, visibility="public"),
        "copy": lambda: bob.copy(mixed["public"].id),
    }
    with pytest.raises(Forbidden):
        calls[write]()


def test_who_sees_a_memory_is_up_to_its_owner(both, ana, mixed):
    ana.grant("bob", "write")
    with pytest.raises(Forbidden):
        as_one(both, "bob").classify(mixed["shared"].id, visibility="private")


def test_classify_needs_something_to_change_and_writes_no_version(ana, mixed):
    with pytest.raises(InvalidInput):
        ana.classify(mixed["private"].id)
    changed = ana.classify(mixed["private"].id, sensitivity=7, priority=-2)
    rules = changed.header.governance
    assert (rules.sensitivity, rules.priority, changed.version) == (7, -2, 1)


def test_a_stranger_with_an_old_handle_learns_nothing(both, ana, mixed):
    ana.classify(mixed["public"].id, visibility="private")
    stolen = MemCube(both._core, ana._header, Principal("bob"))
    with pytest.raises(NotFound):
        stolen.lag()


# --- limits -----------------------------------------------------------------------------------


def test_a_cube_holds_no_more_memories_than_it_may(ana):
    ana.limit(memories=2)
    first = ana.remember("one")
    ana.remember("two")
    with pytest.raises(QuotaExceeded) as caught:
        ana.remember("three")
    assert (caught.value.limit, caught.value.wanted, ana.count()) == (2, 3, 2)
    ana.forget(first.id)
    ana.remember("three")


def test_a_batch_that_does_not_fit_is_refused_whole(ana):
    ana.limit(memories=2)
    with pytest.raises(QuotaExceeded):
        ana.ingest([Message("Mira", f"turn {n}") for n in range(3)])
    assert ana.count() == 0


def test_a_cube_holds_no_more_bytes_than_it_may(ana):
    ana.limit(text_bytes=10)
    kept = ana.remember("日本語")
    with pytest.raises(QuotaExceeded) as caught:
        ana.revise(kept.id, "日本語日")
    assert (caught.value.what, caught.value.wanted, ana.get(kept.id).text) == ("bytes of text", 12, "日本語")


def test_a_cube_may_bound_how_long_its_memories_are_known(ana, clock):
    before = ana.remember("before")
    assert ana.limit(ttl=timedelta(days=1)) == Limits(ttl=timedelta(days=1)) == ana.limits()
    longer = ana.remember("longer", ttl=timedelta(days=9))
    ana.remember("shorter", ttl=timedelta(hours=1))
    assert before.header.governance.expires_at is None
    clock.move(hours=2)
    assert {memory.text for memory in ana.list()} == {"before", "longer"}
    assert ana.remember("longer").id == longer.id  # stated again, and known until then
    clock.move(hours=23)
    assert {memory.text for memory in ana.list()} == {"longer"}


@pytest.mark.parametrize(
    "bad", [{"memories": -1}, {"memories": True}, {"text_bytes": 1.5}, {"ttl": timedelta(0)}]
)
def test_a_limit_that_is_none_is_refused(ana, bad):
    with pytest.raises(InvalidInput):
        ana.limit(**bad)


def test_a_right_that_is_granted_again_is_no_change(memos):
    ana = memos.as_principal("ana")
    cube = ana.cube("notes")
    for _ in range(2):
        cube.grant("bo", "read")
    assert [line.verb for line in ana.audit()] == ["create", "grant"]
