"""Trust, purposes, lineage and erasure reach into forks, and never out of one."""

from __future__ import annotations

import pytest

from memos_core import Forbidden, InvalidInput, Message, NotFound, Trust, Where, WrongPurpose
from memos_core.erasure import Scope

pytestmark = pytest.mark.databases


def texts(memories):
    return [memory.text for memory in memories]


def trusts(cube):
    return {memory.text: memory.trust.value for memory in cube.list()}


@pytest.fixture
def base(cube):
    cube.ingest([Message("Ana", "The harbour is cold", id="m"), Message("Bo", "Is it?")], session="s")
    cube.remember("The ferry leaves at noon")
    return cube


@pytest.fixture
def fork(base):
    return base.fork("twig")


# --- trust --------------------------------------------------------------------------------------


def test_what_a_base_doubts_is_doubted_in_every_fork(base, fork):
    shared, copied, _ = base.list()
    fork.revise(copied.id, "It is, they say")
    derived = fork.remember("Bring a coat", derived_from=[shared.id, copied.id])
    further = fork.fork("leaf")
    further.copy(derived.id, "A warm coat")
    for each in (shared, copied):
        base.classify(each.id, trust="untrusted")
    assert trusts(fork) == {
        "The harbour is cold": "untrusted",
        "It is, they say": "untrusted",
        "The ferry leaves at noon": "trusted",
        "Bring a coat": "untrusted",
    }
    assert trusts(further) == trusts(fork) | {"A warm coat": "untrusted"}


def test_doubt_of_what_is_shared_changes_the_stamp_of_the_fork(memos, base, fork):
    before = memos.cube("twig").stamp
    base.ingest([Message("Ana", "The harbour is cold", id="m")], session="s", trust="untrusted")
    assert memos.cube("twig").stamp != before
    assert texts(fork.list(where=Where(trust="untrusted"))) == ["The harbour is cold"]


@pytest.mark.parametrize(
    "doubt",
    [
        lambda fork, first: fork.classify(first.id, trust="untrusted"),
        lambda fork, first: fork.revise(first.id, "words of a stranger", trust="untrusted"),
        lambda fork, first: fork.ingest(
            [Message("Ana", "The harbour is cold", id="m")], session="s", trust="untrusted"
        ),
        lambda fork, first: fork.ingest([Message("Ana", "Edited", id="m")], session="s", trust="untrusted"),
        lambda fork, first: fork.link(
            first.id, "derived_from", fork.remember("a page", trust="untrusted").id
        ),
    ],
    ids=["classify", "revise", "told again", "edited", "linked"],
)
def test_doubt_of_a_fork_stays_there_and_goes_down_its_line(base, doubt):
    first = base.list()[0]
    second = base.copy(first.id, "shared, and derived")
    fork = base.fork("twig")
    before = [(memory, base.stamp) for memory in base.list()]
    doubt(fork, first)
    assert [(memory, base.stamp) for memory in base.list()] == before
    assert [fork.get(each.id).trust for each in (first, second)] == [Trust.UNTRUSTED] * 2


def test_a_fork_trusts_no_copy_further_than_its_base_does(base):
    first = base.list()[0]
    base.classify(first.id, trust="untrusted")
    fork = base.fork("twig")
    with pytest.raises(InvalidInput):
        fork.classify(first.id, trust="trusted")
    base.classify(first.id, trust="trusted")
    assert fork.get(first.id).trust is Trust.UNTRUSTED
    assert fork.classify(first.id, trust="trusted").trust is Trust.TRUSTED


@pytest.mark.parametrize("how", ["revise", "remember", "link"])
def test_a_merge_brings_doubt_with_the_words_and_takes_none_away(base, fork, how):
    first, other, _ = base.list()
    if how == "revise":
        fork.revise(first.id, "words of a stranger", trust="untrusted")
    elif how == "remember":
        fork.remember("words of a stranger", trust="untrusted")
    else:
        fork.classify(other.id, trust="untrusted")
        page = fork.remember("a page", trust="untrusted")
        fork.link(first.id, "derived_from", page.id)
        fork.revise(first.id, "words of a stranger")
    base.merge(fork, on_conflict="theirs")
    assert trusts(base)["words of a stranger"] == "untrusted"
    base.merge(fork, on_conflict="theirs")
    fork.merge(base, on_conflict="theirs")
    assert trusts(fork)["words of a stranger"] == "untrusted"


def test_going_back_makes_nothing_trusted(base):
    first = base.list()[0]
    base.snapshot("then")
    base.revise(first.id, "words of a stranger", trust="untrusted")
    base.rollback("then")
    assert (base.get(first.id).text, base.get(first.id).trust) == ("The harbour is cold", Trust.UNTRUSTED)


