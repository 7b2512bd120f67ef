"""The two development corpora as the library takes them in: sessions of messages, and questions with gold.

LoCoMo (Maharana et al., ACL 2024): two people over months; the gold is turns.
LongMemEval-S (Wu et al., ICLR 2025): a user and an assistant; the gold is sessions, and turns in them.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memos_core import Message
from memos_core.reader.formats import read_conversations

LOCOMO, LONGMEMEVAL = "LoCoMo", "LongMemEval-S"
_FILES = {LOCOMO: "locomo-dev.json", LONGMEMEVAL: "longmemeval-s-dev.jsonl.gz"}
_EVIDENCE = re.compile(r"D\d+:\d+")
_RECALLED = {1, 2, 3, 4}  # of LoCoMo's categories; 5 is adversarial and has no evidence to find


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sitting of a conversation."""

    name: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query and what answers it. Turns are counted through the whole conversation, from 0."""

    text: str
    kind: str
    now: datetime
    gold: tuple[int, ...]  # turns
    gold_sessions: tuple[int, ...]  # places in `Talk.sessions`


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A conversation in order of time, and the questions put to it."""

    corpus: str
    name: str
    sessions: tuple[Session, ...]
    questions: tuple[Question, ...]
    left_out: int  # questions without gold

    @property
    def turns(self) -> list[tuple[int, int]]:
        """Each turn's session, as a place in `sessions`, and its position there."""
        return [
            (number, place)
            for number, each in enumerate(self.sessions)
            for place in range(len(each.messages))
        ]


def missing(folder: Path) -> list[str]:
    """Return the files of the corpora that the folder lacks."""
    return [name for name in _FILES.values() if not (folder / name).is_file()]


def load(folder: Path, corpus: str) -> list[Talk]:
    """Return the conversations of a corpus. Raises FileNotFoundError where its file is missing."""
    return (_locomo if corpus == LOCOMO else _longmemeval)(folder / _FILES[corpus])


def _locomo(path: Path) -> list[Talk]:
    sessions: dict[str, list[Session]] = {}
    for each in read_conversations(path, "locomo"):
        session = Session(name=str(each.session), messages=each.messages)
        sessions.setdefault(str(each.name), []).append(session)
    samples = json.loads(path.read_text(encoding="utf-8"))
    return [_locomo_talk(sample, sessions[sample["sample_id"]]) for sample in samples]


def _locomo_talk(sample: Mapping[str, Any], sessions: Sequence[Session]) -> Talk:
    messages = [(number, message) for number, each in enumerate(sessions) for message in each.messages]
    place = {message.id: at for at, (_, message) in enumerate(messages)}
    now = messages[-1][1].at or datetime.now(UTC)
    asked = [row for row in sample["qa"] if row["category"] in _RECALLED]
    questions = []
    for row in asked:
        ids = [found for each in row["evidence"] for found in _EVIDENCE.findall(each)]
        gold = tuple(sorted({place[each] for each in ids if each in place}))
        if gold:
            questions.append(
                Question(
                    text=row["question"],
                    kind=str(row["category"]),
                    now=now,
                    gold=gold,
                    gold_sessions=tuple(sorted({messages[at][0] for at in gold})),
                )
            )
    return Talk(
        corpus=LOCOMO,
        name=sample["sample_id"],
        sessions=tuple(sessions),
        questions=tuple(questions),
        left_out=len(asked) - len(questions),
    )


def _longmemeval(path: Path) -> list[Talk]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [_longmemeval_talk(row) for row in rows if not row["question_id"].endswith("_abs")]


def _longmemeval_talk(row: Mapping[str, Any]) -> Talk:
    held = zip(row["haystack_dates"], row["haystack_session_ids"], row["haystack_sessions"], strict=True)
    ordered = sorted(((_stamp(date), name, turns) for date, name, turns in held), key=lambda each: each[0])
    sessions: list[Session] = []
    gold: list[int] = []
    count = 0
    for number, (at, _, turns) in enumerate(ordered):
        said = [turn for turn in turns if turn["content"].strip()]
        messages = tuple(
            Message(turn["role"], turn["content"], at=at, id=f"{number}.{i}") for i, turn in enumerate(said)
        )
        gold += [count + i for i, turn in enumerate(said) if turn.get("has_answer")]
        count += len(said)
        sessions.append(Session(name=f"session {number}", messages=messages))
    answering = set(row["answer_session_ids"])
    question = Question(
        text=row["question"],
        kind=row["question_type"],
        now=_stamp(row["question_date"]),
        gold=tuple(gold),
        gold_sessions=tuple(i for i, (_, name, _) in enumerate(ordered) if name in answering),
    )
    return Talk(
        corpus=LONGMEMEVAL,
        name=row["question_id"],
        sessions=tuple(sessions),
        questions=(question,),
        left_out=0,
    )


def _stamp(text: str) -> datetime:
    return datetime.strptime(re.sub(r" \(\w+\)", "", text), "%Y/%m/%d %H:%M").replace(tzinfo=UTC)
