"""Forks: a cube that shares another one's memories until either writes to one; and how they come together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memos_core import (
    Entry,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    Message,
    NotFound,
    QuotaExceeded,
    Resolution,
    State,
    Where,
)


def ids(memories):
    return [memory.id for memory in memories]


def texts(memories):
    return [memory.text for memory in memories]


def told(recall):
    return [(hit.memory.text, hit.score, str(hit.why)) for hit in recall]


@pytest.fixture(params=[512 << 20, 0], ids=["resident", "proposed"])
def both(open_memos, request):
    """A store whose cubes are answered from RAM, and one whose indexes propose."""
    return open_memos(resident_bytes=request.param)


@pytest.fixture
def base(both):
    cube = both.cube("notes")
    cube.remember("Mira lives in Lisbon", tags=["home"])
    cube.remember("Mira has a red bicycle")
    cube.ingest(
        [
            Message("Ana", "The harbour is cold"),
            Message("Bo", "Is it? And the ferry?"),
            Message("Ana", "Too"),
        ],
        session="s",
    )
    return cube


# --- sharing ------------------------------------------------------------------------------------


def test_a_fork_begins_as_what_it_was_made_from(base):
    fork = base.fork("twig")
    assert [m.cube for m in fork.list()] == [fork.id] * 5
    assert [(m.id, m.header) for m in fork.list()] == [(m.id, m.header) for m in base.list()]
    assert (fork.owner, fork.count(), base.count()) == ("local", 5, 5)
    for query in ("Where does Mira live?", "Is the harbour cold?"):
        assert told(fork.recall(query, k=9)) == told(base.recall(query, k=9))
    home = fork.list()[0]
    assert (texts(fork.history(home.id)), texts(fork.sources(home.id))) == ([home.text], [home.text])
    assert fork.find(home.id[:20]) == home.id


def test_a_fork_copies_no_memory(memos, cube, catalog_rows):
    cube.remember("one")
    memos.drain()
    before = catalog_rows(memos)
    cube.fork("twig")
    after = catalog_rows(memos)
    grown = {name: len(rows) - len(before[name]) for name, rows in after.items() if rows != before[name]}
    assert {name: n for name, n in grown.items() if n} == {"cubes": 1, "audit": 2}


WRITES = {
    "revise": lambda cube, m: cube.revise(m, "other words"),
    "archive": lambda cube, m: cube.archive(m),
    "freeze": lambda cube, m: cube.freeze(m),
    "activate": lambda cube, m: cube.activate(m),
    "classify": lambda cube, m: cube.classify(m, priority=3, visibility="shared"),
    "link": lambda cube, m: cube.link(m, "supersedes", cube.list()[1].id),
    "restate": lambda cube, m: cube.remember("Mira lives in Lisbon", tags=["more"]),
    "remember": lambda cube, m: cube.remember("new words"),
    "ingest": lambda cube, m: cube.ingest([Message("Bo", "new words")], session="s"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_what_is_written_in_a_fork_stays_there(base, verb):
    fork, before = base.fork("twig"), base.list()
    WRITES[verb](fork, before[0].id)
    assert base.list() == before
    assert fork.list() != before


@pytest.mark.parametrize("verb", WRITES)
def test_what_is_written_in_the_base_is_not_seen_by_its_fork(base, verb):
    fork = base.fork("twig")
    twig = fork.fork("leaf")
    before = [(m.text, m.state, m.tags, m.header.governance) for m in fork.list()]
    WRITES[verb](base, base.list()[0].id)
    for each in (fork, twig):
        assert [(m.text, m.state, m.tags, m.header.governance) for m in each.list()] == before
        assert each.recall("Where does Mira live?", k=1).texts == ["Mira lives in Lisbon"]


def test_a_copy_is_found_under_its_old_id_in_its_old_place(base):
    fork = base.fork("twig")
    old = fork.list()[0]
    new = fork.revise(old.id, "Mira lives in Porto")
    assert (new.id != old.id, new.version, fork.get(old.id)) == (True, 2, new)
    assert texts(fork.list())[:2] == ["Mira lives in Porto", "Mira has a red bicycle"]
    assert texts(fork.history(old.id)) == ["Mira lives in Lisbon", "Mira lives in Porto"]
    assert fork.revise(old.id, "Mira lives in Faro").id == new.id
    assert fork.recall("Where does Mira live?", k=1).texts == ["Mira lives in Faro"]


def test_an_old_id_is_found_through_two_forks(base):
    old = base.list()[0]
    fork = base.fork("twig")
    leaf = fork.fork("leaf")
    fork.revise(old.id, "Mira lives in Porto")
    assert leaf.get(old.id).text == "Mira lives in Lisbon"
    leaf.revise(old.id, "Mira lives in Faro")
    assert [each.get(old.id).text[-6:] for each in (base, fork, leaf)] == ["Lisbon", " Porto", "n Faro"]


def test_links_hold_between_copies_and_what_is_shared(base):
    home, bicycle, *_ = base.list()
    base.link(home.id, "supersedes", bicycle.id)
    fork = base.fork("twig")
    copy = fork.revise(bicycle.id, "Mira has a blue bicycle")
    assert [link.target for link in fork.get(home.id).header.behaviour.lineage] == [copy.id]
    assert [link.target for link in base.get(home.id).header.behaviour.lineage] == [bicycle.id]
    found = texts(fork.recall("blue bicycle", k=2).memories)
    assert found == ["Mira lives in Lisbon", "Mira has a blue bicycle"]
    other = fork.revise(home.id, "Mira lives in Porto")
    assert [link.target for link in other.header.behaviour.lineage] == [copy.id]


def test_a_conversation_goes_on_in_a_fork(base):
    fork = base.fork("twig")
    said = fork.ingest([Message("Bo", "I will take the ferry")], session="s")[0]
    again = fork.ingest([Message("Ana", "The harbour is cold")], session="s")[0]
    assert (said.header.descriptive.position, again.id) == (3, base.list()[2].id)
    found = fork.recall("ferry", k=9, budget=60)
    assert "I will take the ferry" in found.texts


def test_an_edit_by_ingest_is_the_forks_own(base):
    base.ingest([Message("Ana", "first", id="m1")], session="t")
    fork = base.fork("twig")
    edited = fork.ingest([Message("Ana", "second", id="m1"), Message("Ana", "third", id="m1")], session="t")
    assert (texts(edited), edited[0].version) == (["third", "third"], 3)
    assert base.list()[-1].text == "first"


def test_filters_and_states_hold_in_a_fork(base):
    fork = base.fork("twig")
    home, bicycle, *_ = fork.list()
    fork.archive(bicycle.id)
    assert texts(fork.list(tags=["home"])) == ["Mira lives in Lisbon"]
    assert fork.recall("Mira", where=Where(tags=("home",))).texts == ["Mira lives in Lisbon"]
    assert texts(fork.list(state="archived")) == ["Mira has a red bicycle"]
    assert texts(fork.list(limit=2, offset=1)) == ["The harbour is cold", "Is it? And the ferry?"]
    assert home.id == fork.list()[0].id


def test_values_under_keys_stay_behind(base):
    base.records.put([Entry(key="k", data={}, texts=("salt",))])
    fork = base.fork("twig")
    assert (fork.records.count(), fork.recall("salt", where=Where(kinds=("record",))).hits) == (0, ())
    fork.records.put([Entry(key="k", data={"n": 1}, texts=("salt",))])
    assert (fork.records.count(), base.records.get(["k"])["k"].data) == (1, {})


# --- the end of a memory reaches through ----------------------------------------------------------


def test_what_the_base_forgets_is_gone_from_every_fork_and_its_copies(both, base, catalog_rows):
    secret = base.remember("the password is sturgeon")
    fork = base.fork("twig")
    leaf = fork.fork("leaf")
    own = leaf.fork("own")
    own.revise(secret.id, "the password is sturgeon still")
    fork.recall("password"), leaf.recall("password"), own.recall("password")
    receipt = base.forget(secret.id)
    assert receipt.erased["copies"] == 1
    for each in (base, fork, leaf, own):
        assert "sturgeon" not in " ".join([*texts(each.list()), *each.recall("password", k=9).texts])
        with pytest.raises(NotFound):
            each.get(secret.id)
    both.drain()
    kept = {name: rows for name, rows in catalog_rows(both).items() if not name.startswith("lexical")}
    assert "sturgeon" not in str(kept)


def test_a_fork_forgets_for_itself_only(base):
    fork = base.fork("twig")
    leaf = fork.fork("leaf")
    home = base.list()[0]
    assert dict(fork.forget(home.id).erased) == {"shared": 1, "artifacts": 0}
    assert (home.id in ids(base.list()), home.id in ids(fork.list())) == (True, False)
    assert fork.recall("Lisbon", k=9).texts.count(home.text) == 0
    assert leaf.get(home.id).text == home.text
    with pytest.raises(NotFound):
        fork.get(home.id)


def test_what_expires_in_the_base_expires_in_the_fork(both, clock):
    base = both.cube("notes")
    base.remember("a brief word", ttl=timedelta(days=1))
    fork = base.fork("twig")
    fork.recall("word")
    clock.move(days=2)
    before = fork.list()
    both.upkeep()
    assert (before, fork.list(), fork.recall("word").hits) == ([], [], ())


def test_a_frozen_memory_is_not_forgotten_by_a_fork(base):
    home = base.list()[0]
    base.freeze(home.id)
    fork = base.fork("twig")
    with pytest.raises(IllegalTransition):
        fork.forget(home.id)


# --- who may --------------------------------------------------------------------------------------


@pytest.fixture
def shared(memos):
    """Ana's cube with one memory for everybody who reads it, and one of her own."""
    ana = memos.as_principal("ana").cube("notes")
    return ana, ana.remember("for readers", visibility="shared"), ana.remember("hers alone")


