"""A resident against a model that keeps rows in a dict and works everything out anew."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.protocols import KeyRow
from memos_core.tiers.text.resident import Resident

DIMENSIONS = 4
TERMS = "red green blue cat dog".split()
SPEAKERS = (None, "Ana", "assistant")


def unit_vectors(seed, keys):
    vectors = np.random.default_rng(seed).standard_normal((keys, DIMENSIONS)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def row(
    seq,
    *,
    version=1,
    seed=0,
    keys=1,
    words=(),
    session=None,
    position=None,
    speaker=None,
    event_at=None,
    text="x",
):
    return KeyRow(
        seq=seq, version=version, text=text, terms=" ".join(words), keys=keys,
        vectors=unit_vectors(seed, keys).tobytes(), session=session, position=position, speaker=speaker,
        event_at=event_at,
    )  # fmt: skip


def mean(each):
    vectors = np.frombuffer(each.vectors, dtype=np.float16).astype(np.float32).reshape(each.keys, -1)
    total = vectors.sum(axis=0)
    return vectors[0] if each.keys == 1 else total / max(float(np.linalg.norm(total)), 1e-9)


def turns_of(rows, session):
    return frozenset(
        each.seq for each in rows.values() if each.position is not None and each.session == session
    )


def expected(rows, query):
    """Return by seq what a resident of these rows should tell."""
    at = {(each.session, each.position): each for each in rows.values() if each.position is not None}
    told = {}
    for seq, each in rows.items():
        beside = [None, None]
        if each.position is not None:
            beside = [at.get((each.session, each.position + step)) for step in (-1, 1)]
        vectors = np.frombuffer(each.vectors, dtype=np.float16).astype(np.float32).reshape(each.keys, -1)
        window = mean(each) + sum((mean(one) for one in beside if one), np.zeros(DIMENSIONS, np.float32))
        told[seq] = {
            "cosine": round(float((vectors @ query).max()), 4),
            "previous": beside[0].seq if beside[0] else None,
            "following": beside[1].seq if beside[1] else None,
            "norm": round(max(float(np.linalg.norm(window)), 1e-6), 3),
            "length": len(each.terms.split()),
            "counts": {term: each.terms.split().count(term) for term in TERMS if term in each.terms.split()},
            "speaker": each.speaker,
            "session": frozenset({seq}) if each.position is None else turns_of(rows, each.session),
            "question": each.text.endswith("?"),
            "time": each.event_at.timestamp() if each.event_at else None,
        }  # fmt: skip
    return told


def actual(resident, query):
    arrays = resident.arrays
    seqs = arrays.traits.seqs.tolist()
    names = {code: name for name, code in resident.speaker_codes.items()}
    cosines = resident.cosines(query)
    counts = {seq: {} for seq in seqs}
    for term in TERMS:
        posting = resident.posting(term)
        for place, count in zip(posting.positions.tolist(), posting.counts.tolist(), strict=True):
            counts[seqs[place]][term] = int(count)
    session = {}
    for start, size in zip(arrays.session_starts.tolist(), arrays.session_sizes.tolist(), strict=True):
        members = [seqs[place] for place in arrays.session_order[start : start + size].tolist()]
        session |= dict.fromkeys(members, frozenset(members))
    return {
        seq: {
            "cosine": round(float(cosines[place]), 4),
            "previous": seqs[arrays.previous[place]] if arrays.previous[place] >= 0 else None,
            "following": seqs[arrays.following[place]] if arrays.following[place] >= 0 else None,
            "norm": round(float(arrays.window_norms[place]), 3),
            "length": int(arrays.traits.lengths[place]),
            "counts": counts[seq],
            "speaker": names.get(int(arrays.traits.speakers[place])),
            "session": session[seq],
            "question": bool(arrays.traits.is_question[place]),
            "time": None if np.isnan(arrays.traits.times[place]) else float(arrays.traits.times[place]),
        }
        for place, seq in enumerate(seqs)
    }


@st.composite
def histories(draw):
    """Return batches of changes: rows of new and known memories, and the seqs that are gone."""
    steps, places, alive, following = [], {}, set(), 1
    for _ in range(draw(st.integers(1, 6))):
        gone = draw(st.lists(st.sampled_from(sorted(alive) or [0]), unique=True, max_size=3)) if alive else []
        alive -= set(gone)
        rows = {}
        for _ in range(draw(st.integers(0, 5))):
            known = draw(st.booleans()) and bool(alive - set(rows))
            seq = draw(st.sampled_from(sorted(alive - set(rows)))) if known else following
            following += not known
            alive.add(seq)
            if seq not in places:
                session = draw(st.sampled_from([None, "s1", "s2"]))
                taken = [place for name, place in places.values() if name == session and place is not None]
                turn = draw(st.integers(0, 3))  # one in four is a statement and has no place
                places[seq] = (session, max(taken, default=-1) + 1 if turn else None)
            session, position = places[seq]
            rows[seq] = row(
                seq, version=draw(st.integers(1, 9)), seed=draw(st.integers(0, 10**6)),
                keys=draw(st.sampled_from([1, 1, 1, 2, 3])),
                words=draw(st.lists(st.sampled_from(TERMS), max_size=4)), session=session, position=position,
                speaker=draw(st.sampled_from(SPEAKERS)), text=draw(st.sampled_from(["Yes.", "Really?"])),
                event_at=draw(st.none() | st.just(datetime(2024, 5, 1, tzinfo=UTC))),
            )  # fmt: skip
        steps.append((list(rows.values()), gone))
    return steps


@settings(max_examples=60, deadline=None)
@given(histories())
def test_after_any_changes_a_resident_tells_what_its_rows_tell(history):
    query = unit_vectors(99, 1)[0].astype(np.float32)
    resident, rows = Resident(dimensions=DIMENSIONS), {}
    for change, (batch, gone) in enumerate(history, start=1):
        resident.apply(batch, gone=[*gone, *(each.seq for each in batch)], change=change)
        rows = {seq: each for seq, each in rows.items() if seq not in gone} | {
            each.seq: each for each in batch
        }
        assert (actual(resident, query), len(resident), resident.change) == (
            expected(rows, query),
            len(rows),
            change,
        )


def test_what_was_struck_is_wiped_from_memory():
    resident = Resident(dimensions=DIMENSIONS)
    resident.apply([row(1, seed=1, keys=2), row(2, seed=2)], change=1)
    resident.apply([], gone=[1], change=2)
    assert (bool(resident._vectors.view[:2].any()), bool(resident._vectors.view[2].any())) == (False, True)


def test_striking_what_is_unknown_is_no_error():
    resident = Resident(dimensions=DIMENSIONS)
    resident.apply([], gone=[5], change=3)
    assert (len(resident), resident.change, len(resident.arrays)) == (0, 3, 0)


def test_a_resident_is_worn_when_many_of_its_rows_are_struck():
    resident = Resident(dimensions=DIMENSIONS)
    resident.apply([row(seq, seed=seq) for seq in range(200)], change=1)
    worn = []
    for gone in (60, 40, 100):
        left = resident.arrays.traits.seqs.tolist()
        resident.apply([], gone=left[:gone], change=2)
        worn.append(resident.is_worn)
    assert worn == [False, True, True]


def test_its_size_grows_with_what_it_holds():
    resident = Resident(dimensions=DIMENSIONS)
    empty = resident.size
    resident.apply([row(seq, seed=seq, words=TERMS) for seq in range(500)], change=1)
    assert resident.size - empty > 500 * 4 * DIMENSIONS


def test_directions_are_of_unit_length_also_where_a_memory_has_several_keys():
    resident = Resident(dimensions=DIMENSIONS)
    rows = [row(1, seed=1), row(2, seed=2, keys=3)]
    resident.apply(rows, change=1)
    found = resident.vectors_of(np.array([1, 0]))
    assert np.allclose(found, [mean(rows[1]), mean(rows[0])], atol=1e-3)


def test_looking_at_directions_changes_nothing():
    resident = Resident(dimensions=DIMENSIONS)
    resident.apply([row(1, seed=1), row(2, seed=2, keys=2)], change=1)
    before = resident._vectors.view.copy()
    resident.vectors_of(np.array([0, 1]))[:] = 7
    assert np.array_equal(resident._vectors.view, before)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_neighbours_find_each_other_in_whatever_order_they_come(order):
    resident = Resident(dimensions=DIMENSIONS)
    for change, position in enumerate(order):
        resident.apply([row(position + 1, seed=position, session="s", position=position)], change=change)
    told = actual(resident, unit_vectors(9, 1)[0].astype(np.float32))
    assert [(told[seq]["previous"], told[seq]["following"]) for seq in (1, 2, 3)] == [
        (None, 2),
        (1, 3),
        (2, None),
    ]
