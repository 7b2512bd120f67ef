"""KV states go along, and come in for the engines that are named, under keys of their own there."""

from dataclasses import replace

import pytest

from memos_core import FormatError, NotFound, Runtime
from memos_core.testing import ScriptedEngine
from tests.unit.interchange.archives import packed, retold, unpacked

ENGINE = ScriptedEngine().identity
QUESTION = "What is said of the harbour?"


@pytest.fixture
def built(cube):
    """A cube from which states were made."""
    for number in range(12):
        cube.remember(f"Fact {number} about the harbour: " + "it is old and deep. " * 20)
    with Runtime(ScriptedEngine()) as runtime:
        runtime.build(cube)
    return cube


def answered(cube):
    with Runtime(ScriptedEngine()) as runtime:
        return runtime.chat(QUESTION, cube)


def test_states_are_attached_in_the_other_store(built, memos, file, elsewhere):
    dump = built.dump(file)
    load = elsewhere.load(file, engines=[ENGINE])
    here, there = answered(built), answered(elsewhere.cube("notes"))
    assert dump.manifest.counts["segments"] == load.segments == len(memos.segments(built)) > 1
    assert (there.text, there.reuse.built, there.reuse.tokens) == (here.text, 0, here.reuse.tokens)


def test_under_other_ids_and_another_owner_they_are_named_anew(built, memos, file):
    built.dump(file)
    eve = memos.as_principal("eve")
    load = eve.load(file, name="copy", engines=[ENGINE])
    reply = answered(eve.cube("copy"))
    assert (len(load.renamed), load.segments > 1, reply.reuse.built) == (12, True, 0)


@pytest.mark.parametrize("engines", [(), (replace(ENGINE, weights="ab" * 32),)], ids=["none", "another"])
def test_states_of_engines_that_are_not_named_stay_out(built, file, elsewhere, engines):
    built.dump(file)
    assert elsewhere.load(file, engines=engines).segments == 0
    assert answered(elsewhere.cube("notes")).reuse.built > 0


def test_states_of_what_is_here_in_other_words_stay_out(built, memos, file):
    built.dump(file)
    for memory in built.list():
        built.revise(memory.id, "other words")
    assert memos.load(file, on_conflict="skip", engines=[ENGINE]).segments == 0


def test_a_dump_without_states_has_none(built, file):
    assert built.dump(file, segments=False).manifest.counts["segments"] == 0


def test_a_state_that_is_not_what_it_says_is_refused(built, file, elsewhere):
    built.dump(file)
    parts = unpacked(file)
    one, two = [name for name in parts if name.startswith("kv/")][:2]
    packed(file, retold({**parts, one: parts[two]}))
    with pytest.raises(FormatError, match="another state"):
        elsewhere.load(file, engines=[ENGINE])
    assert elsewhere.cubes() == []


def test_what_the_reader_may_not_see_is_in_no_state(built, memos, file):
    built.grant("bo", "read")
    bo = memos.as_principal("bo").cube("notes", owner="local")
    assert bo.dump(file).manifest.counts["segments"] == 0
    with pytest.raises(NotFound):
        memos.as_principal("eve").load(file, name="notes", owner="local")