def test_a_fork_has_what_its_maker_saw(memos, shared):
    ana, readable, private = shared
    ana.grant("eve", "read")
    fork = memos.as_principal("eve").cube("notes", owner="ana").fork("mine")
    assert (fork.owner, ids(fork.list())) == ("eve", [readable.id])
    with pytest.raises(NotFound):
        fork.get(private.id)
    ana.classify(private.id, visibility="shared")
    assert ids(fork.list()) == [readable.id]


def test_what_was_taken_stays_when_the_right_goes(memos, shared):
    ana, readable, _ = shared
    ana.grant("eve", "read")
    fork = memos.as_principal("eve").cube("notes", owner="ana").fork("mine")
    ana.revoke("eve")
    ana.classify(readable.id, visibility="private")
    assert texts(fork.list()) == ["for readers"]
    with pytest.raises(NotFound):
        memos.as_principal("eve").cube("notes", owner="ana")
    ana.forget(readable.id)
    assert fork.list() == []


def test_who_may_see_nothing_forks_nothing(memos, shared):
    from memos_core import MemCube

    stolen = MemCube(memos._core, shared[0]._header, memos.as_principal("eve").principal)
    with pytest.raises(NotFound):
        stolen.fork("mine")


def test_a_name_that_is_taken_is_refused(base):
    base.fork("twig")
    for name in ("twig", "notes"):
        with pytest.raises(InvalidInput, match="another name"):
            base.fork(name)


