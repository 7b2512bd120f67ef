"""Jobs as people look at them: ordered, listed, cancelled, scheduled; what the store does itself."""

import asyncio
from datetime import timedelta

import pytest

from memos_core import (
    Entry,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    JobState,
    Locked,
    MemOS,
    Message,
    NotFound,
    Runtime,
)
from memos_core.testing import ScriptedEngine


def run(memos, **given):
    with_it = memos.worker(**given)
    done = with_it.run_until_idle()
    with_it.close()
    return done


def states(memos):
    return {job.kind: job.state for job in memos.jobs.list()}


def test_alike_jobs_wait_as_one(memos):
    first, again = memos.jobs.submit("expire"), memos.jobs.submit("expire", priority=3)
    assert (again.id, again.priority, len(memos.jobs.list())) == (first.id, 3, 1)


def test_alike_jobs_of_two_people_are_done_for_each(memos):
    ana, bo = (memos.as_principal(name) for name in ("ana", "bo"))
    sent = []
    for person in (ana, bo):
        person.jobs.submit("letters", payload={"to": person.principal.name})
    run(memos, handlers={"letters": lambda work: sent.append((work.principal.name, work.job.payload["to"]))})
    assert sent == [("ana", "ana"), ("bo", "bo")]


def test_forgetting_a_person_leaves_what_others_ordered_alike(memos):
    ana, bo = (memos.as_principal(name) for name in ("ana", "bo"))
    ana.jobs.submit("sweep")
    left = bo.jobs.submit("sweep")
    ana.forget_principal("ana")
    assert [job.id for job in memos.jobs.list()] == [left.id]


def test_the_store_does_its_own_care(memos, clock):
    cube = memos.cube("notes")
    soon = cube.remember("soon over", ttl=timedelta(hours=1))
    rested = cube.remember("rested")
    cube.records.put([Entry(key="k", data={}, ttl=timedelta(hours=1))])
    clock.move(days=40)
    for kind in ("expire", "archive", "sweep", "reindex"):
        memos.jobs.submit(kind)
    assert run(memos) == 4
    assert set(states(memos).values()) == {JobState.DONE}
    assert [each.id for each in cube.list(state="expired")] == [soon.id]
    assert [each.id for each in cube.list(state="archived")] == [rested.id]
    assert memos.stats().owed == 0


def test_archive_takes_the_days_that_it_is_told(memos, clock):
    cube = memos.cube("notes")
    cube.remember("rested")
    clock.move(days=5)
    memos.jobs.submit("archive", payload={"after_days": 3})
    run(memos)
    assert len(cube.list(state="archived")) == 1


@pytest.mark.parametrize(("kind", "payload"), [("archive", {"after_days": -1}), ("reindex", {"embedder": 7})])
def test_a_payload_of_no_use_kills_the_job_with_the_remedy(memos, kind, payload):
    job = memos.jobs.submit(kind, payload=payload)
    run(memos)
    dead = memos.jobs.get(job.id)
    assert (dead.state, dead.attempts, next(iter(payload)) in dead.error) == (JobState.DEAD, 1, True)


def test_a_sweep_of_somebody_else_sweeps_only_where_they_may(memos, clock):
    ana, bo = (memos.as_principal(name).cube("notes") for name in ("ana", "bo"))
    for cube in (ana, bo):
        cube.records.put([Entry(key="k", data={}, ttl=timedelta(hours=1))])
    clock.move(days=1)
    memos.as_principal("ana").jobs.submit("sweep")
    run(memos)
    assert [len(core_records(memos, cube)) for cube in (ana, bo)] == [0, 1]


def core_records(memos, cube):
    from memos_core.vault import records
    from memos_core.vault.view import View

    with memos._core.catalog.read() as view:
        assert isinstance(view, View)
        return records.expired(view, view.enter(cube.id, cube._principal, "read"))


def test_a_prefill_job_builds_what_a_chat_attaches(memos):
    cube = memos.cube("notes")
    cube.remember("Mira lives in Lisbon", kind="persona")
    with Runtime(ScriptedEngine()) as runtime:
        memos.jobs.submit("prefill", cube=cube, payload={"budget": 256})
        assert run(memos, runtime=runtime, system="Be kind.") == 1
        reply = runtime.chat("Where?", cube, system="Be kind.", budget=256)
    assert (states(memos), reply.reuse.tokens > 0) == ({"prefill": JobState.DONE}, True)


def test_without_a_runtime_a_prefill_waits(memos):
    memos.jobs.submit("prefill", cube=memos.cube("notes"))
    assert (run(memos), states(memos)) == (0, {"prefill": JobState.WAITING})


