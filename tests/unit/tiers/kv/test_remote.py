"""A model behind a server: what is asked of it, what is read from it; and a real llama.cpp server."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("openai")

from memos_core.errors import BackendError, BackendUnavailable, InvalidInput
from memos_core.inference import Turn
from memos_core.reply import Sampling
from memos_core.tiers.kv.remote import RemoteModel

TURNS = [Turn("user", "Who?"), Turn("assistant", "Me."), Turn("tool", "42"), Turn("user", "Why?")]
ASK = [Turn("user", "Who?")]


def chunk(text=None, *, finish=None, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    } | more


def counted(cached=None):
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"usage": {"completion_tokens": 2, "prompt_tokens": 30, "total_tokens": 32} | details}


SAID = [chunk("Hel"), chunk("lo"), chunk(finish="stop"), chunk() | {"choices": []} | counted(cached=16)]


class Endpoint(ThreadingHTTPServer):
    """Streams `chunks`, or answers with `status`; remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.keys = [], []
        self.chunks, self.status, self.pause = SAID, 200, 0.0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.append(self.headers["Authorization"])
        time.sleep(self.server.pause)
        self.send_response(self.server.status)
        kind = "text/event-stream" if self.server.status == 200 else "application/json"
        self.send_header("Content-Type", kind)
        self.end_headers()
        if self.server.status != 200:
            self.wfile.write(b'{"error": {"message": "planned"}}')
            return
        for each in self.server.chunks:
            line = each if isinstance(each, bytes) else json.dumps(each).encode()
            self.wfile.write(b"data: " + line + b"\n\n")
        if self.server.chunks and self.server.chunks[-1] == SAID[-1]:
            self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def model(endpoint):
    opened = RemoteModel(model="m", base_url=endpoint.url, timeout=1.0, retries=0)
    yield opened
    opened.close()


# --- what is asked ---------------------------------------------------------------------------


def test_the_parts_are_one_system_text_in_their_order(model, endpoint):
    list(model.complete(["Be kind.\n", "Mira: 5.\n"], TURNS, Sampling(max_tokens=7)))
    assert endpoint.seen == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be kind.\nMira: 5.\n"},
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "Me."},
                {"role": "user", "content": "42"},
                {"role": "user", "content": "Why?"},
            ],
            "max_tokens": 7,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


def test_sampling_goes_along(model, endpoint):
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=40, seed=3, stop=("\n",))
    list(model.complete([], ASK, sampling))
    asked = {name: endpoint.seen[0].get(name) for name in ("temperature", "top_p", "top_k", "seed", "stop")}
    assert asked == {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "seed": 3, "stop": ["\n"]}


def test_the_salt_goes_as_a_field(model, endpoint):
    list(model.complete(["A"], ASK, Sampling(), cache_salt="group-1"))
    assert (endpoint.seen[0]["cache_salt"], endpoint.seen[0]["messages"][0]["content"]) == ("group-1", "A")


def test_the_salt_goes_as_text_that_does_not_tell_it(endpoint):
    model = RemoteModel(model="m", base_url=endpoint.url, salted="text", retries=0)
    for salt in ("group-1", "group-1", "group-2", ""):
        list(model.complete(["A"], ASK, Sampling(), cache_salt=salt))
    model.close()
    one, again, other, none = [asked["messages"][0]["content"] for asked in endpoint.seen]
    assert (one == again != other, none, "group-1" in one) == (True, "A", False)
    assert not any("cache_salt" in asked for asked in endpoint.seen)


def test_the_salt_is_left_out_where_a_server_would_refuse_it(endpoint):
    model = RemoteModel(model="m", base_url=endpoint.url, salted="no", retries=0)
    list(model.complete(["A"], ASK, Sampling(), cache_salt="group-1"))
    model.close()
    assert "group-1" not in json.dumps(endpoint.seen)


def test_another_way_of_salting_is_refused():
    with pytest.raises(InvalidInput, match="field, text, no"):
        RemoteModel(model="m", base_url="http://127.0.0.1:9/v1", salted="yes")


