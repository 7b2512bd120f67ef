"""What an adapter may not say, and may not keep out of the prompt: what is over, outdated, or half taught."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import (
    BackendError,
    Conflict,
    FormatError,
    NotFound,
    Recipe,
    Runtime,
    Thresholds,
    lora_training,
)
from memos_core.testing import RoteTeacher

RECIPE = Recipe(rank=2, steps=6, look=2)
OTHERS = ("Ben lives in Oslo.", "Nora lives in Lima.", "Ada lives in Cairo.")
ASKED = "In which town might Mira live?"


class Clock:
    def __init__(self):
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def runtime():
    with Runtime(RoteTeacher()) as runtime:
        yield runtime


def told(cube, *facts):
    return [cube.remember(fact) for fact in (*facts, *OTHERS)]


def trained(runtime, cube, **given):
    return runtime.train(cube, recipe=RECIPE, **given)


def said(memories):
    return {memory.text for memory in memories}


# --- time -------------------------------------------------------------------------------------


def test_what_expired_is_in_no_weights_even_before_it_was_swept(open_memos, folder, runtime, tmp_path):
    clock = Clock()
    memos = open_memos(folder, clock=clock)
    cube = memos.cube("notes")
    told(cube)
    cube.remember("Mira lives in Lisbon.", ttl=timedelta(days=1))
    adapter = trained(runtime, cube)
    assert runtime.chat(ASKED, cube, adapter=True).adapter == adapter.key
    clock.now += timedelta(days=2)
    reply = runtime.chat(ASKED, cube, adapter=True)
    assert (reply.adapter, reply.no_adapter, len(reply.memories)) == ("", "it is expired", 3)
    assert [each.stale for each in memos.adapters(cube)] == ["expired"]
    with pytest.raises(NotFound):
        memos.export_adapter(adapter, tmp_path / "adapter")
    cube.dump(tmp_path / "notes.memcube")
    assert b"lora/" not in (tmp_path / "notes.memcube").read_bytes()


# --- outdated ---------------------------------------------------------------------------------


def test_what_a_taught_memory_contradicts_is_not_said_beside_it(memos, runtime):
    cube = memos.cube("notes")
    old, *_ = told(cube, "Mira lives in Oslo.", "Mira lives in Lisbon.")
    adapter = trained(runtime, cube)
    reply = runtime.chat(ASKED, cube, adapter=True)
    assert (reply.adapter, reply.memories, reply.text) == (adapter.key, (), "Mira lives in Lisbon.")
    cube.forget(old.id)
    assert runtime.chat(ASKED, cube, adapter=True).adapter == ""  # it was made knowing the old one


def test_what_a_newer_memory_supersedes_is_not_answered_from_the_weights(memos, runtime):
    cube = memos.cube("notes")
    old, *_ = told(cube, "Mira lives in Oslo.")
    trained(runtime, cube)
    new = cube.remember("Mira has her flat in Porto since spring.")
    cube.link(new.id, "supersedes", old.id)
    reply = runtime.chat(ASKED, cube, adapter=True)
    assert (reply.adapter, new.id in reply.memories, old.id in reply.memories) == ("", True, False)


# --- taught in part ---------------------------------------------------------------------------


def test_a_memory_of_which_a_sentence_is_too_long_stays_text(memos, runtime):
    cube = memos.cube("notes")
    long, *_ = told(
        cube, f"Mira lives in Lisbon. The alarm of the shed {'is very old and ' * 30}has the code 4417."
    )
    adapter = trained(runtime, cube)
    assert (long.id in {origin.memory_id for origin in adapter.sources}) is False
    assert runtime.chat(ASKED, cube, adapter=True).memories == (long.id,)


# --- held to what is asked now ----------------------------------------------------------------


def test_one_that_is_there_is_held_to_the_thresholds_of_now(memos, runtime):
    cube = memos.cube("notes")
    told(cube, "Mira lives in Lisbon.")
    trained(runtime, cube)
    held = trained(runtime, cube, thresholds=Thresholds(neutral=0.5))
    assert (held.promoted, len(memos.adapters())) == (False, 1)
    assert "again" in runtime.chat(ASKED, cube, adapter=True).no_adapter
    assert trained(runtime, cube).promoted is False  # nothing new was asked
    assert trained(runtime, cube, thresholds=Thresholds()).promoted is True


def test_one_that_is_there_gets_the_control_that_it_lacks_once(memos, runtime, monkeypatch):
    cube = memos.cube("notes")
    told(cube, "Mira lives in Lisbon.")
    first, lessons = trained(runtime, cube), []
    taught = RoteTeacher.taught

    def counted(self, curriculum, recipe, **given):
        lessons.append(curriculum)
        return taught(self, curriculum, recipe, **given)

    monkeypatch.setattr(RoteTeacher, "taught", counted)
    held = trained(runtime, cube, control=True)
    assert (first.evaluation.control, held.last.evaluation.control, held.promoted) == (None, 0.0, True)
    assert (trained(runtime, cube, control=True), len(lessons)) == (held, 1)
    assert runtime.examine(cube, held).last.evaluation.control == 0.0


# --- going on ---------------------------------------------------------------------------------


class Killed(Exception):
    pass


def kill(runtime, cube, *, at=5):
    def stop(seen):
        if seen.step == at:
            raise Killed

    with pytest.raises(Killed):
        trained(runtime, cube, progress=stop)


def test_what_is_not_taught_does_not_decide_what_is(memos, runtime):
    cube = memos.cube("notes")
    told(cube, "Mira lives in Lisbon.")
    kill(runtime, cube)
    cube.remember("Always greet Pelle, Osric, Wanda, Thandi, Bogdan, Farouk, Greta and Hiroko first.")
    steps = []
    trained(runtime, cube, progress=lambda seen: steps.append(seen.step))
    assert steps == [5, 6]  # from its last look


def test_a_state_that_is_of_no_use_any_more_costs_only_its_steps(memos, runtime, monkeypatch):
    cube = memos.cube("notes")
    told(cube, "Mira lives in Lisbon.")
    kill(runtime, cube)
    taught = RoteTeacher.taught

    def refusing(self, curriculum, recipe, *, saved=None, **given):
        if saved is not None:
            raise FormatError("this is the state of another training")
        return taught(self, curriculum, recipe, **given)

    monkeypatch.setattr(RoteTeacher, "taught", refusing)
    steps = []
    assert trained(runtime, cube, progress=lambda seen: steps.append(seen.step)).promoted
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("step", [2, 5, 6])
def test_of_two_processes_that_train_the_same_both_come_to_the_one_adapter(memos, runtime, step):
    cube = memos.cube("notes")
    told(cube, "Mira lives in Lisbon.")
    others = []

    def meanwhile(seen):
        if seen.step == step:
            lora_training._under_way.clear()  # as it is in another process
            others.append(trained(Runtime(RoteTeacher()), cube))

    mine = trained(runtime, cube, progress=meanwhile)
    assert (others, memos.adapters()) == ([mine], [mine])


def test_a_change_while_another_process_trains_is_a_conflict_for_both(memos, runtime):
    cube = memos.cube("notes")
    home, *_ = told(cube, "Mira lives in Lisbon.")

    def meanwhile(seen):
        if seen.step == 5:
            cube.revise(home.id, "Mira lives in Porto.")

    with pytest.raises((Conflict, BackendError)):
        trained(runtime, cube, progress=meanwhile)
