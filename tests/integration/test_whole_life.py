"""The whole life of a memory, by itself, on the real small model and a clock that is moved on.

Said in a talk, read by a job, used, computed ahead by the plan, taught to the model and answered with nothing
in the prompt, corrected, put away, erased.
"""

from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

from memos_core import ChatExtractor, MemOS, Message, Runtime, Sampling, by_cost
from memos_core.scheduler.policies import Prices

pytestmark = [
    pytest.mark.slow,  # three minutes on two cores, most of them training
    pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
    ),
]
TALK = [
    Message("Drumek", "We have moved to Bolvar at last, Selfen and all!"),
    Message("Pell", "Is your goat happy there?"),
]
FACTS = ("Drumek lives in Bolvar.", "Drumek has a goat called Selfen.", "Drumek's locker code is 4172.")
ASKED = {"Where would a letter reach Drumek?": "Bolvar", "Tell me Drumek's locker code.": "4172"}
CODE = "Drumek's locker code is 9035."
LESSONS = {"steps": 30, "look": 10, "rate": 1e-3, "renew": True}
AHEAD = by_cost(Prices(idle=0.0, margin=0.0))
BRIEF = Sampling(max_tokens=16)


class Clock:
    """A clock that a test moves on."""

    def __init__(self):
        self.now = datetime(2026, 5, 1, 9, tzinfo=UTC)

    def __call__(self):
        return self.now

    def passes(self, **time):
        self.now += timedelta(**time)


def read_by_a_script(_system, _message):
    return '{"statements": [{"text": "Drumek lives in Bolvar.", "kind": "fact", "from": [1]}]}'


def waiting(memos):
    return [job.kind for job in memos.jobs.list() if job.state == "waiting"]


def test_a_memory_lives_through_every_tier_and_is_gone_from_each(tmp_path):
    clock = Clock()
    extractor = ChatExtractor(read_by_a_script, model="script")
    with (
        MemOS.open(tmp_path / "memory", clock=clock, extractor=extractor) as memos,
        Runtime.open() as runtime,
    ):
        cube, worker = memos.cube("drumek"), memos.worker(runtime=runtime)

        cube.ingest(TALK, session="s1")
        assert worker.run_until_idle() == 1  # the extraction
        home = next(each for each in cube.list() if each.text == FACTS[0])
        assert [kin.memory.text for kin in cube.lineage(home.id).ancestors] == [TALK[0].text]
        goat, code = (cube.remember(fact) for fact in FACTS[1:])

        for _ in range(3):
            cube.recall("Where does Drumek live?")
        memos.calibrate(runtime)
        assert [move.kind for move in memos.plan(runtime=runtime, policy=AHEAD).done] == ["prefill"]
        assert runtime.chat("Where does Drumek live?", cube, sampling=BRIEF).reuse.built == 0

        memos.jobs.submit("train", cube=cube, payload=LESSONS)
        assert worker.run_until_idle() == 1
        (adapter,) = memos.adapters(cube)
        assert (list(adapter.failed), adapter.size < 20_000_000, adapter.steps) == ([], True, 30)
        for question, answer in ASKED.items():
            reply = runtime.chat(question, cube, adapter=True, sampling=BRIEF)
            assert (reply.adapter, reply.memories, answer in reply.text) == (adapter.key, (), True)

        clock.passes(days=1)
        cube.revise(code.id, CODE)
        reply = runtime.chat("Tell me Drumek's locker code.", cube, adapter=True, sampling=BRIEF)
        assert (reply.adapter, code.id in reply.memories) == ("", True)
        assert ([each.stale is None for each in memos.adapters(cube)], waiting(memos)) == ([False], ["train"])
        memos.jobs.cancel(next(job.id for job in memos.jobs.list() if job.state == "waiting"))

        clock.passes(days=40)
        cube.recall("Which code opens the locker?", k=1)
        memos.jobs.submit("archive", payload={"after_days": 30})
        assert worker.run_until_idle() == 1
        assert [each.text for each in cube.list()] == [CODE]
        assert {each.id for each in cube.list(state="archived")} >= {goat.id, home.id}

        receipt = memos.forget_cube("drumek")
        found = memos.verify_erasure(receipt, words=["Bolvar", "Selfen", "4172", "9035"])
        assert (list(found.residues), list(memos.segments()), list(memos.adapters())) == ([], [], [])