def test_handlers_of_the_application_are_run(memos):
    seen = []
    cube = memos.cube("notes")
    memos.jobs.submit("train", cube=cube, payload={"rank": 8})
    run(memos, handlers={"train": lambda work: seen.append((work.job.payload, work.principal.name))})
    assert seen == [({"rank": 8}, "local")]


def test_a_worker_does_the_kinds_that_it_is_told_to(memos):
    memos.jobs.submit("expire")
    memos.jobs.submit("sweep")
    assert (run(memos, kinds=["sweep"]), states(memos)) == (
        1,
        {"expire": JobState.WAITING, "sweep": JobState.DONE},
    )


def test_a_kind_of_a_newer_version_is_listed_and_left_alone(memos):
    job = memos.jobs.submit("dream", payload={"of": "sheep"})
    run(memos)
    assert (memos.jobs.list()[0].id, memos.jobs.get(job.id).state) == (job.id, JobState.WAITING)


def test_cancelling_and_retrying_are_steps_and_are_audited(memos):
    cube = memos.cube("notes")
    job = memos.jobs.submit("prefill", cube=cube)
    assert [memos.jobs.cancel(job.id).state, memos.jobs.retry(job.id).state] == ["cancelled", "waiting"]
    with pytest.raises(IllegalTransition, match=f"job '{job.id}' is waiting"):
        memos.jobs.retry(job.id)
    told = [(line.verb, line.detail) for line in memos.audit() if line.cube == cube.id][-3:]
    assert told == [("submit", "prefill"), ("cancel", "prefill"), ("retry", "prefill")]


def test_jobs_of_a_cube_are_seen_by_who_governs_it(memos):
    ana = memos.as_principal("ana")
    cube = ana.cube("notes")
    job = ana.jobs.submit("prefill", cube=cube)
    bo = memos.as_principal("bo")
    assert list(bo.jobs.list()) == []
    with pytest.raises(NotFound, match="no job"):
        bo.jobs.get(job.id)
    cube.grant("bo", "write")
    for ask in (bo.jobs.get, bo.jobs.retry, bo.jobs.cancel):
        with pytest.raises(Forbidden):
            ask(job.id)
    assert list(bo.jobs.list()) == []
    cube.grant("bo", "admin")
    assert [each.id for each in bo.jobs.list()] == [job.id]


def test_forgetting_a_person_takes_what_they_ordered_along(memos):
    ana = memos.as_principal("ana")
    cube = ana.cube("notes")
    cube.grant("bo", "admin")
    bo = memos.as_principal("bo")
    bo.jobs.submit("prefill", cube=bo.cube("notes", owner="ana"))
    bo.jobs.schedule("nightly", "0 3 * * *", "sweep", cube=bo.cube("notes", owner="ana"))
    ana.forget_principal("bo")
    assert (list(ana.jobs.list(cube=cube)), list(ana.jobs.schedules(cube=cube))) == ([], [])


# --- schedules -------------------------------------------------------------------------------


def test_a_schedule_puts_its_job_when_its_time_comes(memos, clock):
    due = memos.jobs.schedule("nightly", "30 3 * * *", "expire")
    assert (f"{due.next_at:%d %H:%M}", run(memos)) == ("02 03:30", 0)
    clock.now = due.next_at
    assert (run(memos), f"{memos.jobs.schedules()[0].next_at:%d %H:%M}") == (1, "03 03:30")


def test_a_schedule_with_a_long_name_is_in_nobodys_way(memos, clock):
    memos.jobs.schedule("n" * 1024, "30 3 * * *", "expire")
    memos.jobs.submit("sweep")
    clock.move(days=1)
    assert (run(memos), states(memos)) == (2, {"expire": JobState.DONE, "sweep": JobState.DONE})


def test_what_was_missed_is_done_once(memos, clock):
    memos.jobs.schedule("often", "*/5 * * * *", "expire")
    clock.move(days=300)
    assert (run(memos), run(memos)) == (1, 0)


def test_a_clock_that_was_set_back_does_not_stop_a_schedule(memos, clock):
    memos.jobs.schedule("hourly", "0 * * * *", "expire")
    clock.move(days=-400)
    assert run(memos) == 0
    clock.move(hours=1)
    assert run(memos) == 1


def test_a_schedule_takes_the_place_of_its_namesake_and_goes(memos):
    memos.jobs.schedule("care", "0 3 * * *", "expire")
    memos.jobs.schedule("care", "0 4 * * *", "archive", payload={"after_days": 90})
    (found,) = memos.jobs.schedules()
    assert (found.kind, found.cron, found.payload) == ("archive", "0 4 * * *", {"after_days": 90})
    memos.jobs.unschedule("care")
    with pytest.raises(NotFound, match="schedule"):
        memos.jobs.unschedule("care")