def test_what_is_shared_counts_for_the_quota(base):
    fork = base.fork("twig")
    fork.limit(memories=5)
    with pytest.raises(QuotaExceeded):
        fork.remember("one more")


def test_a_fork_has_a_past_of_its_own(base):
    fork = base.fork("twig")
    before = texts(fork.list())
    fork.snapshot("then")
    fork.revise(base.list()[0].id, "Mira lives in Porto")
    fork.remember("new")
    base.revise(base.list()[1].id, "Mira has a blue bicycle")
    assert texts(fork.list(at="then")) == before
    assert fork.recall("Where does Mira live?", k=1, at="then").texts == ["Mira lives in Lisbon"]
    fork.rollback("then")
    assert texts(fork.list()) == before


# --- coming together ------------------------------------------------------------------------------


def test_what_only_they_changed_is_taken(base):
    fork = base.fork("twig")
    home, bicycle, cold, *_ = base.list()
    fork.revise(home.id, "Mira lives in Porto", tags=["city"])
    fork.archive(bicycle.id)
    fork.forget(cold.id)
    new = fork.remember("Mira sings")
    fork.link(new.id, "supports", home.id)
    base.revise(base.list()[4].id, "Not at all")
    done = base.merge(fork, on_conflict="report")
    assert (len(done.added), len(done.revised), len(done.moved), done.conflicts, done.applied) == (
        1, 1, 2, (), True,
    )  # fmt: skip
    assert texts(base.list()) == ["Mira lives in Porto", "Is it? And the ferry?", "Not at all", "Mira sings"]
    assert ids(base.list(state="archived")) == [bicycle.id, cold.id]
    assert (base.get(home.id).version, base.get(home.id).tags) == (2, ("city",))
    assert base.recall("Where does Mira live?", k=1).texts == ["Mira lives in Porto"]
    added = base.get(done.memories[new.id])
    assert [link.target for link in added.header.behaviour.lineage] == [home.id]
    assert base.recall("sings", k=1).texts == ["Mira sings"]
    again = base.merge(fork, on_conflict="report")
    assert (again.added, again.revised, again.moved, again.conflicts) == ((), (), (), ())