def test_a_link_that_a_rollback_makes_again_binds(base):
    first, _, third = base.list()
    base.snapshot("before")
    base.link(third.id, "derived_from", first.id)
    base.snapshot("linked")
    base.rollback("before")
    base.classify(first.id, trust="untrusted")
    assert base.get(third.id).trust is Trust.TRUSTED
    base.rollback("linked")
    assert base.get(third.id).trust is Trust.UNTRUSTED


def test_links_that_a_rollback_of_the_base_takes_back_stay_in_its_fork(base):
    first, _, third = base.list()
    base.snapshot("before")
    base.link(third.id, "supports", first.id)
    fork = base.fork("twig")
    base.rollback("before")
    assert not base.get(third.id).header.behaviour.lineage
    assert [link.relation.value for link in fork.get(third.id).header.behaviour.lineage] == ["supports"]


def test_the_past_shows_the_trust_of_today(base):
    first = base.list()[0]
    base.snapshot("then")
    base.classify(first.id, trust="untrusted")
    assert base.get(first.id, at="then").trust is Trust.UNTRUSTED
    assert texts(base.list(where=Where(trust="untrusted"), at="then")) == [first.text]


# --- purposes -----------------------------------------------------------------------------------


def test_a_fork_serves_no_purpose_that_its_base_does_not(memos, base, fork):
    base.limit(purposes=["support"])
    with pytest.raises(WrongPurpose) as caught:
        fork.list()
    assert caught.value.purposes == ("support",)
    assert "twig" not in [cube.name for cube in memos.cubes()]
    served = memos.as_principal("local", purpose="support")
    assert len(served.cube("twig").list()) == 3
    served.cube("twig").limit(purposes=["billing"])
    with pytest.raises(WrongPurpose):
        served.cube("twig").list()


def test_several_cubes_are_read_as_one_for_what_each_of_them_serves(memos, base):
    other = memos.cube("other")
    other.remember("elsewhere")
    other.limit(purposes=["support"])
    served = memos.as_principal("local", purpose="support")
    both = served.compose(served.cube("notes"), served.cube("other"))
    assert both.count() == 4
    with pytest.raises(WrongPurpose):
        memos.compose(base, other)


# --- lineage ------------------------------------------------------------------------------------


def test_the_lineage_of_a_shared_memory_is_told_in_a_fork(base):
    first = base.list()[0]
    derived = base.copy(first.id, "The harbour is icy")
    fork = base.fork("twig")
    assert [kin.memory.text for kin in fork.lineage(derived.id).ancestors] == [first.text]
    fork.revise(first.id, "The harbour is mild")
    found = fork.lineage(derived.id)
    assert [kin.memory.text for kin in found.ancestors] == ["The harbour is mild"]
    assert [kin.memory.text for kin in fork.lineage(first.id).descendants] == [derived.text]
    assert [kin.memory.text for kin in base.lineage(derived.id).ancestors] == [first.text]
    assert [source.text for source in fork.lineage(first.id).sources] == ["The harbour is cold"]


# --- erasure ------------------------------------------------------------------------------------


def test_what_a_fork_forgets_of_its_base_lives_on_there(memos, base, fork):
    first = base.list()[0]
    receipt = fork.forget(first.id)
    assert (receipt.memory_id, receipt.memories, receipt.shared) == (first.id, (), (first.id,))
    assert receipt.erased["shared"] == 1
    assert base.get(first.id) == first
    with pytest.raises(NotFound):
        fork.get(first.id)
    assert memos.verify_erasure(receipt).ok


def test_a_filter_reaches_copies_and_what_is_shared(memos, base, fork, catalog_rows):
    first, second, _ = base.list()
    fork.revise(first.id, "Not in the spring")
    leaf = fork.fork("leaf")
    leaf.revise(first.id, "In no season")
    receipt = base.forget(where=Where(sessions=("s",)))
    assert receipt.memories[:2] == (first.id, second.id)
    assert (receipt.erased["copies"], receipt.erased["memories"]) == (2, 4)
    assert set(receipt.texts) >= {"The harbour is cold", "Not in the spring", "In no season", "Is it?"}
    assert set(receipt.cubes) == {base.id, fork.id, leaf.id}
    assert [texts(cube.list()) for cube in (base, fork, leaf)] == [["The ferry leaves at noon"]] * 3
    assert memos.verify_erasure(receipt).ok
    left = str({name: rows for name, rows in catalog_rows(memos).items() if name != "audit"})
    assert not any(text in left for text in receipt.texts)


