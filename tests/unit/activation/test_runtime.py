import errno
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from memos_core import BackendError, Closed, InvalidInput, Message, NotFound, Principal, Sampling, Where
from memos_core.testing import ScriptedEngine
from memos_core.vault.blobs import Blobs
from tests.unit.activation.conftest import BUDGET, Asked


def files(memos):
    return list((memos._core.folder / "blobs").glob("??/*"))


# --- what is reused -----------------------------------------------------------------------------


def test_the_second_answer_computes_only_what_is_new(ask, cube, memories, engine):
    first = ask(cube)
    engine.computed = 0
    second = ask.runtime.chat("Where?", cube, budget=BUDGET)
    assert (first.reuse.tokens, first.reuse.why_not) == (0, "nothing was stored yet")
    assert first.reuse.built == second.reuse.segments > 3
    assert engine.computed == second.prompt_tokens - second.reuse.tokens < 30
    assert second.reuse.why_not == ""
    assert second.reuse.level == "device"
    assert set(second.memories) == {memory.id for memory in memories}


def test_another_process_attaches_from_the_disk(ask, open_runtime, cube, memories):
    ask(cube)
    other = Asked(open_runtime(ScriptedEngine()))
    reply = other(cube)
    assert (reply.reuse.level, reply.reuse.built) == ("disk", 0)
    assert other(cube).reuse.level == "device"


def test_a_new_memory_lengthens_the_prefix(ask, cube, memories):
    full = ask(cube).reuse.built
    cube.remember("Fact 25: one more.")
    reply = ask(cube)
    assert reply.reuse.segments in (full, full - 1)  # the last part was not full, or it was
    assert reply.reuse.built == 1


@pytest.mark.parametrize("place", [0, 11, 23])
def test_a_revised_memory_is_made_anew_from_its_former_place_on(ask, cube, memories, place):
    built = ask(cube).reuse.built
    cube.revise(memories[place].id, "Fact revised.")
    reply = ask(cube)
    assert reply.reuse.segments + reply.reuse.built == pytest.approx(built, abs=1)
    assert (reply.reuse.segments <= 1) == (place == 0)


def test_build_does_it_ahead_of_need(runtime, ask, cube, memories):
    seen = []
    built = runtime.build(cube, budget=BUDGET, progress=lambda done, of: seen.append((done, of)))
    assert built.built == len(seen) > 3
    assert seen[-1][0] == seen[-1][1]
    assert runtime.build(cube, budget=BUDGET).built == 0
    assert ask(cube).reuse.segments == built.built


def test_a_cumulative_engine_keeps_one_state_of_all(open_runtime, cube, memories):
    ask = Asked(open_runtime(ScriptedEngine(cumulative=True)))
    assert ask(cube).reuse.built == 1
    reply = ask(cube)
    assert (reply.reuse.segments, reply.reuse.built) == (1, 0)
    assert reply.reuse.tokens > 0.9 * reply.prompt_tokens


def test_without_a_cube_the_model_just_answers(runtime):
    reply = runtime.chat("Hello")
    assert (reply.memories, reply.reuse.why_not) == ((), "no cube to keep segments in")


def test_an_empty_cube_says_nothing_of_memories(open_runtime, cube):
    prompts = []
    runtime = open_runtime(ScriptedEngine(lambda text: prompts.append(text) or "yes"))
    assert runtime.chat("Hello", cube).text == "yes"
    assert runtime.chat([Message("system", "Be kind."), Message("user", "Hello")], cube).text == "yes"
    assert prompts == ["\nuser: Hello\nassistant:", "Be kind.\nuser: Hello\nassistant:"]


# --- what must not be served --------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["one", "two"])
def test_another_engine_finds_nothing(ask, open_runtime, cube, memories, adapter):
    ask(cube)
    assert Asked(open_runtime(ScriptedEngine(adapter=adapter)))(cube).reuse.segments == 0


def test_an_adapter_switched_on_is_another_engine_at_once(ask, engine, cube, memories):
    ask(cube)
    engine.adapter = "persona"
    assert ask(cube).reuse.segments == 0
    engine.adapter = ""
    assert ask(cube).reuse.segments > 3


def test_what_is_erased_leaves_every_place_at_once(ask, memos, cube, memories):
    built = ask(cube).reuse.built
    held = ask.runtime._levels
    assert (len(files(memos)), len(held.keys())) == (built, built)
    receipt = cube.forget(memories[0].id)
    assert receipt.erased["artifacts"] == built - 1  # all but the system text's
    assert (len(files(memos)), len(held.keys())) == (1, 1)
    assert memories[0].id not in ask(cube).memories


def test_a_segment_made_of_what_changed_meanwhile_is_not_kept(open_runtime, memos, cube, memories):
    engine = ScriptedEngine()
    runtime = open_runtime(engine)
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)
    cube.forget(memories[0].id)
    assert stream.finished().reuse.built == 1
    assert len(files(memos)) == 1


