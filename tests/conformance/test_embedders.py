"""Every embedder keeps the promise of the protocol; the endpoint one against a server of our own."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from memos_core.embed import CachingEmbedder, CallableEmbedder, OpenAIEmbedder, open_embedder
from memos_core.errors import BackendError, BackendUnavailable
from memos_core.testing.embedder import EmbedderConformance, HashEmbedder, SemanticEmbedderConformance


class Endpoint(ThreadingHTTPServer):
    """Speaks /v1/embeddings as its twin would, and fails as `plan` says, one entry a request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.twin, self.plan, self.seen = HashEmbedder(dimensions=48), [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, request):
        vectors = self.twin.embed(request["input"])[:, : request.get("dimensions", 48)] * 3
        rows = [{"object": "embedding", "index": at, "embedding": v.tolist()} for at, v in enumerate(vectors)]
        return {"object": "list", "data": rows[::-1], "model": request["model"], "usage": {}}  # out of order


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, request, self.headers["Authorization"]))
        step = self.server.plan.pop(0) if self.server.plan else 200
        match step:
            case int():
                body = self.server.answer(request) if step == 200 else {"error": {"message": "planned"}}
                self.reply(step, json.dumps(body).encode())
            case float():
                time.sleep(step)
            case bytes():
                self.reply(200, step)

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fragile(endpoint):
    endpoint.plan.clear()
    endpoint.seen.clear()
    return OpenAIEmbedder(model="m", base_url=endpoint.url, timeout=0.5, retries=0)


@pytest.fixture(scope="module")
def int8():
    return open_embedder("minilm-int8")


@pytest.fixture(scope="module")
def static():
    pytest.importorskip("wordllama")
    return open_embedder("static")


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("sentence_transformers")
    return open_embedder("minilm")


class TestInt8(SemanticEmbedderConformance):
    @pytest.fixture
    def embedder(self, int8):
        return int8


class TestStatic(SemanticEmbedderConformance):
    @pytest.fixture
    def embedder(self, static):
        return static


@pytest.mark.slow
class TestMiniLM(SemanticEmbedderConformance):
    @pytest.fixture
    def embedder(self, minilm):
        return minilm


class TestCallable(EmbedderConformance):
    @pytest.fixture
    def embedder(self):
        twin = HashEmbedder(dimensions=64)
        return CallableEmbedder(lambda texts: (twin.embed(texts) * 5).tolist(), identity="scaled@1")


class TestTwin(EmbedderConformance):
    @pytest.fixture
    def embedder(self):
        return HashEmbedder()


class TestCached(EmbedderConformance):
    @pytest.fixture
    def embedder(self):
        return CachingEmbedder(HashEmbedder(), entries=8)


class TestOpenAI(EmbedderConformance):
    @pytest.fixture
    def embedder(self, endpoint):
        return OpenAIEmbedder(model="text-embedding-test", base_url=endpoint.url, api_key="sk-local")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_an_endpoint_that_is_busy_or_broken_is_unavailable(fragile, endpoint, status):
    endpoint.plan[:] = [status]
    with pytest.raises(BackendUnavailable, match=f"m@endpoint refused with status {status}") as caught:
        fragile.embed(["a"])
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_an_endpoint_that_refuses_is_an_error_that_nobody_retries(fragile, endpoint, status):
    endpoint.plan[:] = [status]
    with pytest.raises(BackendError, match=f"status {status}") as caught:
        fragile.embed(["a"])
    assert not isinstance(caught.value, BackendUnavailable)


def test_an_endpoint_that_keeps_silent_is_unavailable(fragile, endpoint):
    endpoint.plan[:] = [1.0]
    with pytest.raises(BackendUnavailable, match="does not answer"):
        fragile.embed(["a"])


def test_an_endpoint_that_is_not_there_is_unavailable():
    embedder = OpenAIEmbedder(model="m", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(BackendUnavailable, match="does not answer"):
        embedder.embed_query("a")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>proxy</html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]}',
    ],
)
def test_an_answer_without_usable_vectors_is_an_error(fragile, endpoint, body):
    endpoint.plan[:] = [body]
    with pytest.raises(BackendError, match="m@endpoint"):
        fragile.embed(["a"])


def test_after_a_failure_it_works_again(fragile, endpoint):
    endpoint.plan[:] = [500]
    with pytest.raises(BackendUnavailable):
        fragile.embed(["a"])
    assert fragile.embed(["a"]).shape == (1, 48)


def test_the_clients_own_retries_hide_a_short_failure(endpoint):
    endpoint.plan[:] = [500]
    assert OpenAIEmbedder(model="m", base_url=endpoint.url, retries=1).embed(["a"]).shape == (1, 48)


def test_many_texts_go_in_requests_of_64_and_keep_their_order(fragile, endpoint):
    texts = [f"text number {number}" for number in range(130)]
    vectors = fragile.embed(texts)
    assert [len(request["input"]) for _, request, _ in endpoint.seen] == [64, 64, 2]
    assert np.allclose(vectors, endpoint.twin.embed(texts), atol=1e-5)


def test_no_key_of_the_environment_goes_to_another_endpoint(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    endpoint.seen.clear()
    OpenAIEmbedder(model="m", base_url=endpoint.url).embed(["a"])
    assert endpoint.seen == [
        ("/v1/embeddings", {"model": "m", "input": ["a"], "encoding_format": "float"}, "Bearer none")
    ]


def test_shorter_vectors_are_asked_for_and_named(endpoint):
    endpoint.seen.clear()
    embedder = OpenAIEmbedder(model="m", base_url=endpoint.url, dimensions=32, revision="2026")
    assert (embedder.embed(["a"]).shape, embedder.dimensions) == ((1, 32), 32)
    assert (embedder.identity, endpoint.seen[0][1]["dimensions"]) == ("m@2026-32", 32)


def test_a_given_client_is_used(endpoint):
    from openai import OpenAI

    client = OpenAI(base_url=endpoint.url, api_key="sk-mine")
    endpoint.seen.clear()
    OpenAIEmbedder(model="m", client=client).embed(["a"])
    assert endpoint.seen[0][2] == "Bearer sk-mine"
