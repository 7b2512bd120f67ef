"""Training as durable work: ordered by what makes an adapter stale, done by whoever has the model."""

import threading

import pytest

from memos_core import (
    Forbidden,
    InvalidInput,
    JobState,
    LlamaCppRuntime,
    Recipe,
    Runtime,
    Syllabus,
    Thresholds,
    Where,
)
from memos_core.job import MAX_PAYLOAD, checked_payload
from memos_core.lora import STANDING
from memos_core.lora_orders import Order, order_of, payload_of
from memos_core.testing import RoteTeacher, ScriptedEngine
from memos_core.vault import artifacts

RECIPE = Recipe(rank=2, steps=6, look=2)
PAYLOAD = {"rank": 2, "steps": 6, "look": 2}
FACTS = ("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima.", "Ada lives in Cairo.")
ASKED = "In which town might Mira live?"


@pytest.fixture
def told(memos):
    cube = memos.cube("notes")
    for fact in FACTS:
        cube.remember(fact)
    return cube


@pytest.fixture
def runtime():
    with Runtime(RoteTeacher()) as runtime:
        yield runtime


def mira(cube):
    return next(memory.id for memory in cube.list() if memory.text.startswith("Mira"))


def trainings(memos, state=None):
    return [job for job in memos.jobs.list(state=state) if job.kind == "train"]


def run(memos, runtime):
    memos.worker(runtime=runtime).run_until_idle()


# --- an order as a payload --------------------------------------------------------------------


def test_a_payload_says_what_is_not_as_by_default_and_is_read_back():
    order = Order(
        syllabus=Syllabus(seed=3, persona="Mira"),
        recipe=RECIPE,
        thresholds=Thresholds(choice=0.5),
        control=True,
        renew=True,
    )
    payload = payload_of(order)
    assert payload == {
        "seed": 3,
        "persona": "Mira",
        **PAYLOAD,
        "gate.choice": 0.5,
        "control": True,
        "renew": True,
    }
    assert (order_of(payload), payload_of(order_of({}))) == (order, {})


def test_an_order_of_which_nothing_is_as_by_default_fits_a_payload():
    ones = dict.fromkeys(("rank", "batch", "texts", "steps", "look", "patience"), 1)
    order = Order(
        syllabus=Syllabus(seed=1, persona="Mira", user="Ben", memories=9),
        recipe=Recipe(alpha=1.0, targets="ffn", rate=1.0, warmup=0, replay=0.0, method="distil", **ones),
        thresholds=Thresholds(choice=0.1, contains=0.1, unknown=0.1, neutral=2.0, control=0.1),
        control=True,
        renew=True,
    )
    payload = payload_of(order)
    assert (len(payload) <= MAX_PAYLOAD, order_of(checked_payload(payload))) == (True, order)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"stepz": 3}, "by the name of 'stepz'"),
        ({"steps": "many"}, "steps must be"),
        ({"steps": 0}, "steps must be"),
        ({"persona": 5}, "persona must be a word"),
        ({"targets": 1}, "targets must be a word"),
        ({"method": 1}, "method must be a word"),
        ({"method": "magic"}, "method must be pairs or distil"),
        ({"gate.size": 1}, "no threshold by the name of 'size'"),
        ({"gate.choice": "high"}, "gate.choice must be a number"),
        ({"gate.choice": True}, "gate.choice must be a number"),
    ],
)
def test_a_payload_that_says_something_else_is_refused(payload, said):
    with pytest.raises(InvalidInput, match=said):
        order_of(payload)


def test_a_selection_is_neither_renewed_nor_put_into_a_job(told, runtime):
    with pytest.raises(InvalidInput, match="leave out"):
        runtime.train(told, recipe=RECIPE, stable=Where(kinds=("fact",)), renew=True)
    given = {"syllabus": Syllabus(), "recipe": RECIPE, "thresholds": Thresholds()}
    with pytest.raises(InvalidInput, match="leave out"):
        payload_of(Order(**given, stable=Where(kinds=("fact",))))


# --- what orders it ---------------------------------------------------------------------------