def test_an_expired_memory_is_not_attached(ask, cube, clock, memories):
    brief = cube.remember("The code of the day is 7.", ttl=timedelta(hours=1))
    assert brief.id in ask(cube).memories
    clock.move(hours=2)
    reply = ask(cube)
    assert brief.id not in reply.memories


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_file_is_made_anew(ask, open_runtime, memos, cube, memories, damage):
    built = ask(cube).reuse.built
    target = max(files(memos), key=lambda path: path.stat().st_size)
    data = target.read_bytes()
    if damage == "gone":
        target.unlink()
    else:
        target.write_bytes(
            {"cut": data[:-9], "flipped": data[:-9] + b"\xff" + data[-8:], "empty": b""}[damage]
        )
    other = Asked(open_runtime(ScriptedEngine()))
    reply = other(cube)
    assert (reply.reuse.segments, reply.reuse.built) == (built - 1, 1)
    assert other(cube).reuse.segments == built


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened_now_is_a_miss_and_stays(
    ask, open_runtime, memos, cube, memories, monkeypatch, error
):
    built, stored = ask(cube).reuse.built, sorted(files(memos))
    opened = Path.open

    def refusing(self, *args, **kwargs):
        if self in stored:
            raise OSError(error, "not now")
        return opened(self, *args, **kwargs)

    other = Asked(open_runtime(ScriptedEngine()))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        first, second = other(cube).reuse, other(cube).reuse
    assert (first.segments, first.built, sorted(files(memos))) == (0, 0, stored)
    assert (second.segments, second.level) == (built, "device")  # held in RAM all the same
    third = Asked(open_runtime(ScriptedEngine()))
    assert (third(cube).reuse.segments, third(cube).reuse.built) == (built, 0)


def test_a_check_of_files_that_cannot_be_opened_now_deletes_nothing(ask, memos, cube, memories, monkeypatch):
    ask(cube)
    stored = sorted(files(memos))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", _refused)
        with pytest.raises(BackendError):
            memos.verify_segments(memos.segments())
    assert sorted(files(memos)) == stored


def _refused(path):
    raise OSError(errno.EMFILE, "too many open files")


def test_a_full_disk_costs_nobody_an_answer(ask, cube, memories, monkeypatch):
    def full(self, path, data):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Blobs, "_write", full)
    assert (ask(cube).reuse.built, ask(cube).reuse.segments) == (0, 0)
    monkeypatch.undo()
    assert ask(cube).reuse.built > 3


def test_the_next_open_sweeps_what_a_crash_left(open_memos, folder):
    with open_memos() as memos:
        orphan = memos._core.blobs.put(b"made of a memory, and no row yet")
    with open_memos() as memos:
        assert not Path(memos._core.blobs.path(orphan)).exists()


# --- who may ------------------------------------------------------------------------------------


def test_equal_memories_of_two_cubes_share_nothing(ask, memos, memories, cube):
    ask(cube)
    other = memos.as_principal(Principal("eve")).cube("notes")
    for memory in memories:
        other.remember(memory.text)
    assert ask(other).reuse.segments == 0


def test_somebody_elses_cube_does_not_exist(runtime, memos, cube, memories):
    mine = memos.cube("notes")
    mine._principal = Principal("eve")
    for call in (lambda: runtime.chat("Where?", mine), lambda: runtime.build(mine)):
        with pytest.raises(NotFound):
            call()


def test_segments_are_listed_for_who_may_read_them(ask, memos, cube, memories):
    built = ask(cube).reuse.built
    ask(cube)
    eve = memos.as_principal("eve")
    found = memos.segments(cube)
    assert len(found) == built
    assert (found[-1].sources[0], found[-1].hits) == ((memories[0].id, 1), 1)
    assert found[1].saved_seconds > 0
    assert eve.segments() == []
    for call in (
        lambda: eve.segments(cube),
        lambda: eve.evict(found),
        lambda: eve.pin(found[0]),
        lambda: eve.verify_segments(found),
    ):
        with pytest.raises(NotFound):
            call()
    assert memos.evict(found[2:]) == built - 2
    assert ask(cube).reuse.segments == 2


def test_verify_deletes_what_is_damaged(ask, memos, cube, memories):
    built = ask(cube).reuse.built
    files(memos)[0].write_bytes(b"?")
    found = memos.verify_segments(memos.segments())
    assert (found.sound, len(found.damaged)) == (built - 1, 1)
    assert len(memos.segments()) == built - 1


# --- budgets ------------------------------------------------------------------------------------


def test_the_disk_keeps_its_budget_and_what_is_pinned(open_runtime, memos, cube, memories):
    Asked(open_runtime())(cube)
    every = memos.segments()
    memos.pin(every[-1])
    budget = sum(segment.size for segment in every) // 2
    small = Asked(open_runtime(ScriptedEngine(), disk_bytes=budget))
    cube.remember("One more. " * 200)
    small(cube)
    assert every[-1].key in {segment.key for segment in memos.segments()}


