import numpy as np
import pytest

from memos_core.embed import CallableEmbedder
from memos_core.errors import BackendError, BackendUnavailable, InvalidInput


def lengths(texts):
    return [[len(text), 1.0] for text in texts]


def test_lists_of_numbers_become_unit_vectors():
    vectors = CallableEmbedder(lengths, identity="mine@1").embed(["", "abc"])
    assert vectors == pytest.approx(np.array([[0, 1], [3, 1]] / np.sqrt([[1], [10]])))


def test_dimensions_are_asked_for_once_and_only_when_nobody_told():
    calls = []

    def function(texts):
        calls.append(texts)
        return lengths(texts)

    told = CallableEmbedder(function, identity="mine@1", dimensions=2)
    assert (told.dimensions, calls) == (2, [])
    asked = CallableEmbedder(function, identity="mine@1")
    assert (asked.dimensions, asked.dimensions, len(calls)) == (2, 2, 1)


def test_many_texts_come_in_calls_of_64():
    sizes = []

    def function(texts):
        sizes.append(len(texts))
        return lengths(texts)

    assert CallableEmbedder(function, identity="mine@1").embed(["a"] * 130).shape == (130, 2)
    assert sizes == [64, 64, 2]


def test_queries_may_have_a_function_of_their_own():
    embedder = CallableEmbedder(lengths, identity="mine@1", query=lambda texts: [[0.0, -1.0]] * len(texts))
    assert embedder.embed_query("q").tolist() == [0.0, -1.0]
    assert embedder.embed(["q"])[0, 1] > 0


def test_the_function_may_not_change_what_is_counted():
    def greedy(texts):
        vectors = lengths(texts)
        texts.clear()
        return vectors

    assert CallableEmbedder(greedy, identity="mine@1").embed(["a", "b"]).shape == (2, 2)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([[0.0, 0.0]], "zero vector"),
        ([[float("nan"), 1.0]], "not finite"),
        ([[1.0]], "shape"),
        (None, "shape"),
    ],
)
def test_an_answer_without_a_vector_is_a_typed_error(answer, why):
    embedder = CallableEmbedder(lambda texts: answer, identity="mine@1", dimensions=2)
    with pytest.raises(BackendError, match=f"mine@1 gave .*{why}"):
        embedder.embed(["a"])


def test_vectors_that_change_their_length_are_refused():
    embedder = CallableEmbedder(lambda texts: [[1.0] * len(text) for text in texts], identity="mine@1")
    embedder.embed(["ab"])
    with pytest.raises(BackendError, match=r"shape \(1, 3\), not \(1, 2\)"):
        embedder.embed(["abc"])


@pytest.mark.parametrize("error", [ConnectionRefusedError, TimeoutError])
def test_a_function_that_cannot_reach_its_model_is_unavailable(error):
    def function(texts):
        raise error("no route")

    with pytest.raises(BackendUnavailable, match="mine@1 does not answer: no route") as caught:
        CallableEmbedder(function, identity="mine@1").embed(["a"])
    assert isinstance(caught.value.__cause__, error)


def test_other_errors_of_the_function_are_its_own():
    with pytest.raises(ZeroDivisionError):
        CallableEmbedder(lambda texts: 1 / 0, identity="mine@1").embed(["a"])


@pytest.mark.parametrize("identity", ["", "mine", "@1", "mine@", " @ "])
def test_an_identity_without_model_or_revision_is_refused(identity):
    with pytest.raises(InvalidInput, match="model@revision"):
        CallableEmbedder(lengths, identity=identity)


def test_dimensions_below_one_are_refused():
    with pytest.raises(InvalidInput, match="dimensions"):
        CallableEmbedder(lengths, identity="mine@1", dimensions=0)
