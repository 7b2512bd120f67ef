import numpy as np
import pytest

from benchmarks.latency.baselines import FullText, scan
from benchmarks.latency.corpus import TURNS, Corpus, vocabulary
from benchmarks.latency.standin import Arithmetic, Switched
from benchmarks.latency.timing import Subject, interleaved, paired_ratio, percentiles
from memos_core.tiers.text.lexical import STOP_WORDS, terms


@pytest.fixture(scope="module")
def corpus():
    return Corpus(seed=1)


def test_equal_seeds_give_equal_talk(corpus):
    assert corpus.sessions(50) == Corpus(seed=1).sessions(50)
    assert corpus.sessions(50) != Corpus(seed=2).sessions(50)


def test_so_many_memories_come_in_sessions_of_twenty(corpus):
    assert [len(session.messages) for session in corpus.sessions(50)] == [TURNS, TURNS, 10]


def test_sentences_have_about_twenty_words_and_the_frequencies_of_english(corpus):
    texts = corpus.statements(500, stream=0)
    words = [word.strip("?.").lower() for text in texts for word in text.split()]
    assert 18 <= len(words) / len(texts) <= 22
    assert 0.3 < sum(word in STOP_WORDS for word in words) / len(words) < 0.6


def test_a_question_holds_five_words_that_are_looked_up(corpus):
    words = set(vocabulary())
    for question in corpus.questions(20, stream=0):
        asked = [word for word in question.strip("?").split() if word in words and word not in STOP_WORDS]
        assert len(asked) >= 5


def test_cheap_vectors_are_unit_vectors_that_every_process_makes_alike():
    vectors = Arithmetic(dimensions=16).embed(["one two", "one two", "three"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


def test_the_switch_uses_the_real_embedder_inside_its_block_only():
    switched = Switched(Arithmetic(dimensions=16, seed=9))
    with switched.real():
        real = switched.embed_query("one")
    assert np.array_equal(real, Arithmetic(dimensions=16, seed=9).embed_query("one"))
    assert np.array_equal(switched.embed_query("one"), Arithmetic(dimensions=16).embed_query("one"))
    assert switched.spent > 0


def test_every_subject_runs_once_a_round_after_its_preparation():
    seen = []
    subjects = {
        "a": Subject(lambda n: seen.append(("a", n)), prepare=lambda n: seen.append(("before a", n))),
        "b": Subject(lambda n: seen.append(("b", n))),
    }
    samples = interleaved(subjects, rounds=2, warm_up=1)
    assert {name: len(each) for name, each in samples.items()} == {"a": 2, "b": 2}
    assert sorted(seen) == [(name, n) for name in ("a", "b", "before a") for n in range(3)]
    assert all(seen[at - 1] == ("before a", n) for at, (name, n) in enumerate(seen) if name == "a")


def test_a_ratio_is_the_median_over_rounds():
    samples = {"whole": [6.0, 8.0, 100.0], "a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 2.0]}
    assert paired_ratio(samples, ["whole"], ["a", "b"]) == 3.0


def test_percentiles_are_in_milliseconds():
    told = percentiles([0.001, 0.002, 0.003])
    assert (told["n"], told["p50"]) == (3, 2.0)


def test_the_bare_parts_find_what_is_there(tmp_path):
    texts = ["the harbour at dawn", "a violin in the quartet", "invoices are due"]
    full_text = FullText(tmp_path / "fts.db", [" ".join(terms(text)) for text in texts])
    assert [row for row, _ in full_text.search(terms("violin"))] == [2]
    full_text.close()
    vectors = Arithmetic(dimensions=32).embed(texts)
    assert set(scan(vectors, vectors[1]).tolist()) == {0, 1, 2}