def test_what_would_leave_at_once_is_never_written(open_runtime, memos, cube, memories, monkeypatch):
    Asked(open_runtime())(cube)
    sizes = [segment.size for segment in memos.segments()]
    memos.evict(memos.segments())
    written = []
    put = memos._core.derived._blobs.put
    monkeypatch.setattr(
        memos._core.derived._blobs, "put", lambda data: written.append(len(data)) or put(data)
    )
    small = Asked(open_runtime(ScriptedEngine(), disk_bytes=sum(sizes) // 2))
    assert small(cube).reuse.built == len(written) == len(memos.segments()) < len(sizes)
    assert sum(written) <= sum(sizes) // 2
    del written[:]
    small(cube)
    assert written == []


def test_ram_keeps_its_budget(open_runtime, cube, memories):
    runtime = open_runtime(host_bytes=20_000)
    Asked(runtime)(cube)
    assert 0 < sum(runtime._levels.sizes()) <= 20_000


def test_what_does_not_fit_the_budget_is_recalled_for_the_question(ask, cube, memories):
    cube.remember("The lighthouse of Porto has a red door.")
    reply = ask(cube, "What colour has the lighthouse door?", budget=700, recall=3)
    texts = [cube.get(memory_id).text for memory_id in reply.memories]
    assert "The lighthouse of Porto has a red door." in texts
    assert len(texts) <= 3


def test_who_one_is_and_what_matters_is_stable(ask, cube, memories):
    persona = cube.remember("I am Mira, an innkeeper.", kind="persona")
    marked = cube.remember("Never sell the lute.", priority=5)
    first = ask(cube, "What about thing 3?", budget=1200, recall=2)
    second = ask(cube, "What about thing 17?", budget=1200, recall=2)
    assert first.memories[:2] == second.memories[:2] == (persona.id, marked.id)
    assert second.reuse.segments == 2


def test_a_filter_says_what_is_stable(ask, cube, memories):
    tagged = cube.remember("Tagged.", tags=["always"])
    reply = ask(cube, stable=Where(tags=("always",)), recall=0)
    assert reply.memories == (tagged.id,)


def test_what_is_superseded_is_left_out(ask, cube, memories):
    new = cube.remember("Mira keeps nothing any more.")
    cube.link(new.id, "supersedes", memories[4].id)
    assert memories[4].id not in ask(cube).memories
    cube.forget(new.id)
    assert memories[4].id in ask(cube).memories


# --- how it is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "text", "finish"),
    [
        (Sampling(), "one two three", "stop"),
        (Sampling(max_tokens=5), "one t", "length"),
        (Sampling(stop=("two",)), "one ", "stop"),
        (Sampling(stop=("four", " thr")), "one two", "stop"),
        (Sampling(stop=("x",), max_tokens=3), "one", "length"),
    ],
)
def test_an_answer_ends_where_it_should(open_runtime, sampling, text, finish):
    runtime = open_runtime(ScriptedEngine(lambda _: "one two three"))
    reply = runtime.chat("Count", sampling=sampling)
    assert (reply.text, reply.finish) == (text, finish)
    assert "".join(runtime.stream("Count", sampling=sampling)) == text


def test_a_listener_may_walk_away_and_come_back(runtime, cube, memories):
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    head = next(stream)
    whole = stream.finished()
    assert (whole.text.startswith(head), stream.finished()) == (True, whole)
    gone = runtime.stream("And where?", cube, budget=BUDGET)
    next(gone)
    gone.close()
    with pytest.raises(InvalidInput, match="broken off"):
        gone.finished()


def test_what_was_made_for_a_broken_answer_is_kept(runtime, cube, memories):
    stream = runtime.stream("Where?", cube, budget=BUDGET)
    next(stream)
    stream.close()
    assert runtime.chat("Where?", cube, budget=BUDGET).reuse.segments > 3


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "",
        [Message("assistant", "I answered")],
        [Message("user", "Hi"), Message("system", "Late")],
        ["Hi"],
        None,
        7,
    ],
)
def test_what_cannot_be_answered_is_refused(runtime, messages):
    with pytest.raises(InvalidInput):
        runtime.chat(messages)


def test_more_than_the_context_is_refused(open_runtime, cube, memories):
    runtime = open_runtime(ScriptedEngine(context=3000))
    with pytest.raises(InvalidInput, match="smaller budget"):
        runtime.chat("Where?", cube, budget=BUDGET)
    assert runtime.chat("Where?", cube, budget=200).text


@pytest.mark.parametrize("given", [{"budget": 0}, {"budget": "9"}, {"recall": -1}, {"stable": "home"}])
def test_bad_arguments_are_refused(runtime, cube, memories, given):
    with pytest.raises(InvalidInput):
        runtime.chat("Where?", cube, **given)


def test_a_closed_runtime_says_so(open_runtime, cube):
    runtime = open_runtime()
    runtime.close()
    runtime.close()
    for call in (lambda: runtime.chat("Where?"), lambda: runtime.build(cube)):
        with pytest.raises(Closed):
            call()


def test_eight_threads_get_the_same_answer(runtime, cube, memories):
    answers = []

    def work():
        answers.extend(runtime.chat("Where?", cube, budget=BUDGET).text for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), len(set(answers))) == (40, 1)
