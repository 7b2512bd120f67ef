"""Adapters go along, and come in for the engines that are named, under keys of their own there."""

import json
from dataclasses import replace

import pytest

from memos_core import ChatPhraser, Recipe, Runtime, Thresholds
from memos_core.lora_phrases import PHRASED
from memos_core.testing import RoteTeacher
from memos_core.vault import artifacts, meters

ENGINE = RoteTeacher().identity
ASKED = "In which town might Mira live?"
ANY = Thresholds(choice=0.0, contains=0.0, unknown=0.0)


@pytest.fixture
def taught(cube):
    """A cube with an adapter."""
    for fact in ("Mira lives in Lisbon.", "Ben lives in Oslo."):
        cube.remember(fact)
    with Runtime(RoteTeacher()) as runtime:
        runtime.train(cube, recipe=Recipe(rank=2, steps=2, look=2), thresholds=ANY)
    return cube


def answered(cube):
    with Runtime(RoteTeacher()) as runtime:
        return runtime.chat(ASKED, cube, adapter=True)


def test_an_adapter_answers_in_the_other_store(taught, memos, file, elsewhere):
    dump = taught.dump(file)
    load = elsewhere.load(file, engines=[ENGINE])
    there = elsewhere.cube("notes")
    (old,), (new,) = memos.adapters(), elsewhere.adapters()
    reply = answered(there)
    assert (dump.manifest.counts["adapters"], load.adapters) == (1, 1)
    assert (reply.text, reply.adapter, reply.memories) == ("Mira lives in Lisbon.", new.key, ())
    assert (new.key != old.key, new.evaluation, new.cube) == (True, old.evaluation, there.id)


def test_one_with_a_chat_models_phrasings_goes_along_and_the_phrasings_stay(cube, memos, file, elsewhere):
    way = "In which town is Mira at home?"
    phraser = ChatPhraser(lambda _system, _told: json.dumps([way]), model="m")
    cube.remember("Mira lives in Lisbon.")
    with Runtime(RoteTeacher()) as runtime:
        rich = runtime.train(cube, recipe=Recipe(rank=2, steps=2, look=2), thresholds=ANY, phraser=phraser)
    cube.dump(file)
    assert elsewhere.load(file, engines=[ENGINE]).adapters == 1
    (there,) = elsewhere.adapters()
    with Runtime(RoteTeacher()) as runtime:
        again = runtime.examine(elsewhere.cube("notes"), there, thresholds=ANY)
    with elsewhere._core.catalog.read() as view:
        kinds = {row.kind for row in artifacts.of_kind(view.connection, PHRASED)}
    assert (again.examined.evaluation, kinds) == (rich.evaluation, set())


def test_what_it_took_to_train_one_counts_where_that_was_done(taught, memos, file, elsewhere):
    def spent(store):
        with store._core.catalog.read() as view:
            return meters.trained(view.connection, now=view.now)

    taught.dump(file)
    elsewhere.load(file, engines=[ENGINE])
    assert (spent(memos), spent(elsewhere)) == (memos.adapters()[0].train_seconds, 0.0)


def test_what_is_forgotten_there_takes_it_along(taught, file, elsewhere):
    taught.dump(file)
    elsewhere.load(file, engines=[ENGINE])
    there = elsewhere.cube("notes")
    there.forget(there.list()[0].id)
    assert (list(elsewhere.adapters()), bool(answered(there).no_adapter)) == ([], True)


@pytest.mark.parametrize("engines", [(), (replace(ENGINE, weights="ab" * 32),)], ids=["none", "another"])
def test_adapters_of_engines_that_are_not_named_stay_out(taught, file, elsewhere, engines):
    taught.dump(file)
    assert (elsewhere.load(file, engines=engines).adapters, list(elsewhere.adapters())) == (0, [])


def test_adapters_of_what_is_here_in_other_words_stay_out(taught, memos, file):
    taught.dump(file)
    for memory in taught.list():
        taught.revise(memory.id, "other words")
    assert memos.load(file, on_conflict="skip", engines=[ENGINE]).adapters == 0


def test_a_dump_without_adapters_has_none(taught, file):
    assert "adapters" not in taught.dump(file, adapters=False).manifest.counts


def test_who_may_not_see_a_memory_gets_no_adapter_that_knows_it(taught, memos, tmp_path):
    taught.grant("eve", "read")
    with Runtime(RoteTeacher()) as runtime:
        runtime.train(taught, recipe=Recipe(rank=2, steps=2, look=2), thresholds=ANY)
    eve = memos.as_principal("eve").cube("notes", owner="local")
    assert "adapters" not in eve.dump(tmp_path / "eve.memcube").manifest.counts
