"""Questions in other words: what a chat model is told, and what is understood of its answer."""

import json

import pytest

from memos_core import ChatPhraser, InvalidInput, OpenAIPhraser
from memos_core.errors import BackendError, BackendUnavailable
from memos_core.extract.phrasing import INSTRUCTIONS, MAX_WAY, MAX_WAYS
from tests.unit.extract.test_endpoint import Endpoint, served

ASKED = ["Where does Mira live?", "Where does Ben work?"]


def saying(answer):
    return ChatPhraser(lambda _system, _told: answer, model="m")


def test_a_function_is_told_the_questions_as_data():
    seen = []

    def ask(system, told):
        seen.append((system, json.loads(told)))
        return '{"questions": [["Mira lives where?"], []]}'

    phraser = ChatPhraser(ask, model="m")
    assert (phraser.phrased(ASKED), phraser.identity) == ([["Mira lives where?"], []], "phraser:m")
    assert seen == [(INSTRUCTIONS, {"questions": ASKED})]


@pytest.mark.parametrize(
    ("answer", "ways"),
    [
        ('{"questions": [["One?", "Two?"], ["Three?"]]}', [["One?", "Two?"], ["Three?"]]),
        ('[["One?"], []]', [["One?"], []]),
        ('Sure!\n```json\n{"questions": [["One?"], ["Two?"]]}\n```', [["One?"], ["Two?"]]),
        ('{"questions": [["One?", 3, null, "  ", "One?", " Two? "], [{"a": 1}]]}', [["One?", "Two?"], []]),
        (json.dumps([["x" * (MAX_WAY + 1), "y" * MAX_WAY], []]), [["y" * MAX_WAY], []]),
        (json.dumps([[f"{n}?" for n in range(99)], []]), [[f"{n}?" for n in range(MAX_WAYS)], []]),
    ],
)
def test_what_of_an_answer_is_a_short_text_is_taken(answer, ways):
    assert saying(answer).phrased(ASKED) == ways


def test_for_one_question_a_plain_list_will_do():
    assert saying('["One?", "Two?"]').phrased(ASKED[:1]) == [["One?", "Two?"]]


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot.", "[]", '{"questions": []}', '[["One?"]]', '{"questions": ["One?", "Two?"]}', "[" * 3000],
)
def test_an_answer_without_a_list_for_each_question_is_an_error(answer):
    with pytest.raises(BackendError, match="no list for each question"):
        saying(answer).phrased(ASKED)


def test_without_a_question_nobody_is_asked():
    assert ChatPhraser(lambda *_: 1 / 0, model="m").phrased([]) == []


def test_a_phraser_needs_a_name():
    with pytest.raises(InvalidInput):
        ChatPhraser(lambda *_: "", model=" ")


# --- behind an endpoint ------------------------------------------------------------------------


@pytest.fixture
def endpoint():
    with served(Endpoint()) as server:
        server.content = '{"questions": [["Mira lives where?"], []]}'
        yield server


@pytest.fixture
def phraser(endpoint):
    made = OpenAIPhraser(model="m", base_url=endpoint.url, timeout=0.5)
    yield made
    made._client.close()


def test_an_endpoint_is_asked_by_a_schema_and_without_a_key(phraser, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert (phraser.phrased(ASKED), phraser.identity) == ([["Mira lives where?"], []], "phraser:m")
    (asked,) = endpoint.seen
    assert json.loads(asked["messages"][1]["content"]) == {"questions": ASKED}
    assert (asked["response_format"]["json_schema"]["name"], endpoint.keys) == ("questions", ["Bearer none"])


def test_one_that_knows_no_schema_is_asked_without(phraser, endpoint):
    endpoint.plan = [422]
    for _ in range(2):
        assert phraser.phrased(ASKED) == [["Mira lives where?"], []]
    assert ["response_format" in each for each in endpoint.seen] == [True, False, False]


@pytest.mark.parametrize(
    ("step", "kind"), [(503, BackendUnavailable), (2.0, BackendUnavailable), (401, BackendError)]
)
def test_what_goes_wrong_is_told_in_our_words(phraser, endpoint, step, kind):
    endpoint.plan = [step]
    with pytest.raises(kind, match="phraser:m"):
        phraser.phrased(ASKED)
