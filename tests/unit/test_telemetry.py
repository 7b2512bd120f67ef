"""What OpenTelemetry is told of the verbs: a few fixed labels, and never a word of anybody's."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_core import InvalidInput, Message, NotFound, Runtime
from memos_core.telemetry import observed, observing
from memos_core.testing import ScriptedEngine

CANARIES = ("canary7391", "nightjar", "quixotic", "eveline", "sittingroom")
EXPORTER, READER = InMemorySpanExporter(), InMemoryMetricReader()


@pytest.fixture(scope="module", autouse=True)
def told():
    """Put our providers in the place of the process's, which can be set once: another package may have."""
    spans, measures = TracerProvider(), MeterProvider(metric_readers=[READER])
    spans.add_span_processor(SimpleSpanProcessor(EXPORTER))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "get_tracer_provider", lambda: spans)
        patch.setattr(metrics, "get_meter_provider", lambda: measures)
        yield


@pytest.fixture(autouse=True)
def fresh(told):
    EXPORTER.clear()


def seen():
    return [(span.name, dict(span.attributes)) for span in EXPORTER.get_finished_spans()]


def labels(verb, outcome="ok", tier="text"):
    return (f"memos.{verb}", {"memos.verb": verb, "memos.outcome": outcome, "memos.tier": tier})


def test_a_verb_is_a_span_with_three_labels(cube):
    cube.remember("the ferry leaves at noon")
    cube.recall("ferry")
    assert [each for each in seen() if each[0] != "memos.index"] == [labels("remember"), labels("recall")]


def test_a_refusal_is_told_by_its_class_and_without_its_message(cube):
    with pytest.raises(InvalidInput):
        cube.remember("")
    with pytest.raises(NotFound):
        cube.forget("canary7391")
    spans = EXPORTER.get_finished_spans()
    assert seen() == [labels("remember", "InvalidInput"), labels("forget", "NotFound")]
    assert [(span.status.is_ok, span.status.description, span.events) for span in spans] == [
        (False, "InvalidInput", ()),
        (False, "NotFound", ()),
    ]


def test_what_others_raise_is_an_error_whatever_it_is_called():
    class Canary7391(Exception):
        pass

    with pytest.raises(Canary7391), observing("recall"):
        raise Canary7391("nightjar")
    assert seen() == [labels("recall", "error")]


def test_jobs_and_the_payer_of_the_index_are_told(memos, cube):
    cube.remember("the ferry leaves at noon")
    memos.drain()
    memos.jobs.submit("consolidate", cube=cube)
    memos.jobs.submit("canary7391", cube=cube)
    memos.worker(handlers={"canary7391": lambda work: None}).run_until_idle()
    names = {name for name, _ in seen()}
    assert {"memos.index", "memos.job.consolidate", "memos.job.other"} <= names


def test_a_chat_is_told_with_its_tier(cube):
    cube.remember("the ferry leaves at noon")
    with Runtime(ScriptedEngine()) as runtime:
        runtime.chat("When?", cube)
    assert labels("chat", tier="kv") in seen()


def test_durations_are_measured_with_the_same_labels(cube):
    cube.recall("ferry")
    data = READER.get_metrics_data()
    found = [
        (metric.name, metric.unit, dict(point.attributes))
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    assert ("memos.verb.duration", "s", labels("recall")[1]) in found
    assert {key for _, _, each in found for key in each} == {"memos.verb", "memos.outcome", "memos.tier"}


def test_no_word_of_anybody_is_told(memos):
    eve = memos.as_principal("eveline")
    cube = eve.cube("sittingroom")
    memory = cube.remember("canary7391 sings like a nightjar", tags=["quixotic"])
    cube.ingest([Message("eveline", "a nightjar, canary7391")], session="quixotic")
    cube.recall("quixotic nightjar canary7391")
    cube.revise(memory.id, "canary7391 sings no more")
    with pytest.raises(NotFound):
        cube.revise("canary7391", "nightjar")
    eve.jobs.submit("consolidate", cube=cube)
    eve.worker().run_until_idle()
    cube.forget(memory.id)
    eve.drain()
    said = "".join(span.to_json() for span in EXPORTER.get_finished_spans())
    said += READER.get_metrics_data().to_json()
    assert len(EXPORTER.get_finished_spans()) > 6
    assert [word for word in (*CANARIES, memory.id, cube.id) if word in said] == []


def test_a_verb_within_a_verb_is_its_child(cube):
    with observing("chat"):
        cube.recall("ferry")
    inner, outer = EXPORTER.get_finished_spans()
    assert (inner.name, inner.parent.span_id) == ("memos.recall", outer.context.span_id)


def test_what_is_observed_keeps_its_name_and_signature():
    @observed("recall")
    def verb(one: int, *, two: str = "") -> str:
        """Say two, so many times."""
        return one * two

    assert (verb.__name__, verb.__doc__, verb(2, two="a")) == ("verb", "Say two, so many times.", "aa")


def test_whoever_exports_nothing_loads_nothing(tmp_path):
    program = (
        "import sys; from memos_core import MemOS\n"
        "from memos_core.testing import HashEmbedder, InMemoryIndex\n"
        "given = {'embedder': HashEmbedder(dimensions=64), 'index': InMemoryIndex(dimensions=64)}\n"
        f"with MemOS.open({str(tmp_path / 'store')!r}, **given) as memos:\n"
        "    memos.cube('notes').remember('words'); print(len(memos.cube('notes').recall('words')))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["1", "[]"]
