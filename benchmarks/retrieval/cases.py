"""From a conversation to what recipes are scored on. Everything is read by the library's own modules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.retrieval.corpora import LOCOMO, Question, Talk
from memos_core.operator.features import FEATURES, Query, features
from memos_core.operator.rank import rank
from memos_core.protocols import Embedder, KeyRow, Vectors
from memos_core.reader.drafts import said
from memos_core.reader.keys import keys_of
from memos_core.tiers.text.arrays import Floats, linked
from memos_core.tiers.text.lexical import terms
from memos_core.tiers.text.resident import Resident

FOLDS = 5  # two conversations are two folds, many are five


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One question put to its conversation of n turns."""

    talk: Talk
    fold: int
    question: Question
    sessions: npt.NDArray[np.int64]  # (n,) places in `talk.sessions`
    matrix: Floats  # (n, F) as `recall` computes it
    twelve: Floats  # (n, 12) as in the published recipe
    plain: dict[str, Floats]  # (n,) by recipe, nothing fitted

    @property
    def corpus(self) -> str:
        return self.talk.corpus


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Units:
    """What plain recipes rank: bare turns, or sessions as one text each. `of` (n,) names each turn's."""

    what: str
    keys: Resident
    of: npt.NDArray[np.int64]


def cases(talks: Sequence[Talk], embedder: Embedder) -> list[Case]:
    """Return a case per question of the conversations."""
    return [case for number, talk in enumerate(talks) for case in _cases(talk, embedder, fold=number % FOLDS)]


def _cases(talk: Talk, embedder: Embedder, *, fold: int) -> list[Case]:
    rows = _key_rows(talk, embedder)
    keys, sessions = _resident(rows), np.array([session for session, _ in talk.turns])
    if talk.corpus == LOCOMO:
        bare = _resident(_key_rows(talk, embedder, bare=True))
        units = _Units(what="turns", keys=bare, of=np.arange(len(rows)))
    else:
        units = _Units(what="sessions", keys=_resident(_whole(rows)), of=sessions)
    found = []
    for question in talk.questions:
        vector = embedder.embed_query(question.text)
        matrix = rank(keys, question.text, vector, now=question.now).matrix
        found.append(
            Case(
                talk=talk,
                fold=fold,
                question=question,
                sessions=sessions,
                matrix=matrix,
                twelve=_twelve(keys, matrix),
                plain=_plain(keys, units, question, vector),
            )
        )
    return found


def _key_rows(talk: Talk, embedder: Embedder, *, bare: bool = False) -> list[KeyRow]:
    """Return the turns as a cube keeps them; `bare` keys know neither date nor speaker."""
    drafts = [draft for each in talk.sessions for draft in said(each.messages, session=each.name)]
    if bare:
        drafts = [replace(draft, event_at=None, speaker=None) for draft in drafts]
    turns = zip(drafts, keys_of(drafts, embedder), talk.turns, strict=True)
    return [
        KeyRow(
            seq=seq,
            version=1,
            text=draft.text,
            terms=keys.terms,
            vectors=keys.packed(),
            keys=len(keys.vectors),
            session=draft.session,
            position=position,
            speaker=draft.speaker,
            event_at=draft.event_at,
        )
        for seq, (draft, keys, (_, position)) in enumerate(turns)
    ]


def _whole(rows: Iterable[KeyRow]) -> list[KeyRow]:
    """Return one row per session: all its words, all its vectors."""
    sessions: dict[str | None, list[KeyRow]] = {}
    for row in rows:
        sessions.setdefault(row.session, []).append(row)
    return [
        turns[0]._replace(
            seq=seq,
            terms=" ".join(turn.terms for turn in turns),
            vectors=b"".join(turn.vectors for turn in turns),
            keys=sum(turn.keys for turn in turns),
            position=None,
        )
        for seq, turns in enumerate(sessions.values())
    ]


def _resident(rows: Sequence[KeyRow]) -> Resident:
    found = Resident(dimensions=len(rows[0].vectors) // 2 // rows[0].keys)  # two bytes a number
    found.apply(rows, change=1)
    return found


def _column(matrix: Floats, name: str) -> Floats:
    return matrix[:, FEATURES.index(name)]


def _plain(keys: Resident, units: _Units, question: Question, vector: Vectors) -> dict[str, Floats]:
    """Return the scores of the recipes that need no fitting."""
    alone, dated = _unnamed(units.keys, question, vector), _unnamed(keys, question, vector)
    cosine, bm25 = _column(alone, "cosine"), _column(alone, "bm25")
    window = _column(dated, "bm25_window")
    return {
        f"cosine over {units.what}": cosine[units.of],
        f"BM25 over {units.what}": bm25[units.of],
        "RRF of the two": (_reciprocal(cosine) + _reciprocal(bm25))[units.of],
        "score sum of the two": (cosine + bm25)[units.of],
        "BM25 over date + window": window,
        "score sum: cosine of dated turn, BM25 of window": _column(dated, "cosine") + window,
    }


def _unnamed(keys: Resident, question: Question, vector: Vectors) -> Floats:
    """Return the features of the plain query: every word counts, nobody and no time is meant."""
    postings = [keys.posting(term) for term in dict.fromkeys(terms(question.text))]
    held = [posting for posting in postings if len(posting.positions)]
    return features(keys.arrays, Query(cosine=keys.cosines(vector), postings=held))


def _reciprocal(values: Floats) -> Floats:
    """Return 1 / (60 + rank) (Cormack, Clarke and Buettcher 2009)."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return np.asarray(1 / (60 + ranks), dtype=np.float32)


def _twelve(keys: Resident, matrix: Floats) -> Floats:
    """Return the columns of the twelve-feature recipe, each about 0 to 1."""
    cube, cosine = keys.arrays, np.ascontiguousarray(_column(matrix, "cosine"))
    names = "bm25 bm25_window cosine cosine_window next previous session speaker question".split()
    return np.column_stack(
        [
            *(_column(matrix, name) for name in names),
            linked(cosine, cube.following, 0),
            linked(cosine, cube.previous, 0),
            np.log1p(cube.traits.lengths) / 5,
        ]
    )