def test_a_fork_takes_what_its_base_changed(base):
    fork = base.fork("twig")
    home, bicycle, *_ = base.list()
    base.revise(home.id, "Mira lives in Porto")
    base.archive(bicycle.id)
    base.remember("Mira sings")
    fork.merge(base, on_conflict="report")
    assert texts(fork.list()) == texts(base.list())
    assert not base.merge(fork, on_conflict="report").added


def both_changed(base):
    """Return a fork, and a memory that says something else on each side."""
    fork, home = base.fork("twig"), base.list()[0]
    base.revise(home.id, "Mira lives in Porto")
    fork.revise(home.id, "Mira lives in Faro")
    return fork, home.id


def test_a_conflict_is_a_value_with_all_three_sides(base):
    fork, home = both_changed(base)
    done = base.merge(fork, on_conflict="report")
    assert [(c.base.text, c.ours.text, c.theirs.text) for c in done.conflicts] == [
        ("Mira lives in Lisbon", "Mira lives in Porto", "Mira lives in Faro")
    ]
    assert (done.applied, base.get(home).text) == (False, "Mira lives in Porto")


def test_a_report_changes_nothing(both, base, catalog_rows):
    fork, _ = both_changed(base)
    fork.remember("new")
    both.drain()
    before = catalog_rows(both)
    base.merge(fork, on_conflict="report")
    assert catalog_rows(both) == before


SETTLED = {
    "ours": ["Mira lives in Porto"],
    "theirs": ["Mira lives in Faro"],
    "keep_both": ["Mira lives in Porto", "Mira lives in Faro"],
}


@pytest.mark.parametrize("how", SETTLED)
def test_a_conflict_is_settled_as_told(base, how):
    fork, _ = both_changed(base)
    done = base.merge(fork, on_conflict=how)
    assert [text for text in texts(base.list()) if "lives" in text] == SETTLED[how]
    assert (done.applied, len(done.conflicts)) == (True, 1)
    again = base.merge(fork, on_conflict="report")
    assert (again.conflicts, again.added, again.revised) == ((), (), ())


def test_a_function_settles_each_conflict(base):
    fork, _ = both_changed(base)
    bicycle = base.list()[1]
    base.revise(bicycle.id, "Mira has a blue bicycle")
    fork.revise(bicycle.id, "Mira has no bicycle")
    base.merge(fork, on_conflict=lambda c: "theirs" if "Faro" in c.theirs.text else Resolution.OURS)
    assert texts(base.list())[:2] == ["Mira lives in Faro", "Mira has a blue bicycle"]