CHANGES = {
    "forgotten": lambda cube, memory_id: cube.forget(memory_id),
    "revised": lambda cube, memory_id: cube.revise(memory_id, "Mira lives in Porto."),
    "archived": lambda cube, memory_id: cube.archive(memory_id),
    "classified": lambda cube, memory_id: cube.classify(memory_id, visibility="shared"),
    "distrusted": lambda cube, memory_id: cube.classify(memory_id, trust="untrusted"),
    "granted": lambda cube, memory_id: cube.grant("eve", "read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_makes_an_adapter_stale_orders_its_training_anew(memos, told, runtime, change):
    first = runtime.train(told, recipe=RECIPE, renew=True)
    CHANGES[change](told, mira(told))
    (job,) = trainings(memos)
    assert (job.cube, job.by, job.state, dict(job.payload)) == (
        told.id,
        "local",
        "waiting",
        {**PAYLOAD, "renew": True},
    )
    memos.drain()
    run(memos, runtime)
    (adapter,) = memos.adapters(told)
    assert (memos.jobs.get(job.id).state, adapter.promoted) == ("done", True)
    assert (adapter.key != first.key) == (change not in ("granted", "classified"))


def test_a_correction_is_said_as_text_until_it_is_learned(memos, told, runtime):
    runtime.train(told, recipe=RECIPE, renew=True)
    told.revise(mira(told), "Mira lives in Porto.")
    before = runtime.chat(ASKED, told, adapter=True, reuse=False)
    run(memos, runtime)
    after = runtime.chat(ASKED, told, adapter=True, reuse=False)
    assert (before.adapter, len(before.memories), after.memories, after.text) == (
        "",
        4,
        (),
        "Mira lives in Porto.",
    )


def test_the_next_change_orders_it_once_more(memos, told, runtime):
    runtime.train(told, recipe=RECIPE, renew=True)
    for town in ("Porto", "Braga"):
        told.revise(mira(told), f"Mira lives in {town}.")
        run(memos, runtime)
    assert (runtime.chat(ASKED, told, adapter=True).text, len(trainings(memos, "done"))) == (
        "Mira lives in Braga.",
        2,
    )


def test_many_changes_are_one_training(memos, told, runtime):
    runtime.train(told, recipe=RECIPE, renew=True)
    for memory in told.list()[:3]:
        told.forget(memory.id)
    assert len(trainings(memos)) == 1


def test_nobody_who_did_not_ask_for_it_gets_a_job(memos, told, runtime):
    adapter = runtime.train(told, recipe=RECIPE)
    told.forget(mira(told))
    second = runtime.train(told, recipe=RECIPE, renew=True)
    memos.drop_adapters([second])
    assert (adapter.key != second.key, trainings(memos)) == (True, [])


@pytest.mark.parametrize(("first", "second", "jobs"), [(None, True, 1), (True, False, 0), (True, None, 1)])
def test_whether_it_is_renewed_can_be_said_later(memos, told, runtime, first, second, jobs):
    assert runtime.train(told, recipe=RECIPE, renew=first) == runtime.train(told, recipe=RECIPE, renew=second)
    told.forget(mira(told))
    assert len(trainings(memos)) == jobs


def test_a_change_that_is_taken_back_orders_nothing(memos, told, runtime):
    adapter = runtime.train(told, recipe=RECIPE, renew=True)
    with pytest.raises(RuntimeError), memos._core.catalog.write(memos.principal) as tx:  # noqa: PT012 - as it is
        artifacts.outdate_keys(tx.connection, [adapter.key], reason="tried")
        artifacts.outdate_cube(tx.connection, tx.header(told.id), reason="tried", now=tx.now)
        raise RuntimeError
    assert (trainings(memos), memos.adapters(told)) == ([], [adapter])


def test_a_cube_that_is_forgotten_orders_nothing(memos, told, runtime):
    runtime.train(told, recipe=RECIPE, renew=True)
    receipt = memos.forget_cube("notes")
    assert (trainings(memos), "jobs" in receipt.erased, receipt.erased["artifacts"]) == ([], False, 1)


def test_a_person_who_is_forgotten_orders_nothing(memos, told, runtime):
    told.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="local")
    for memory in told.list():
        told.classify(memory.id, visibility="shared")
    eve.remember("Zoe lives in Perth.", visibility="shared")
    runtime.train(eve, recipe=RECIPE, renew=True)
    memos.forget_principal("eve")
    assert (trainings(memos), list(memos.adapters(told))) == ([], [])


# --- who does it ------------------------------------------------------------------------------


def test_a_worker_trains_only_with_a_model_that_can_be_taught(memos):
    able = {}
    for engine in (RoteTeacher(), ScriptedEngine(), RoteTeacher(adapter="on")):
        with Runtime(engine) as runtime:
            able[id(engine)] = {"train", "evaluate"} <= set(memos.worker(runtime=runtime).kinds)
    assert list(able.values()) == [True, False, False]
    assert not {"train", "evaluate"} & set(memos.worker().kinds)
    with pytest.raises(InvalidInput, match="whose model can be taught"):
        memos.worker(kinds=["train"])


def test_a_model_on_llamacpp_cannot_be_taught():
    class Other(ScriptedEngine):
        @property
        def identity(self):
            from dataclasses import replace

            return replace(super().identity, engine="llama.cpp")

    with LlamaCppRuntime(Other()) as runtime:
        assert not runtime.teaches


def test_a_training_that_is_ordered_is_done_for_whoever_ordered_it(memos, told, runtime):
    told.grant("eve", "admin")
    eve = memos.as_principal("eve")
    job = eve.jobs.submit("train", cube=eve.cube("notes", owner="local"), payload=PAYLOAD)
    told.revoke("eve")
    told.grant("eve", "read")
    run(memos, runtime)
    found = memos.jobs.get(job.id)
    assert (found.state, Forbidden.__name__ in found.error, list(memos.adapters())) == ("dead", True, [])


def test_what_cannot_be_is_dead_and_says_why(memos, told, runtime):
    empty = memos.cube("empty")
    jobs = [
        memos.jobs.submit("train", cube=empty, payload=PAYLOAD),
        memos.jobs.submit("train", cube=told, payload={"stepz": 1}),
    ]
    run(memos, runtime)
    found = [memos.jobs.get(job.id) for job in jobs]
    assert [job.state for job in found] == ["dead", "dead"]
    assert ("nothing to teach" in found[0].error, "stepz" in found[1].error) == (True, True)


def test_a_renewal_of_what_is_empty_by_now_is_done(memos, runtime):
    cube = memos.cube("notes")
    only = cube.remember("Mira lives in Lisbon.")
    runtime.train(cube, recipe=RECIPE, renew=True, thresholds=Thresholds(choice=0, contains=0, unknown=0))
    cube.forget(only.id)
    run(memos, runtime)
    assert [job.state for job in trainings(memos)] == ["done"]


class Killed(BaseException):
    """The process is told to end."""


class Fragile(RoteTeacher):
    """Is killed at a step, once."""

    def __init__(self, at):
        super().__init__()
        self.at, self.seen = at, []

    def taught(self, curriculum, recipe, *, saved=None, save=None, progress=None):
        def tell(news):
            self.seen.append(news.step)
            if news.step == self.at:
                self.at = None
                raise Killed
            progress(news)

        return super().taught(curriculum, recipe, saved=saved, save=save, progress=tell)


@pytest.mark.parametrize("at", [1, 2, 3, 5, 6])
def test_killed_at_any_step_it_goes_on_from_the_last_look(memos, told, at):
    engine = Fragile(at)
    with Runtime(engine) as runtime:
        job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
        with pytest.raises(Killed):
            run(memos, runtime)
        run(memos, runtime)
    began = at - at % RECIPE.look + 1
    assert engine.seen == [*range(1, at + 1), *range(began, 7)]
    assert (memos.jobs.get(job.id).state, [each.promoted for each in memos.adapters(told)]) == (
        "done",
        [True],
    )


def test_done_twice_it_is_done_once(memos, told, runtime):
    for _ in range(2):
        memos.jobs.submit("train", cube=told, payload=PAYLOAD)
        run(memos, runtime)
    assert (len(memos.adapters(told)), {job.state for job in trainings(memos)}) == (1, {JobState.DONE})


def at_step(engine, step, do):
    """Let something happen while a step is learned, once."""
    inner, done = engine.taught, []

    def taught(curriculum, recipe, *, saved=None, save=None, progress=None):
        def tell(news):
            if news.step == step and not done:
                done.append(True)
                do()
            if progress is not None:
                progress(news)

        return inner(curriculum, recipe, saved=saved, save=save, progress=tell)

    engine.taught = taught


def test_a_memory_that_changes_while_it_is_learned_is_learned_as_it_is_then(memos, told, runtime):
    at_step(runtime.engine, 5, lambda: told.revise(mira(told), "Mira lives in Porto."))
    job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
    run(memos, runtime)
    waiting = memos.jobs.get(job.id)
    assert (waiting.state, waiting.attempts, "begins again" in waiting.error) == ("delayed", 1, True)


def test_one_that_is_cancelled_stops_at_its_next_step(memos, told, runtime, monkeypatch):
    monkeypatch.setattr("memos_core.scheduler.work.TELLING", 0.0)
    steps = []
    at_step(runtime.engine, 3, lambda: memos.jobs.cancel(job.id))
    inner = runtime.engine.taught

    def taught(curriculum, recipe, *, saved=None, save=None, progress=None):
        def tell(news):
            steps.append(news.step)
            progress(news)

        return inner(curriculum, recipe, saved=saved, save=save, progress=tell)

    runtime.engine.taught = taught
    job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
    run(memos, runtime)
    assert (memos.jobs.get(job.id).state, steps[-1], list(memos.adapters(told))) == ("cancelled", 3, [])


def test_its_progress_tells_the_seconds_that_are_left(memos, told, runtime, monkeypatch):
    monkeypatch.setattr("memos_core.scheduler.work.TELLING", 0.0)
    seen = []

    def taught(curriculum, recipe, *, saved=None, save=None, progress=None):
        from memos_core import TrainingProgress

        progress(TrainingProgress(1, 6, 1.0, 90.0))
        seen.append(memos.jobs.get(job.id).progress)
        return RoteTeacher.taught(runtime.engine, curriculum, recipe)

    runtime.engine.taught = taught
    job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
    run(memos, runtime)
    (progress,) = seen
    assert (progress.of - progress.done, progress.done < 30) == (90, True)


def test_of_one_cube_one_training_runs_at_a_time(memos, told, runtime):
    at_once, most, lock = [0], [0], threading.Lock()
    inner = runtime.engine.taught

    def taught(*given, **named):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        try:
            return inner(*given, **named)
        finally:
            with lock:
                at_once[0] -= 1

    runtime.engine.taught = taught
    for seed in (1, 2, 3):
        memos.jobs.submit("train", cube=told, payload={**PAYLOAD, "seed": seed}, key=f"{seed}")
    memos.worker(runtime=runtime, threads=3).run_until_idle()
    assert (most[0], len(memos.adapters(told))) == (1, 3)


def test_one_that_somebody_trains_by_hand_is_tried_again(memos, told, runtime):
    states = []

    def look():
        with Runtime(RoteTeacher()) as other:
            run(memos, other)
        states.append(memos.jobs.get(job.id))

    job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
    at_step(runtime.engine, 1, look)
    runtime.train(told, recipe=RECIPE)
    assert (states[0].state, "is being trained already" in states[0].error) == ("delayed", True)


def test_the_state_of_one_that_was_cancelled_is_erased_with_its_memories(memos, told, runtime, monkeypatch):
    monkeypatch.setattr("memos_core.scheduler.work.TELLING", 0.0)
    at_step(runtime.engine, 5, lambda: memos.jobs.cancel(job.id))
    job = memos.jobs.submit("train", cube=told, payload=PAYLOAD)
    run(memos, runtime)
    with memos._core.catalog.read() as view:
        kept = len(artifacts.of_kind(view.connection, STANDING))
    told.forget(mira(told))
    with memos._core.catalog.read() as view:
        left = artifacts.of_kind(view.connection, STANDING)
    assert (kept, left) == (1, [])


# --- examined as a job ------------------------------------------------------------------------


def test_an_examination_is_done_as_a_job_and_counts(memos, told, runtime):
    adapter = runtime.train(told, recipe=RECIPE)
    memos.jobs.submit("evaluate", cube=told, payload={"gate.neutral": 0.5})
    run(memos, runtime)
    (failed,) = memos.adapters(told)
    memos.jobs.submit("evaluate", cube=told, payload={"adapter": adapter.key})
    run(memos, runtime)
    (passed,) = memos.adapters(told)
    assert (failed.promoted, passed.promoted, passed.examined.evaluation) == (False, True, adapter.evaluation)


@pytest.mark.parametrize("payload", [{}, {"adapter": "ffff"}, {"steps": 3}, {"gate.size": 1.0}])
def test_an_examination_of_what_there_is_not_is_dead(memos, told, runtime, payload):
    job = memos.jobs.submit("evaluate", cube=told, payload=payload)
    run(memos, runtime)
    assert memos.jobs.get(job.id).state == "dead"