def test_no_key_of_the_environment_goes_to_another_endpoint(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    model = RemoteModel(model="m", base_url=endpoint.url, retries=0)
    list(model.complete([], ASK, Sampling()))
    model.close()
    assert endpoint.keys == ["Bearer none"]


def test_a_given_client_is_used_and_left_open(endpoint):
    from openai import OpenAI

    client = OpenAI(base_url=endpoint.url, api_key="sk-mine")
    for _ in range(2):
        model = RemoteModel(model="m", client=client)
        assert list(model.complete([], ASK, Sampling())) == ["Hel", "lo"]
        model.close()
    client.close()
    assert endpoint.keys == ["Bearer sk-mine"] * 2


# --- what is read ----------------------------------------------------------------------------


def test_an_answer_tells_what_it_cost(model):
    answer = model.complete([], ASK, Sampling())
    assert list(answer) == ["Hel", "lo"]
    told = (answer.finish, answer.tokens, answer.prompt_tokens, answer.cached_tokens)
    assert told == ("stop", 2, 30, 16)


def test_llama_cpp_tells_the_cached_tokens_in_its_timings(model, endpoint):
    endpoint.chunks = [chunk("Hi"), chunk(finish="length", timings={"cache_n": 12, "prompt_n": 3})]
    answer = model.complete([], ASK, Sampling())
    assert (list(answer), answer.finish, answer.cached_tokens, answer.tokens) == (["Hi"], "length", 12, None)


def test_a_server_that_counts_nothing_is_believed_nothing(model, endpoint):
    endpoint.chunks = [chunk("Hi"), chunk(finish="stop", timings={"cache_n": "12"})]
    answer = model.complete([], ASK, Sampling())
    assert (list(answer), answer.cached_tokens, answer.prompt_tokens) == (["Hi"], None, None)


def test_text_comes_before_the_answer_is_complete(model):
    with model.complete([], ASK, Sampling()) as answer:
        assert (next(answer), answer.finish) == ("Hel", "")


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_is_busy_or_broken_is_unavailable(model, endpoint, status):
    endpoint.status = status
    with pytest.raises(BackendUnavailable, match=f"m refused with status {status}"):
        model.complete([], ASK, Sampling())


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_server_that_refuses_is_an_error_that_nobody_retries(model, endpoint, status):
    endpoint.status = status
    with pytest.raises(BackendError, match=f"status {status}") as caught:
        model.complete([], ASK, Sampling())
    assert not isinstance(caught.value, BackendUnavailable)


def test_a_server_that_keeps_silent_is_unavailable(model, endpoint):
    endpoint.pause = 2.0
    with pytest.raises(BackendUnavailable, match="does not answer"):
        model.complete([], ASK, Sampling())


def test_a_server_that_is_not_there_is_unavailable():
    model = RemoteModel(model="m", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(BackendUnavailable, match="does not answer"):
        model.complete([], ASK, Sampling())
    model.close()


def test_an_answer_that_breaks_off_is_no_answer(model, endpoint):
    endpoint.chunks = [chunk("Hel")]
    answer = model.complete([], ASK, Sampling())
    assert next(answer) == "Hel"
    with pytest.raises(BackendUnavailable, match="hung up"):
        next(answer)


@pytest.mark.parametrize(
    "strange",
    [
        b"<html>",
        b'{"error": {"message": "out of memory"}}',
        b'{"choices": 5}',
        b'{"choices": [{}]}',
        b'{"choices": [{"delta": null}]}',
    ],
)
def test_what_is_no_chunk_is_an_error(model, endpoint, strange):
    endpoint.chunks = [chunk("Hel"), strange]
    with pytest.raises(BackendError, match=r"^m(:| gave no text)"):
        list(model.complete([], ASK, Sampling()))


# --- a real server ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    pytest.importorskip("xllamacpp")
    from benchmarks.kv.local_server import local_server

    with local_server(context=1024, threads=1) as server:
        yield server


@pytest.fixture
def remote(real):
    opened = []

    def connect(salted="field"):
        given = {"model": real.model, "base_url": real.base_url, "api_key": real.api_key}
        opened.append(RemoteModel(**given, salted=salted))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def cached(model, system, question="Where does Mira live?", salt=""):
    answer = model.complete(system, [Turn("user", question)], Sampling(max_tokens=2), cache_salt=salt)
    assert list(answer)
    return answer.cached_tokens


PARTS = ["You answer in one sentence.\n", "Mira lives in Porto.\n", "Otto likes figs and bread.\n"]


def test_a_stable_prefix_is_reused_and_another_order_is_not(remote):
    model = remote()
    cached(model, PARTS)
    stable = cached(model, PARTS, "What does Otto like?")
    shuffled = cached(model, [PARTS[0], *PARTS[:0:-1]], "Who?")
    assert stable > 20 > shuffled


def test_a_salt_in_the_text_keeps_groups_apart_on_a_server_that_knows_none(remote):
    model = remote("text")
    cached(model, PARTS, salt="readers-1")
    same, other = cached(model, PARTS, salt="readers-1"), cached(model, PARTS, salt="readers-2")
    assert (same > 20, other < 10) == (True, True)


def test_a_real_server_refuses_a_wrong_key_and_a_prompt_that_is_too_long(real, remote):
    stranger = RemoteModel(model=real.model, base_url=real.base_url, api_key="guessed", retries=0)
    with pytest.raises(BackendError, match="status 401"):
        stranger.complete([], ASK, Sampling())
    stranger.close()
    with pytest.raises(BackendError, match="context size"):
        list(remote().complete(["word " * 3000], ASK, Sampling()))


def test_hanging_up_frees_a_real_server(remote):
    model = remote()
    with model.complete([], [Turn("user", "Tell a very long story.")], Sampling(max_tokens=900)) as answer:
        next(answer)
    began = time.monotonic()
    cached(model, PARTS[:1])
    assert time.monotonic() - began < 30
