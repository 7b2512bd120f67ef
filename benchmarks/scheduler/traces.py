"""Who asks what of which cube, and when something is written: recorded sessions, and made-up ones.

`recorded` takes order, days, turns and lengths from conversations of the development data, and the
questions put to them. `drifting` draws cubes by Zipf's law from a popularity that drifts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp
from pathlib import Path

from benchmarks.retrieval.corpora import LOCOMO, LONGMEMEVAL, Talk, load
from memos_core.tiers.text.lexical import terms

CHARACTERS = 4  # to a token, about
MEMORY = 35  # tokens to a made-up memory, on average
TOPICS = 12
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happens to a cube at a moment (seconds since 1970).

    `writes` are the tokens of a new memory, 0 where somebody asks; `revised` is the share of the cube
    that lies before what was changed, None where nothing was. `words` are those of the question.
    """

    at: float
    cube: str
    writes: int = 0
    revised: float | None = None
    words: frozenset[str] = frozenset()

    @property
    def asks(self) -> bool:
        return not self.writes and self.revised is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Events in the order of time; `start` are the tokens that each cube begins with."""

    name: str
    events: Sequence[Event]
    start: dict[str, int]

    @property
    def asked(self) -> int:
        return sum(event.asks for event in self.events)


# --- made up ---------------------------------------------------------------------------------


def drifting(*, seed: int, cubes: int = 60, days: int = 2, per_day: int = 120) -> Trace:
    """Return a trace by the seed.

    Sittings come as a Poisson process. Whose they are is drawn by Zipf's law (exponent 0.9) from ranks
    of which a tenth change hands every day. A sitting has 6 questions on average (geometric), 40
    seconds apart (exponential), about the cube's topic. After it a memory of 10 to 60 tokens is
    written; after one in ten an older memory is revised. Cubes begin with 600 tokens (median).
    """
    draw = random.Random(seed)
    names = [f"cube {number}" for number in range(cubes)]
    topics = {name: frozenset({f"topic {draw.randrange(TOPICS)}"}) for name in names}
    start = {name: min(6000, int(600 * exp(draw.gauss(0, 0.8)))) for name in names}
    weights = [1 / (rank + 1) ** 0.9 for rank in range(cubes)]
    ranked = draw.sample(names, cubes)
    events: list[Event] = []
    at, today = 0.0, 0
    while (at := at + draw.expovariate(per_day / DAY)) < days * DAY:
        if int(at // DAY) > today:
            today = int(at // DAY)
            _drift(ranked, draw, count=cubes // 10)
        (name,) = draw.choices(ranked, weights)
        events += _sitting(name, at, topics[name], draw)
    return Trace(name=f"drifting {seed}", events=sorted(events, key=lambda event: event.at), start=start)


def _drift(ranked: list[str], draw: random.Random, *, count: int) -> None:
    places = draw.sample(range(len(ranked)), count)
    movers = [ranked[place] for place in places]
    draw.shuffle(movers)
    for place, name in zip(places, movers, strict=True):
        ranked[place] = name


def _sitting(name: str, at: float, words: frozenset[str], draw: random.Random) -> Iterator[Event]:
    yield Event(at=at, cube=name, words=words)
    while draw.random() > 1 / 6:
        at += draw.expovariate(1 / 40)
        yield Event(at=at, cube=name, words=words)
    yield Event(at=at + 20, cube=name, writes=draw.randint(10, 60))
    if draw.random() < 0.1:
        yield Event(at=at + 21, cube=name, revised=draw.random())


# --- recorded --------------------------------------------------------------------------------


def recorded(folder: Path, *, corpus: str, half: int | None = None) -> Trace:
    """Return the trace of a corpus; `half` 0 or 1 takes every other conversation.

    Each speaker of LoCoMo has a cube, and each user of LongMemEval. Whoever speaks in a session asks
    their cube at each turn, a minute apart (the data times sessions only), and afterwards the session's
    first turn of each is written, up to 400 characters. A question of LoCoMo is put to the cube of
    whoever it names, a day after the session that answers it, and one of LongMemEval at its own time.
    """
    talks = [talk for n, talk in enumerate(load(folder, corpus)) if half is None or n % 2 == half]
    events = [event for talk in talks for event in (*_said(talk), *_questions(talk))]
    name = corpus if half is None else f"{corpus}, {'even' if half == 0 else 'odd'} conversations"
    start = dict.fromkeys(sorted({event.cube for event in events}), MEMORY)
    return Trace(name=name, events=sorted(events, key=lambda event: event.at), start=start)


def _said(talk: Talk) -> Iterator[Event]:
    for session in talk.sessions:
        first: dict[str, str] = {}
        begin = _begin(talk, session.messages[0].at) if session.messages else 0.0
        for number, message in enumerate(session.messages):
            cube = _cube(talk, message.speaker)
            if talk.corpus == LONGMEMEVAL and message.speaker != "user":
                continue
            first.setdefault(cube, message.text)
            yield Event(at=begin + 60 * number, cube=cube, words=frozenset(terms(message.text[:400])))
        for cube, text in first.items():
            end = begin + 60 * len(session.messages)
            yield Event(at=end, cube=cube, writes=min(len(text), 400) // CHARACTERS + 1)


def _questions(talk: Talk) -> Iterator[Event]:
    speakers = sorted({message.speaker for session in talk.sessions for message in session.messages})
    for number, question in enumerate(talk.questions):
        at = question.now
        if talk.corpus == LOCOMO:
            told = talk.sessions[max(question.gold_sessions)].messages[0].at or at
            at = told + timedelta(days=1, minutes=number % 240)
        who = next((each for each in speakers if each in question.text), speakers[-1])
        yield Event(at=at.timestamp(), cube=_cube(talk, who), words=frozenset(terms(question.text)))


def _begin(talk: Talk, at: datetime | None) -> float:
    if at is None:
        raise ValueError(f"{talk.name} has a session without a time")
    return at.timestamp()


def _cube(talk: Talk, speaker: str) -> str:
    return f"{talk.name}/{speaker}" if talk.corpus == LOCOMO else talk.name