@pytest.mark.parametrize("cron", ["", "daily", "99 * * * *", "0 0 31 2 *", "* * * *", "0 3 * * * * *", None])
def test_what_is_no_cron_expression_is_refused(memos, cron):
    with pytest.raises(InvalidInput):
        memos.jobs.schedule("x", cron, "expire")


# --- over restarts ---------------------------------------------------------------------------


def test_jobs_outlive_the_process_and_what_it_had_in_hand_is_there_again(open_memos):
    with open_memos() as memos:
        job = memos.jobs.submit("expire")
        memos._core.queue.claim(["expire"], worker="gone")  # and then the process dies
        memos._core.workers.clear()
    with open_memos() as memos:
        found = memos.jobs.get(job.id)
        assert (found.state, found.attempts, "worker was lost" in found.error) == (JobState.WAITING, 1, True)
        assert run(memos) == 1


def test_a_job_that_kills_its_process_again_and_again_dies(open_memos):
    for _ in range(6):
        with open_memos() as memos:
            memos.jobs.submit("expire", key="only")
            memos._core.queue.claim(["expire"], worker="gone")
    with open_memos() as memos:
        (job,) = memos.jobs.list(state="dead")
        assert job.attempts == 6


def test_a_second_process_is_told_that_this_one_holds_the_store(memos, folder, embedder):
    with pytest.raises(Locked):
        MemOS.open(folder, embedder=embedder)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "Extract"},
        {"kind": ""},
        {"kind": 3},
        {"kind": "extract"},
        {"kind": "expire", "priority": 10},
        {"kind": "expire", "payload": {"text": ["a"]}},
        {"kind": "expire", "payload": "words"},
        {"kind": "expire", "payload": {str(n): n for n in range(99)}},
        {"kind": "expire", "timeout": timedelta(0)},
        {"kind": "expire", "key": ""},
        {"kind": "expire", "at": "tomorrow"},
        {"kind": "prefill", "cube": "notes"},
    ],
    ids=str,
)
def test_an_order_of_no_use_is_refused_and_nothing_is_written(memos, catalog_rows, given):
    rows = catalog_rows(memos)
    kind = given.pop("kind")
    with pytest.raises(InvalidInput):
        memos.jobs.submit(kind, **given)
    assert catalog_rows(memos) == rows


def test_care_of_the_store_is_not_about_a_cube(memos):
    with pytest.raises(InvalidInput, match="whole store"):
        memos.jobs.submit("expire", cube=memos.cube("notes"))


@pytest.mark.parametrize(
    "given",
    [
        {"threads": 0},
        {"threads": 1.5},
        {"kinds": "expire"},
        {"kinds": ["prefill"]},
        {"kinds": ["dream"]},
        {"handlers": {"Bad": print}},
        {"handlers": {"bad": 3}},
        {"system": ""},
    ],
    ids=str,
)
def test_a_worker_of_no_use_is_refused(memos, given):
    with pytest.raises(InvalidInput):
        memos.worker(**given)


async def test_awaited_workers_and_jobs_do_the_same(folder, embedder, index, clock):
    from memos_core import AsyncMemOS

    async with await AsyncMemOS.open(folder, embedder=embedder, index=index, clock=clock) as memos:
        cube = await memos.cube("notes")
        await memos.jobs.schedule("nightly", "0 3 * * *", "sweep", cube=cube)
        names = [each.name for each in await memos.jobs.schedules(cube=cube)]
        await memos.jobs.unschedule("nightly", cube=cube)
        job = await memos.jobs.submit("sweep", cube=cube)
        async with memos.worker() as worker:
            while (await memos.jobs.get(job.id)).state != "done":
                await asyncio.sleep(0.01)
            assert (worker.is_running, "sweep" in worker.kinds) == (True, True)
        assert (names, [each.id for each in await memos.jobs.list(cube=cube)]) == (["nightly"], [job.id])


def test_extraction_leaves_foreground_calls_alone_while_the_model_thinks(open_memos):
    """A slow model holds no transaction: whoever writes and asks meanwhile does not wait for it."""
    import threading

    thinking, go_on = threading.Event(), threading.Event()

    class Slow:
        identity = "extractor:slow"

        def extract(self, passages, *, context=()):
            thinking.set()
            assert go_on.wait(20)
            return []

    memos = open_memos(extractor=Slow())
    cube = memos.cube("notes")
    cube.ingest([Message("Ana", "Hello")])
    with memos.worker():
        assert thinking.wait(10)
        cube.remember("written meanwhile")
        assert cube.recall("written meanwhile", k=1).texts == ["written meanwhile"]
        go_on.set()
