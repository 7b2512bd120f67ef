from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import Message, Where
from memos_core.operator import propose as module
from memos_core.operator.propose import nearest
from memos_core.protocols import KeyRow
from memos_core.testing import HashEmbedder

pytestmark = pytest.mark.databases

EMBEDDER = HashEmbedder()
TURNS = [
    ("Ana", "I moved to Lisbon in May, the harbour is close."),
    ("Bo", "How is the weather in Lisbon?"),
    ("Ana", "Warm. I bought a red bicycle."),
    ("Bo", "Does the bicycle have gears?"),
    ("Ana", "Seven of them, and a basket for the market."),
    ("Bo", "The market near the harbour sells fish."),
    ("Ana", "My sister Vera plays the violin in Porto."),
    ("Bo", "Porto is cold in winter."),
]
QUERIES = [
    "Where does Ana live?",
    "bicycle gears",
    "Who plays the violin?",
    "fish market",
    "what did Bo ask",
    "Porto",
]
SMALL = {"resident_bytes": 0}


@pytest.fixture(params=["told", "owed", "down"])
def state(request, index):
    """Whether the index knows the memories, does not yet, or is down."""
    index.down = request.param != "told"
    return request.param


def found(recall):
    return [(hit.memory.text, round(hit.score, 5), str(hit.why), hit.context) for hit in recall]


@pytest.fixture
def pair(open_memos, tmp_path, index):
    """Open two stores with the same turns: one resident, one that asks the indexes."""

    def open_pair(write):
        cubes = [
            open_memos(tmp_path / "resident", index=type(index)(dimensions=64)).cube("notes"),
            open_memos(tmp_path / "proposed", **SMALL).cube("notes"),
        ]
        for cube in cubes:
            write(cube)
        return cubes

    return open_pair


def converse(cube):
    messages = [
        Message(speaker, text, at=datetime(2024, 5, 1 + number, tzinfo=UTC))
        for number, (speaker, text) in enumerate(TURNS)
    ]
    return cube.ingest(messages, session="s1")


@pytest.mark.parametrize(
    "asked", [{"k": 3}, {"k": 3, "budget": 60}, {"k": 5, "where": Where(speakers=["Ana"])}], ids=str
)
def test_a_cube_answers_alike_resident_or_not(pair, state, index, asked):
    resident, proposed = pair(converse)
    if state == "told":
        proposed._core.indexer.drain()
    elif state == "owed":
        index.down = False
    answers = [
        {query: found(cube.recall(query, **asked)) for query in QUERIES} for cube in (resident, proposed)
    ]
    assert answers[0] == answers[1]


def test_one_reads_ones_own_writes_before_the_index_is_told(open_memos, index):
    cube = open_memos(**SMALL).cube("notes")
    cube.ingest([Message("Ana", f"filler number {number}") for number in range(300)])
    cube._core.indexer.drain()
    index.down = True
    cube.remember("The password is swordfish")
    index.down = False
    first = cube.recall("password", k=1).texts
    assert first == ["The password is swordfish"]


def test_a_memory_that_was_just_forgotten_is_not_found_though_the_index_has_it(open_memos, index):
    cube = open_memos(**SMALL).cube("notes")
    memory = cube.remember("The password is swordfish")
    cube._core.indexer.drain()
    index.down = True
    cube.forget(memory.id)
    index.down = False
    held = memory.id in index._held
    assert (held, cube.recall("password").texts) == (True, [])


def test_a_memory_that_was_just_revised_is_found_in_its_new_words_only(open_memos, index):
    cube = open_memos(**SMALL).cube("notes")
    memory = cube.remember("She lives in Lisbon")
    cube._core.indexer.drain()
    index.down = True
    cube.revise(memory.id, "She lives in Porto")
    index.down = False
    assert cube.recall("Lisbon").texts == ["She lives in Porto"]


def test_expired_memories_do_not_crowd_out_living_ones(open_memos, index, clock, monkeypatch):
    monkeypatch.setattr(module, "PROPOSED", 20)
    cube = open_memos(**SMALL).cube("notes")
    for number in range(40):
        cube.remember(f"harbour price {number}", ttl=timedelta(hours=1))
    living = cube.remember("The harbour master remembers every price that any captain ever paid to him")
    cube._core.indexer.drain()
    clock.move(days=1)
    assert cube.recall("harbour price").memories == [living]


def test_a_filter_that_leaves_many_is_not_starved_by_better_matches_outside_it(open_memos, monkeypatch):
    monkeypatch.setattr(module, "FEW", 5)
    monkeypatch.setattr(module, "PROPOSED", 10)
    cube = open_memos(**SMALL).cube("notes")
    cube.ingest([Message("Bo", f"harbour price {number}") for number in range(60)], session="bo")
    mine = cube.ingest(
        [Message("Ana", f"a long story about the harbour and its many things {n}") for n in range(8)],
        session="ana",
    )
    cube._core.indexer.drain()
    hits = cube.recall("harbour price", where=Where(sessions=["ana"]), k=8).memories
    assert sorted(hit.id for hit in hits) == sorted(memory.id for memory in mine)


def test_when_much_is_owed_it_is_paid_before_the_index_is_asked(open_memos, index, monkeypatch):
    monkeypatch.setattr(module, "MOST_OWED", 4)
    cube = open_memos(**SMALL).cube("notes")
    with cube._core.indexer.paused():  # the background waits
        cube.ingest([Message("Ana", f"turn number {number}") for number in range(30)])
        hits = cube.recall("turn number 7", k=30)
        assert (len(hits), index.count() >= 26) == (30, True)


def test_two_cubes_never_meet_in_one_answer(open_memos):
    memos = open_memos(**SMALL)
    cubes = [memos.cube(name) for name in ("a", "b")]
    for cube in cubes:
        cube.remember(f"The secret of {cube.name} is a number")
    memos.drain()
    assert [cube.recall("secret number").texts for cube in cubes] == [
        ["The secret of a is a number"], ["The secret of b is a number"],
    ]  # fmt: skip


def key_row(seq, words):
    vectors = EMBEDDER.embed(words).astype("float16").tobytes()
    return KeyRow(
        seq=seq, version=1, text=" ".join(words), terms="", vectors=vectors, keys=len(words), session=None,
        position=None, speaker=None, event_at=None,
    )  # fmt: skip


@given(
    st.lists(
        st.lists(st.sampled_from("red green blue cat dog".split()), min_size=1, max_size=3), max_size=12
    ),
    st.integers(1, 6),
)
def test_the_nearest_are_those_of_an_exhaustive_comparison(texts, limit):
    rows = [key_row(seq, words) for seq, words in enumerate(texts)]
    query = EMBEDDER.embed_query("red cat")
    likeness = {
        seq: round(float((EMBEDDER.embed(words).astype("float16").astype("float32") @ query).max()), 5)
        for seq, words in enumerate(texts)
    }
    chosen = nearest(rows, query, limit=limit)
    assert [likeness[seq] for seq in chosen] == sorted(likeness.values(), reverse=True)[:limit]


def test_the_nearest_are_found_across_many_slices(monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 7)
    rows = [key_row(seq, [f"word{seq}"]) for seq in range(50)]
    assert nearest(iter(rows), EMBEDDER.embed_query("word33"), limit=1) == [33]
