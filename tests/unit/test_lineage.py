"""Where a memory comes from and what came of it, as far as one may see."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memos_core import Entry, InvalidInput, Message, NotFound, Runtime
from memos_core.testing import ScriptedEngine


def names(kin):
    return [(each.memory.text, each.relation.value, each.depth) for each in kin]


def test_a_message_is_verbatim_and_names_its_speaker_and_session(cube):
    (memory,) = cube.ingest([Message("Mira", "I moved to Lisbon.", id="m1")], session="s1")
    found = cube.lineage(memory.id)
    (source,) = found.sources
    assert (found.made_by, found.written_by, found.memory) == ("verbatim", "local", memory)
    assert (source.text, source.speaker, source.session, source.message_id) == (
        "I moved to Lisbon.", "Mira", "s1", "m1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "made_by", "origin"),
    [
        (lambda cube: cube.remember("x"), "statement", "stated"),
        (lambda cube: cube.ingest([Message("Ana", "x")])[0], "verbatim", "said"),
        (lambda cube: cube.copy(cube.remember("x").id), "copy", "copied"),
        (lambda cube: cube.remember("x", made_by="fact-finder@2"), "fact-finder@2", "extracted"),
        (
            lambda cube: cube.get(cube.records.put([Entry(key="k", data={}, texts=("x",))])[0].memory_id),
            "record",
            "stated",
        ),
    ],
    ids=["remember", "ingest", "copy", "extractor", "record"],
)
def test_what_made_a_memory_is_written_down(cube, make, made_by, origin):
    header = make(cube).header.descriptive
    assert (header.made_by, header.origin) == (made_by, origin)


def test_kin_are_found_up_and_down_the_nearest_first(cube):
    said, heard, found, concluded, proof = (
        cube.remember(text) for text in ("said", "heard", "found", "concluded", "proof")
    )
    cube.link(found.id, "derived_from", said.id)
    cube.link(found.id, "supersedes", heard.id)
    cube.link(proof.id, "supports", found.id)
    cube.link(concluded.id, "derived_from", found.id)
    cube.link(found.id, "related", proof.id)
    middle, top, bottom = (cube.lineage(each.id) for each in (found, said, concluded))
    assert sorted(names(middle.ancestors)) == [
        ("heard", "supersedes", 1), ("proof", "supports", 1), ("said", "derived_from", 1),
    ]  # fmt: skip
    assert names(middle.descendants) == [("concluded", "derived_from", 1)]
    assert names(top.descendants) == [("found", "derived_from", 1), ("concluded", "derived_from", 2)]
    assert [(each.memory.text, each.via) for each in bottom.ancestors][:1] == [("found", concluded.id)]
    assert {each.via for each in bottom.ancestors[1:]} == {found.id}


def test_what_is_found_in_others_is_linked_in_the_same_act(memos, cube):
    turns = cube.ingest([Message("Mira", "We moved."), Message("Mira", "To Lisbon.")], session="s")
    fact = cube.remember("Mira lives in Lisbon.", made_by="llm", derived_from=[t.id for t in turns])
    assert {kin.memory.id for kin in cube.lineage(fact.id).ancestors} == {turn.id for turn in turns}
    with pytest.raises(NotFound):
        cube.remember("Mira is happy.", derived_from=["0" * 32])
    assert "Mira is happy." not in [memory.text for memory in cube.list()]


def test_nothing_is_derived_from_itself(cube):
    one, two, three = (cube.remember(text) for text in ("one", "two", "three"))
    cube.link(two.id, "derived_from", one.id)
    cube.link(three.id, "derived_from", two.id)
    with pytest.raises(InvalidInput, match="derived from itself"):
        cube.link(one.id, "derived_from", three.id)


def test_what_may_not_be_seen_ends_the_way(memos):
    ana = memos.as_principal("ana").cube("notes")
    top, hidden, shown = (
        ana.remember(text, visibility=level)
        for text, level in (("top", "shared"), ("hidden", "private"), ("shown", "shared"))
    )
    ana.link(hidden.id, "derived_from", top.id)
    ana.link(shown.id, "derived_from", hidden.id)
    ana.grant("bob", "read")
    bob = memos.as_principal("bob").cube("notes", owner="ana")
    assert names(ana.lineage(shown.id).ancestors) == [
        ("hidden", "derived_from", 1), ("top", "derived_from", 2),
    ]  # fmt: skip
    assert (bob.lineage(shown.id).ancestors, bob.lineage(top.id).descendants) == ([], [])
    with pytest.raises(NotFound):
        bob.lineage(hidden.id)


def test_what_is_archived_is_still_stood_on_and_what_is_over_or_gone_is_not(memos, cube, clock):
    old, brief, gone, fact = (
        cube.remember(text, ttl=ttl)
        for text, ttl in (("old", None), ("brief", timedelta(hours=1)), ("gone", None), ("fact", None))
    )
    for each in (old, brief, gone):
        cube.link(fact.id, "derived_from", each.id)
    cube.archive(old.id)
    cube.forget(gone.id)
    clock.move(hours=2)
    before = names(cube.lineage(fact.id).ancestors)
    memos.upkeep()
    assert before == names(cube.lineage(fact.id).ancestors) == [("old", "derived_from", 1)]


def test_versions_records_and_segments_are_told(cube):
    (record,) = cube.records.put([Entry(key="guest:4", data={}, texts=("Room 4 likes tea. " * 30,))])
    with Runtime(ScriptedEngine()) as runtime:
        runtime.build(cube)
        before = cube.lineage(record.memory_id)
        cube.revise(record.memory_id, "Room 4 likes coffee.")
    after = cube.lineage(record.memory_id)
    assert (before.record, [each.version for each in after.versions]) == ("guest:4", [1, 2])
    assert [(each.kind, each.version, each.stale) for each in before.artifacts] == [("kv", 1, None)]
    assert [each.stale for each in after.artifacts] == ["revised"]


def test_a_segment_that_quotes_something_hidden_is_not_told(memos):
    ana = memos.as_principal("ana").cube("notes")
    shown = ana.remember("Shown to all. " * 30, visibility="shared")
    ana.remember("Hidden from all. " * 30)
    ana.grant("bob", "read")
    with Runtime(ScriptedEngine()) as runtime:
        runtime.build(ana)
    bob = memos.as_principal("bob").cube("notes", owner="ana")
    theirs = {each.key for each in bob.lineage(shown.id).artifacts}
    assert theirs < {each.key for each in ana.lineage(shown.id).artifacts}