def test_a_filter_of_a_fork_erases_its_own_and_shares_the_rest_no_more(memos, base, fork):
    first, second, _ = base.list()
    fork.revise(first.id, "Not in the spring")
    receipt = fork.forget(where=Where(sessions=("s",)))
    assert (len(receipt.memories), receipt.shared) == (1, (second.id,))
    assert "Is it?" not in receipt.texts
    assert texts(base.list()) == ["The harbour is cold", "Is it?", "The ferry leaves at noon"]
    assert texts(fork.list()) == ["The ferry leaves at noon"]
    assert memos.verify_erasure(receipt).ok


def test_a_forgotten_cube_leaves_its_forks_what_is_their_own(memos, base, fork):
    first = base.list()[0]
    base.snapshot("then")
    fork.revise(first.id, "Not in the spring")
    fork.remember("The fork's own")
    leaf = fork.fork("leaf")
    receipt = memos.forget_cube("notes")
    assert (receipt.scope, receipt.erased["snapshots"]) == (Scope.CUBE, 1)
    assert [texts(cube.list()) for cube in (fork, leaf)] == [["The fork's own"]] * 2
    assert memos.verify_erasure(receipt).ok
    with pytest.raises(InvalidInput):
        fork.merge(memos.cube("notes"), on_conflict="theirs")


def test_a_forgotten_fork_takes_nothing_from_its_base(memos, base, fork):
    fork.revise(base.list()[0].id, "Not in the spring")
    leaf = fork.fork("leaf")
    leaf.remember("The leaf's own")
    before = base.list()
    receipt = memos.forget_cube("twig")
    assert base.list() == before
    assert texts(leaf.list()) == ["The leaf's own"]
    assert memos.verify_erasure(receipt).ok


def test_a_persons_words_go_from_forks_as_well(memos):
    ana = memos.as_principal("ana").cube("notes")
    ana.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    said = eve.remember("words of eve", visibility="shared")
    ana.remember("words of ana", visibility="shared")
    ana.revise(ana.remember("said by ana").id, "revised by ana")
    fork = ana.fork("twig")
    fork.revise(said.id, "revised in the fork")
    receipt = memos.as_principal("ana").forget_principal("eve")
    assert receipt.erased["memories"] == 2
    assert [texts(cube.list()) for cube in (ana, fork)] == [["words of ana", "revised by ana"]] * 2
    assert memos.as_principal("ana").verify_erasure(receipt).ok


def test_a_telling_goes_from_the_copies_of_forks_as_well(memos):
    ana = memos.as_principal("ana").cube("notes")
    (first,) = ana.ingest([Message("Eve", "The pass is closed", id="m")])
    ana.ingest([Message("Ana", "The pass is open again", id="m")])
    fork = ana.fork("twig")
    fork.revise(first.id, "The pass is open, and dry")
    receipt = memos.as_principal("ana").forget_principal("Eve")
    for cube in (ana, fork):
        assert "The pass is closed" not in [version.text for version in cube.history(first.id)]
        assert "Eve" not in [source.speaker for source in cube.sources(first.id)]
    assert "The pass is closed" in receipt.texts
    assert memos.as_principal("ana").verify_erasure(receipt).ok


def test_whoever_governs_a_fork_only_takes_a_persons_words_from_it_only(memos):
    ana = memos.as_principal("ana").cube("notes")
    ana.grant("bob", "read")
    ana.ingest([Message("Eve", "The pass is closed", id="m")], visibility="shared")
    ana.ingest([Message("Ana", "The ferry is late", id="n")], visibility="shared")
    bob = memos.as_principal("bob")
    fork = bob.cube("notes", owner="ana").fork("twig")
    receipt = bob.forget_principal("Eve")
    assert (receipt.memories, len(receipt.shared)) == ((), 1)
    assert texts(fork.list()) == ["The ferry is late"]
    assert texts(ana.list()) == ["The pass is closed", "The ferry is late"]
    with pytest.raises(Forbidden):
        bob.cube("notes", owner="ana").forget(ana.list()[0].id)


def test_words_that_a_base_revised_since_are_forgotten_with_their_speaker_in_forks_too(memos, base, fork):
    said = base.list()[0]
    base.revise(said.id, "The harbour is warm")
    assert said.text in texts(fork.list())
    receipt = memos.forget_principal("Ana")
    shown = texts(fork.list())
    assert (said.text in receipt.texts, said.text in shown, base.get(said.id).text) == (
        True, False, "The harbour is warm",
    )  # fmt: skip
