"""Trust, provenance, forks and erasures go along in a file, and nothing gains trust on its way."""

from __future__ import annotations

import pytest

from memos_core import Message, NotFound, WrongPurpose


def trusts(cube):
    return {memory.text: memory.trust.value for memory in cube.list()}


def texts(memories):
    return [memory.text for memory in memories]


# --- trust and makers ---------------------------------------------------------------------------


def test_trust_and_makers_go_along(cube, file, elsewhere):
    page = cube.remember("a page", trust="untrusted")
    cube.remember("found in it", derived_from=[page.id], made_by="finder@2")
    cube.ingest([Message("Ana", "said", made_by="import:mem0")])
    cube.dump(file)
    elsewhere.load(file)
    moved = elsewhere.cube("notes")
    assert trusts(moved) == {"a page": "untrusted", "found in it": "untrusted", "said": "trusted"}
    assert [memory.header.descriptive.made_by for memory in moved.list()] == [
        "statement",
        "finder@2",
        "import:mem0",
    ]
    assert texts(kin.memory for kin in moved.lineage(moved.list()[1].id).ancestors) == ["a page"]


def test_what_a_file_doubts_is_doubted_where_it_is_the_same(cube, file, elsewhere):
    first = cube.remember("of one mind")
    cube.dump(file)
    elsewhere.load(file)
    moved = elsewhere.cube("notes")
    moved.copy(first.id, "derived here")
    cube.classify(first.id, trust="untrusted")
    cube.dump(file, overwrite=True)
    assert elsewhere.load(file).same == 1
    assert trusts(moved) == {"of one mind": "untrusted", "derived here": "untrusted"}


def test_no_file_makes_anything_trusted(cube, file, memos):
    first = cube.remember("first words")
    derived = cube.remember("derived", derived_from=[first.id])
    cube.dump(file)
    cube.revise(first.id, "other words")
    cube.revise(derived.id, "other words as well")
    cube.classify(first.id, trust="untrusted")
    assert memos.load(file, on_conflict="replace").replaced == 2
    assert trusts(cube) == {"first words": "untrusted", "derived": "untrusted"}


def test_statements_that_are_not_trusted_alike_are_two(cube, file, elsewhere):
    cube.remember("The ferry leaves at noon", trust="untrusted")
    cube.dump(file)
    there = elsewhere.cube("notes")
    there.remember("The ferry leaves at noon")
    elsewhere.load(file)
    assert sorted(memory.trust.value for memory in there.list()) == ["trusted", "untrusted"]


def test_a_file_is_written_for_what_its_cube_serves(memos, cube, file):
    cube.limit(purposes=["support"])
    with pytest.raises(WrongPurpose):
        cube.dump(file)
    memos.as_principal("local", purpose="support").cube("notes").dump(file)
    with pytest.raises(WrongPurpose):
        memos.load(file)


# --- forks --------------------------------------------------------------------------------------


def test_a_fork_goes_into_a_file_as_it_shows_itself(cube, file, elsewhere):
    first, second, third = (cube.remember(text) for text in ("one", "two", "three"))
    cube.link(second.id, "supports", first.id)
    fork = cube.fork("twig")
    fork.revise(first.id, "one, revised")
    fork.forget(third.id)
    own = fork.remember("four")
    fork.link(own.id, "supersedes", second.id)
    fork.dump(file)
    elsewhere.load(file)
    moved = elsewhere.cube("twig")
    assert texts(moved.list()) == ["one, revised", "two", "four"]
    assert [each.text for each in moved.history(moved.list()[0].id)] == ["one", "one, revised"]
    links = [[link.relation.value for link in each.header.behaviour.lineage] for each in moved.list()]
    assert links == [[], ["supports"], ["supersedes"]]
    assert [hit.memory.text for hit in moved.recall("four", k=1)] == ["four"]


def test_what_a_load_replaces_stays_in_forks(cube, file, memos):
    first = cube.remember("as it was")
    cube.dump(file)
    cube.revise(first.id, "as it is")
    fork = cube.fork("twig")
    memos.load(file, on_conflict="replace")
    assert texts(cube.list()) == ["as it was"]
    assert texts(fork.list()) == ["as it is"]


def test_a_load_into_a_fork_leaves_its_base_alone(cube, file, memos):
    first = cube.remember("as it was")
    cube.dump(file)
    cube.revise(first.id, "as it is")
    fork = cube.fork("twig")
    before = cube.list()
    assert memos.load(file, name="twig", on_conflict="replace").replaced == 1
    assert cube.list() == before
    assert texts(fork.list()) == ["as it was"]


def test_what_a_fork_forgot_is_forgotten_there_and_nowhere_else(cube, file, memos):
    first = cube.remember("still known")
    cube.dump(file)
    fork = cube.fork("twig")
    fork.forget(first.id)
    assert memos.load(file, name="twig").forgotten == 1
    assert memos.load(file, name="other").added == 1


# --- the past, and erasures ---------------------------------------------------------------------


def test_what_was_loaded_is_not_in_the_past_before_it(cube, file, elsewhere):
    cube.remember("from afar")
    cube.dump(file)
    there = elsewhere.cube("notes")
    there.remember("at home")
    there.snapshot("before")
    elsewhere.load(file)
    there.snapshot("after")
    there.revise(there.list()[1].id, "revised at home")
    assert texts(there.list(at="before")) == ["at home"]
    assert texts(there.list(at="after")) == ["at home", "from afar"]
    there.rollback("before")
    assert texts(there.list()) == ["at home"]


def test_a_memory_that_lost_a_version_to_an_erasure_is_moved(memos, file, elsewhere):
    ana = memos.as_principal("ana")
    cube = ana.cube("notes")
    (first,) = cube.ingest([Message("Eve", "The pass is closed", id="m")])
    cube.ingest([Message("Ana", "The pass is open", id="m")])
    ana.forget_principal("Eve")
    cube.dump(file)
    elsewhere.load(file)
    assert [each.version for each in elsewhere.cube("notes").history(first.id)] == [2]


def test_a_loaded_cube_is_forgotten_like_any_other(cube, file, elsewhere):
    cube.remember("Yolanda's ships")
    cube.dump(file)
    elsewhere.load(file)
    receipt = elsewhere.forget_cube("notes")
    assert elsewhere.verify_erasure(receipt).ok
    with pytest.raises(NotFound):
        elsewhere.cube("notes", create=False)
    assert elsewhere.load(file).forgotten == 1
