"""The extractor behind an endpoint, against a small server that speaks chat completions."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from memos_core import Extracted, Message, OpenAIExtractor, Passage
from memos_core.errors import BackendError, BackendUnavailable

SEEN = [Passage(id="a", text="I moved to Lisbon."), Passage(id="b", text="Nice.")]


class Endpoint(ThreadingHTTPServer):
    """Answers with `content`, and fails as `plan` says, one entry a request; remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.seen, self.keys = [], [], []
        self.content = '{"statements": [{"text": "Ana moved to Lisbon.", "kind": "event", "from": [1]}]}'

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(request)
        self.server.keys.append(self.headers["Authorization"])
        step = self.server.plan.pop(0) if self.server.plan else 200
        if isinstance(step, float):
            time.sleep(step)
            return
        said = {"role": "assistant", "content": self.server.content}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": request["model"]}
        body |= {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
        if step == "empty":
            body |= {"choices": []}
        status = step if isinstance(step, int) else 200
        data = json.dumps(body if status == 200 else {"error": {"message": "planned"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextmanager
def served(server):
    """Let a server answer while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def endpoint():
    with served(Endpoint()) as server:
        yield server


@pytest.fixture
def extractor(endpoint):
    made = OpenAIExtractor(model="m", base_url=endpoint.url, timeout=0.5)
    yield made
    made._client.close()


def test_statements_are_asked_for_by_a_schema_and_read(extractor, endpoint):
    found = extractor.extract(SEEN, context=[Passage(id="z", text="Before.")])
    (asked,) = endpoint.seen
    assert found == [Extracted(text="Ana moved to Lisbon.", found_in=("a",), kind="event")]
    assert (asked["model"], asked["response_format"]["type"], asked["temperature"]) == (
        "m",
        "json_schema",
        0.0,
    )
    assert json.loads(asked["messages"][1]["content"])["earlier"] == [{"text": "Before."}]


def test_with_a_url_and_no_key_none_is_sent(extractor, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    extractor.extract(SEEN)
    assert endpoint.keys == ["Bearer none"]


def test_an_endpoint_that_knows_no_schema_is_asked_without(extractor, endpoint):
    endpoint.plan = [400]
    for _ in range(2):
        assert len(extractor.extract(SEEN)) == 1
    assert ["response_format" in each for each in endpoint.seen] == [True, False, False]


@pytest.mark.parametrize("step", [408, 429, 500, 503, 2.0])
def test_what_may_work_later_is_unavailable(extractor, endpoint, step):
    endpoint.plan = [step]
    with pytest.raises(BackendUnavailable):
        extractor.extract(SEEN)


@pytest.mark.parametrize("plan", [[401], [404], [400, 400], ["empty"]])
def test_any_other_refusal_is_an_error(extractor, endpoint, plan):
    endpoint.plan = list(plan)
    with pytest.raises(BackendError) as caught:
        extractor.extract(SEEN)
    assert not isinstance(caught.value, BackendUnavailable)


def test_an_answer_without_statements_is_an_error(extractor, endpoint):
    endpoint.content = "As a language model I cannot."
    with pytest.raises(BackendError, match="no list of statements"):
        extractor.extract(SEEN)


def test_a_conversation_is_read_through_the_endpoint_after_an_outage(open_memos, extractor, endpoint, clock):
    memos = open_memos(extractor=extractor)
    cube = memos.cube("notes")
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    endpoint.plan = [503, 429]
    worker = memos.worker()
    for _ in range(4):
        worker.run_until_idle()
        clock.move(minutes=11)
    assert [memory.text for memory in cube.list()] == ["I moved to Lisbon.", "Ana moved to Lisbon."]
    assert cube.list()[1].header.descriptive.made_by == "extractor:m"
