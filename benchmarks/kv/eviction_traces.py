"""Who comes back when, and what their prompts' prefixes are made of: two traces.

`generated` is made up by a seeded generator. `recorded` takes who comes back, when, how often in a
sitting, and how long what they said was from the development data's conversations.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import exp
from pathlib import Path

from benchmarks.retrieval.corpora import LOCOMO, LONGMEMEVAL, Session, Talk, load

BLOCK = 512  # tokens of memories to a link, once it is full
SYSTEM = 40  # tokens of instructions, the same for all
CHARACTERS = 4  # to a token, about
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a segment costs. Computing the tokens up to n takes `linear * n + square * n**2` seconds."""

    name: str
    linear: float
    square: float
    token: int  # bytes
    load: float = 45e-6  # seconds a token to copy a kept state and go on from it

    def build(self, start: int, end: int) -> float:
        """Return the seconds to compute the tokens from `start` to `end` after those before them."""
        return self.linear * (end - start) + self.square * (end**2 - start**2)


# One CPU thread: what a cached prefix spared was 0.32, 0.70, 1.56 and 3.23 s at 128, 256, 512 and 1,024
# tokens; least squares of the relative error, extrapolated beyond. llama.cpp: 10 s for 1,386 tokens,
# two threads, taken as linear; its states' holding the whole prefix is left out here.
TRANSFORMERS = Engine(name="SmolLM2 fp32, transformers", linear=2.51e-3, square=0.72e-6, token=46_000)
LLAMA_CPP = Engine(name="SmolLM2 Q4, llama.cpp", linear=7.2e-3, square=0.0, token=23_000)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Link:
    """A segment: the tokens `start` to `end` of a prompt, after `parent`. Its `size` is in bytes."""

    key: str
    parent: str
    size: int
    build: float
    load: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A prompt: the chain of its links. What is `gone` was erased or revised before it."""

    at: float
    chain: tuple[Link, ...]
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Prompts in the order of time."""

    name: str
    visits: Sequence[Visit]

    @property
    def links(self) -> dict[str, Link]:
        """Every segment that is ever used, by its key."""
        return {link.key: link for visit in self.visits for link in visit.chain}

    @property
    def uses(self) -> int:
        return sum(len(visit.chain) for visit in self.visits)


@dataclass(slots=True)
class Cube:
    """The memories of somebody, in blocks: full ones that stay, and a last one that grows."""

    name: str
    engine: Engine
    blocks: list[int] = field(default_factory=list)  # tokens
    versions: list[int] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=itertools.count)

    def remember(self, tokens: int) -> None:
        """Take in a memory; it changes the last block, or begins a new one."""
        if not self.blocks or self.blocks[-1] + tokens > BLOCK:
            self.blocks.append(0)
            self.versions.append(0)
        self.blocks[-1] += tokens
        self.versions[-1] = next(self._serial)

    def revise(self, block: int) -> tuple[str, ...]:
        """Change a memory in a block; return what is stale: the block's link and all that follow."""
        stale = tuple(link.key for link in self.chain()[block + 1 :])
        self.versions[block] = next(self._serial)
        return stale

    def chain(self) -> tuple[Link, ...]:
        """Return the links of the prefix: the instructions, then block after block."""
        links = [_link(f"{self.engine.name}/system", "", self.engine, 0, SYSTEM)]
        start, name = SYSTEM, self.name
        for tokens, version in zip(self.blocks, self.versions, strict=True):
            name = f"{name}/{version}"
            links.append(_link(name, links[-1].key, self.engine, start, start + tokens))
            start += tokens
        return tuple(links)


def _link(key: str, parent: str, engine: Engine, start: int, end: int) -> Link:
    count = end - start
    return Link(
        key=key,
        parent=parent,
        size=count * engine.token,
        build=engine.build(start, end),
        load=engine.load * count,
    )


# --- made up ---------------------------------------------------------------------------------


def generated(
    *, seed: int, engines: Sequence[Engine], cubes: int = 200, days: int = 5, per_day: int = 200
) -> Trace:
    """Return a trace by the seed.

    Cubes are drawn by Zipf's law (exponent 0.9) of a popularity that drifts: every day a tenth of
    the ranks change hands. Sittings come as a Poisson process, with 8 prompts on average (geometric),
    40 seconds apart (exponential). Memories at the start: log-normal, median 600 tokens, at most
    8,000. A sitting adds a memory of 10 to 60 tokens; after one in twenty an older one is revised.
    """
    draw = random.Random(seed)
    made = [Cube(name=f"cube {n}", engine=engines[n % len(engines)]) for n in range(cubes)]
    for cube in made:
        wanted = min(8000, int(600 * exp(draw.gauss(0, 1))))
        while wanted > 0:
            cube.remember(min(wanted, draw.randint(10, 60)))
            wanted -= 35
    weights = [1 / (rank + 1) ** 0.9 for rank in range(cubes)]
    ranked = draw.sample(made, cubes)
    visits: list[Visit] = []
    at, today = 0.0, 0
    while (at := at + draw.expovariate(per_day / DAY)) < days * DAY:
        if int(at // DAY) > today:
            today = int(at // DAY)
            _drift(ranked, draw, count=cubes // 10)
        (cube,) = draw.choices(ranked, weights)
        visits += _sitting(cube, at, draw)
    return Trace(name="generated", visits=sorted(visits, key=lambda visit: visit.at))


def _drift(ranked: list[Cube], draw: random.Random, *, count: int) -> None:
    places = draw.sample(range(len(ranked)), count)
    movers = [ranked[place] for place in places]
    draw.shuffle(movers)
    for place, cube in zip(places, movers, strict=True):
        ranked[place] = cube


def _sitting(cube: Cube, at: float, draw: random.Random) -> list[Visit]:
    gone = cube.revise(draw.randrange(len(cube.blocks))) if draw.random() < 0.05 else ()
    chain = cube.chain()
    visits = [Visit(at=at, chain=chain, gone=gone)]
    while draw.random() > 1 / 8:
        at += draw.expovariate(1 / 40)
        visits.append(Visit(at=at, chain=chain))
    cube.remember(draw.randint(10, 60))
    return visits


# --- from conversations ----------------------------------------------------------------------


def recorded(folder: Path, *, engines: Sequence[Engine]) -> Trace:
    """Return the trace of the development data's conversations, each of them a cube.

    The order and the days on which people come back, how often they speak in a sitting, and the
    lengths are the data's. That they speak once a minute is assumed: the data times sittings only.
    A sitting leaves one memory, what was said first in it, up to 400 characters.
    """
    talks = [*load(folder, LONGMEMEVAL), *load(folder, LOCOMO)]
    visits = [visit for n, talk in enumerate(talks) for visit in _told(talk, engines[n % len(engines)])]
    return Trace(name="recorded", visits=sorted(visits, key=lambda visit: visit.at))


def _told(talk: Talk, engine: Engine) -> Iterable[Visit]:
    cube = Cube(name=talk.name, engine=engine)
    for session in talk.sessions:
        if not session.messages:
            continue
        first = session.messages[0]
        chain = cube.chain()
        for number in range(_prompts(session)):
            at = first.at + timedelta(minutes=number) if first.at else None
            if at is not None:
                yield Visit(at=at.timestamp(), chain=chain)
        cube.remember(min(len(first.text), 400) // CHARACTERS + 1)


def _prompts(session: Session) -> int:
    """Return how often the one who spoke first speaks."""
    return sum(message.speaker == session.messages[0].speaker for message in session.messages)
