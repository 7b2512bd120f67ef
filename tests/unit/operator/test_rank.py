from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.operator.features import FEATURES
from memos_core.operator.rank import Ranking, Weights, fitted_weights, rank
from memos_core.protocols import KeyRow
from memos_core.testing import HashEmbedder
from memos_core.tiers.text.lexical import terms
from memos_core.tiers.text.resident import Resident

NOW = datetime(2024, 6, 1, tzinfo=UTC)
EMBEDDER = HashEmbedder()


def row(seq, text, **fields):
    given = {"version": 1, "session": None, "position": None, "speaker": None, "event_at": None, **fields}
    vectors = EMBEDDER.embed([text]).astype(np.float16).tobytes()
    return KeyRow(seq=seq, text=text, terms=" ".join(terms(text)), vectors=vectors, keys=1, **given)


def ranking(query, rows, **given):
    keys = Resident(dimensions=64)
    keys.apply(rows, change=1)
    return rank(keys, query, EMBEDDER.embed_query(query), now=NOW, **given)


def only(name, weight=1.0):
    """Weights that count one column."""
    return Weights(np.array([weight if each == name else 0 for each in FEATURES], dtype=np.float32))


CONVERSATION = [
    row(
        number,
        text,
        session="s1",
        position=number,
        speaker=speaker,
        event_at=datetime(2024, 5, number + 1, tzinfo=UTC),
    )
    for number, (speaker, text) in enumerate(
        [
            ("Ana", "Hello there!"),
            ("Bo", "Where do you live now?"),
            ("Ana", "In Lisbon, near the harbour."),
            ("Bo", "I bought a red bicycle yesterday."),
            ("assistant", "Remember to lock it."),
        ]
    )
]

words = st.sampled_from("Lisbon bicycle Ana? where I you said may 2024 harbour 里 \0".split(" "))
queries = st.lists(words, min_size=1, max_size=9).map(" ".join)


def test_the_shipped_weights_name_columns_that_exist():
    import json
    from importlib.resources import files

    record = json.loads((files("memos_core.operator") / "weights.json").read_text())
    assert (set(record["weights"]) - set(FEATURES), bool(np.any(fitted_weights().values))) == (set(), True)


def test_words_and_meaning_find_the_turn():
    found = ranking("Which harbour city does she live in: Lisbon?", CONVERSATION)
    assert found.seqs[found.best(1)].tolist() == [2]


@given(queries)
def test_every_score_lies_between_nothing_and_everything(query):
    scores = ranking(query, CONVERSATION).scores
    assert bool(np.all((scores >= -1e-6) & (scores <= 1 + 1e-6)))


@given(queries)
def test_the_reasons_sum_to_the_score(query):
    found = ranking(query, CONVERSATION)
    totals = [found.why(place).total for place in range(len(found.scores))]
    assert np.allclose(totals, found.scores, atol=1e-5)


def test_a_reason_that_speaks_against_lowers_the_score():
    found = ranking("bicycle", CONVERSATION, weights=only("question", -1.0))
    assert (found.scores.tolist(), found.why(1).form, found.why(0).form) == (
        [1.0, 0.0, 1.0, 1.0, 1.0],
        -1.0 + 1.0,
        1.0,
    )


@pytest.mark.parametrize(
    ("query", "column", "wanted"),
    [
        ("What did Ana say?", "speaker", [1, 0, 1, 0, 0]),
        ("What did you recommend?", "speaker", [0, 0, 0, 0, 1]),
        ("What happened on 2 May 2024?", "in_time", [0, 1, 0, 0, 0]),
        ("What happened?", "in_time", [0, 0, 0, 0, 0]),
    ],
)
def test_a_query_that_names_speaker_or_time_prefers_them(query, column, wanted):
    assert ranking(query, CONVERSATION, weights=only(column)).scores.tolist() == wanted


def test_the_best_come_first_and_ties_go_to_the_earlier():
    scores = np.array([0.2, 0.9, 0.5, 0.9, 0.5], dtype=np.float32)
    found = Ranking(np.arange(5), scores, np.zeros((5, 1), np.float32), only("bm25"))
    places = [found.best(count).tolist() for count in (1, 3, 99)]
    assert places == [[1], [1, 3, 2], [1, 3, 2, 4, 0]]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=30), st.integers(1, 35), st.data())
def test_the_best_are_those_of_a_stable_sort(scores, count, data):
    values = np.array(scores, dtype=np.float32)
    found = Ranking(np.arange(len(scores)), values, np.zeros((len(scores), 1), np.float32), only("bm25"))
    allowed = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))), dtype=np.bool_
    )
    wanted = sorted((n for n in range(len(scores)) if allowed[n]), key=lambda n: -scores[n])[:count]
    assert found.best(count, among=allowed).tolist() == wanted


def test_an_empty_cube_ranks_nothing():
    found = ranking("anything", [])
    assert (found.scores.tolist(), found.best(5).tolist()) == ([], [])


def test_a_query_of_stop_words_only_is_ranked():
    assert len(ranking("what is it that the", CONVERSATION).scores) == 5


def test_equal_texts_rank_in_the_order_in_which_they_were_written_also_after_a_revision():
    rows = [row(seq, "the same words") for seq in (1, 2, 3)]
    keys = Resident(dimensions=64)
    keys.apply(rows, change=1)
    keys.apply([rows[0]._replace(version=2)], gone=[1], change=2)
    found = rank(keys, "same words", EMBEDDER.embed_query("same words"), now=NOW)
    assert found.seqs[found.best(3)].tolist() == [1, 2, 3]