def test_what_was_settled_once_conflicts_again_only_if_they_change_it_again(base):
    fork, home = both_changed(base)
    base.merge(fork, on_conflict="ours")
    fork.revise(home, "Mira lives in Evora")
    again = base.merge(fork, on_conflict="report")
    assert [(c.base.text, c.ours.text, c.theirs.text) for c in again.conflicts] == [
        ("Mira lives in Faro", "Mira lives in Porto", "Mira lives in Evora")
    ]


def test_one_side_put_away_what_the_other_changed(base):
    fork, home = base.fork("twig"), base.list()[0]
    base.archive(home.id)
    fork.revise(home.id, "Mira lives in Faro")
    conflict = base.merge(fork, on_conflict="report").conflicts[0]
    assert (conflict.base.text, conflict.theirs.text) == ("Mira lives in Lisbon", "Mira lives in Faro")
    base.merge(fork, on_conflict="theirs")
    assert base.get(home.id).text == "Mira lives in Faro"


def test_a_fork_that_forgot_what_its_base_changed(base):
    fork, home = base.fork("twig"), base.list()[0]
    fork.forget(home.id)
    base.revise(home.id, "Mira lives in Porto")
    assert fork.merge(base, on_conflict="report").conflicts[0].ours is None
    fork.merge(base, on_conflict="ours")
    assert "Mira lives in Porto" not in texts(fork.list())
    base.revise(home.id, "Mira lives in Evora")
    fork.merge(base, on_conflict="theirs")
    assert "Mira lives in Evora" in texts(fork.list())


def test_what_is_frozen_is_not_written_by_a_merge(both, base, catalog_rows):
    fork, home = base.fork("twig"), base.list()[0]
    base.freeze(home.id)
    fork.revise(home.id, "Mira lives in Faro")
    fork.remember("new")
    both.drain()
    before = catalog_rows(both)
    with pytest.raises(IllegalTransition):
        base.merge(fork, on_conflict="theirs")
    assert catalog_rows(both) == before
    base.merge(fork, on_conflict="ours")
    assert (base.get(home.id).state, base.get(home.id).text) == (State.FROZEN, "Mira lives in Lisbon")


def test_a_revision_while_conflicts_are_settled_is_settled_too(base):
    fork, home = both_changed(base)
    seen = []

    def settle(conflict):
        if not seen:
            base.revise(home, "Mira lives in Braga")
        seen.append(conflict.ours.text)
        return "ours"

    base.merge(fork, on_conflict=settle)
    assert (seen, base.get(home).text) == (
        ["Mira lives in Porto", "Mira lives in Braga"],
        "Mira lives in Braga",
    )


def test_cubes_without_a_fork_point_are_not_merged(both, base):
    one, two = base.fork("one"), base.fork("two")
    for other in (both.cube("other"), two):
        with pytest.raises(InvalidInput, match="share no fork point"):
            one.merge(other, on_conflict="ours")
    with pytest.raises(InvalidInput, match="share no fork point"):
        base.merge(base, on_conflict="ours")


def test_equal_statements_of_both_sides_are_one(base):
    fork = base.fork("twig")
    for each in (base, fork):
        each.remember("Mira sings")
    base.merge(fork, on_conflict="report")
    assert texts(base.list()).count("Mira sings") == 1


def test_turns_of_both_sides_follow_each_other(base):
    fork = base.fork("twig")
    base.ingest([Message("Bo", "said here")], session="s")
    fork.ingest([Message("Bo", "said there")], session="s")
    base.merge(fork, on_conflict="report")
    turns = [(m.header.descriptive.position, m.text) for m in base.list()][-2:]
    assert turns == [(3, "said here"), (4, "said there")]


def test_who_may_not_publish_merges_nothing_public(memos, shared):
    ana, *_ = shared
    ana.grant("eve", "write")
    notes = memos.as_principal("eve").cube("notes", owner="ana")
    fork = notes.fork("mine")
    fork.remember("for everybody", visibility="public")
    with pytest.raises(Forbidden):
        notes.merge(fork, on_conflict="ours")


def test_it_takes_the_right_to_read_the_other_cube(memos, shared):
    ana, *_ = shared
    fork = ana.fork("hers")
    ana.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    with pytest.raises(NotFound):
        eve.merge(fork, on_conflict="ours")
