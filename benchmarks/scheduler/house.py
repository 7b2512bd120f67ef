"""A house in which only seconds and bytes are real: what a policy spends and saves over a trace.

It keeps books as the real one does: a cube's states and keys are made by the first use that lacks them
and stay as far as the budgets go, states from the beginning on, block by block; an addition leaves the
full blocks before it, a revision those before its place. `plan()` of the library decides what goes and
what is made ahead. With prediction the states of the cube that is asked next are computed ahead into RAM,
where `Foresight` of the library is sure enough of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.kv.eviction_traces import TRANSFORMERS, Engine
from benchmarks.scheduler.traces import MEMORY, Event, Trace
from memos_core.activation.plan import PART_TOKENS
from memos_core.heat import NEVER, Heat, warmed
from memos_core.scheduler.moves import Move, MoveKind
from memos_core.scheduler.plan import plan
from memos_core.scheduler.policies import Policy, Prices, Worth, sure_enough
from memos_core.scheduler.predict import Foresight
from memos_core.scheduler.stats import Budget, Form, Pool, Standings, Tier

WEIGHED = 100  # questions from which on an adapter is weighed
TICK = 1800.0  # seconds between two looks of the planner while nothing is missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Measured costs. Times in seconds, sizes in bytes."""

    engine: Engine = TRANSFORMERS
    put: float  # a byte, to hash a state and write it through to the disk
    key_load: float  # a memory, to take its keys into RAM
    key_size: float  # a memory
    train: float = 60.0 / 256  # a token: 30 steps of 2 s for 256 tokens
    adapter: int = 4_000_000  # bytes
    idle: float = 0.5  # price of a second of work that nobody waits for


@dataclass(slots=True)
class Books:
    """Seconds. `waited` by whoever asked; `worked` while nobody waited; `put` to store states."""

    waited: float = 0.0
    prefilled: float = 0.0
    loaded: float = 0.0
    trained: float = 0.0
    put: float = 0.0
    moves: int = 0

    def cost(self, idle: float) -> float:
        """Return everything as seconds of waiting."""
        return self.waited + self.put + idle * (self.prefilled + self.loaded + self.trained)


@dataclass(slots=True, eq=False)
class Room:
    """A cube and what is there of it. `covered` tokens have states, `keys` memories are resident."""

    name: str
    tokens: int
    uses: Heat = NEVER
    changes: Heat = NEVER
    hits: int = 0
    words: set[str] = field(default_factory=set)
    covered: int = 0
    keys: int = 0
    adapter: bool = False
    since: dict[Tier, float] = field(default_factory=dict)

    @property
    def memories(self) -> int:
        return max(1, self.tokens // MEMORY)


@dataclass(slots=True)
class Ahead:
    """A cube whose states were computed ahead of its next question, as they lie in RAM; "" for none."""

    name: str = ""
    covered: int = 0
    keys: int = 0
    done: float = 0.0  # when the computing ends


class House:
    """Replays a trace under a policy. `foresees` makes what lacks right before it is asked.

    With `predicts`, what is guessed to be asked next is made ready in the pause before.
    """

    def __init__(
        self,
        trace: Trace,
        constants: Constants,
        budget: Budget,
        policy: Policy,
        *,
        foresees: bool = False,
        predicts: bool = False,
    ) -> None:
        self.trace, self.constants, self.budget, self.policy = trace, constants, budget, policy
        self.foresees, self.predicts = foresees, predicts
        self.foresight, self.ahead = Foresight(), Ahead()
        self.rooms = {name: Room(name=name, tokens=tokens) for name, tokens in trace.start.items()}
        self.books = Books()
        self.now = 0.0
        self.before = self.stored = (
            0  # tokens whose states were there, and were computed, at the last question
        )
        self.talk: frozenset[str] = frozenset()

    def replayed(self) -> Books:
        """Return the books at the end."""
        looked = 0.0
        for event in self.trace.events:
            self.now = event.at
            room = self.rooms[event.cube]
            missed = self._ask(room, event) if event.asks else self._write(room, event)
            if self.predicts and event.asks:
                self.foresight.see(room.name, at=self.now)
            if (missed and self._is_full()) or self.now - looked > TICK:
                looked = self.now
                self._tidy()
            self.books.put += self._put(room)
            if self.predicts and event.asks:
                self._foresee()
        return self.books

    def _foresee(self) -> None:
        """Compute what the likeliest next question lacks, if it is likely enough to pay for idle work."""
        guesses = self.foresight.guesses(at=self.now, most=1)
        if not guesses or guesses[0].share < sure_enough(Prices(idle=self.constants.idle)):
            return
        room, law = self.rooms[guesses[0].cube], self.constants.engine
        here = self.ahead if self.ahead.name == room.name else Ahead()
        covered, keys = max(room.covered, here.covered), max(room.keys, here.keys)
        states = law.build(0, room.tokens) - law.build(0, covered)
        loading = self.constants.key_load * (room.memories - keys)
        self.books.prefilled += states
        self.books.loaded += loading
        done = max(self.now, here.done) + states + loading
        self.ahead = Ahead(room.name, room.tokens, room.memories, done)

    def _put(self, room: Room) -> float:
        """Return the seconds to store what was computed and has room: what would leave is not written."""
        stored, self.stored = min(self.stored, max(room.covered - self.before, 0)), 0
        return self.constants.put * self.constants.engine.token * stored

    def _is_full(self) -> bool:
        disk = sum(room.covered * self.constants.engine.token for room in self.rooms.values())
        keys = sum(room.memories * self.constants.key_size for room in self.rooms.values() if room.keys)
        return disk > self.budget.room(Pool.DISK) or keys > self.budget.room(Pool.RAM)

    def _ask(self, room: Room, event: Event) -> bool:
        law, books = self.constants.engine, self.books
        missed = room.covered < room.tokens or room.keys < room.memories
        ready = self.ahead if self.ahead.name == room.name else Ahead()
        states = law.build(0, room.tokens) - law.build(0, max(room.covered, ready.covered))
        keys = self.constants.key_load * (room.memories - max(room.keys, ready.keys))
        if ready.name:
            books.waited += max(ready.done - self.now, 0.0)
            self.ahead = Ahead()
        if self.foresees:
            books.prefilled += states
            books.loaded += keys
        elif room.adapter:
            pass  # it knows them by heart
        else:
            books.waited += states + keys
        if not room.adapter:
            books.waited += law.load * room.tokens
        self.before, self.stored = room.covered, room.tokens - room.covered
        room.covered, room.keys = room.tokens, room.memories
        room.uses, room.hits = warmed(room.uses, now=self.now), room.hits + 1
        room.words |= event.words
        self.talk = event.words
        return missed

    def _write(self, room: Room, event: Event) -> bool:
        before = room.tokens if event.revised is None else int(room.tokens * event.revised)
        room.covered = min(room.covered, before // PART_TOKENS * PART_TOKENS)
        if self.ahead.name == room.name:
            self.ahead.covered = min(self.ahead.covered, before // PART_TOKENS * PART_TOKENS)
        room.tokens += event.writes
        room.adapter = False
        room.changes = warmed(room.changes, now=self.now)
        return True

    def _tidy(self) -> None:
        """Let the library plan, and do what it says."""
        soon = self.foresight.rates(at=self.now) if self.predicts else None
        forms = [form for room in self.rooms.values() for form in self._forms(room, soon)]
        for move in plan(Standings(forms=forms), self.budget, self.now, policy=self.policy):
            self._do(move)

    def _forms(self, room: Room, soon: Mapping[str, float] | None) -> list[Form]:
        law = self.constants.engine
        have = room.covered or room.tokens
        lacks = room.tokens - room.covered
        shared = {
            "cube": room.name,
            "name": room.name,
            "uses": room.uses,
            "changes": room.changes,
            "hits": room.hits,
            "soon": None if soon is None else soon.get(room.name, 0.0),
            "likeness": len(self.talk & room.words) / len(self.talk) if self.talk else 0.0,
        }
        forms = [
            Form(
                **shared,
                tier=Tier.KV,
                pool=Pool.DISK,
                size=have * law.token,
                make=law.build(0, room.tokens) - law.build(0, room.covered),
                saves=law.build(0, have) - law.load * have,
                held=room.covered > 0,
                granule=PART_TOKENS * law.token,
                rest=lacks * law.token if room.covered else 0,
                since=room.since.get(Tier.KV),
            ),
            Form(
                **shared,
                tier=Tier.RESIDENT,
                pool=Pool.RAM,
                size=int(room.memories * self.constants.key_size),
                make=self.constants.key_load * room.memories,
                saves=self.constants.key_load * room.memories,
                held=room.keys > 0,
                since=room.since.get(Tier.RESIDENT),
            ),
        ]
        if room.hits > WEIGHED:
            forms.append(
                Form(
                    **shared,
                    tier=Tier.LORA,
                    pool=Pool.DISK,
                    size=self.constants.adapter,
                    make=self.constants.train * room.tokens,
                    saves=law.load * room.tokens,
                    on_demand=False,
                    held=room.adapter,
                    since=room.since.get(Tier.LORA),
                )
            )
        return forms

    def _do(self, move: Move) -> None:
        room, law, books = self.rooms[move.cube], self.constants.engine, self.books
        room.since[move.tier] = self.now
        books.moves += 1
        match move.kind, move.tier:
            case MoveKind.EVICT, Tier.KV:
                room.covered = move.leaves // law.token
            case MoveKind.EVICT, Tier.RESIDENT:
                room.keys = 0
            case MoveKind.EVICT, _:
                room.adapter = False
            case MoveKind.PREFILL, _:
                books.prefilled += law.build(0, room.tokens) - law.build(0, room.covered)
                books.put += self.constants.put * law.token * (room.tokens - room.covered)
                room.covered = room.tokens
            case MoveKind.LOAD, _:
                books.loaded += self.constants.key_load * room.memories
                room.keys = room.memories
            case _:
                books.trained += self.constants.train * room.tokens
                room.adapter = True


def untouched(trace: Trace, constants: Constants) -> Books:
    """Return the books where nothing is ever kept: every question computes everything."""
    books, law = Books(), constants.engine
    tokens = dict(trace.start)
    for event in trace.events:
        if event.asks:
            count = tokens[event.cube]
            books.waited += law.build(0, count) + constants.key_load * max(1, count // MEMORY)
        tokens[event.cube] += event.writes
    return books


def foreseeing(trace: Trace, clock: Callable[[], float]) -> Policy:
    """Return the oracle: it keeps what saves most seconds a byte until its next use, which it knows."""
    asked: dict[str, list[float]] = {}
    for event in trace.events:
        if event.asks:
            asked.setdefault(event.cube, []).append(event.at)

    def judge(form: Form, _now: float) -> Worth:
        later = asked.get(form.cube, [])
        place = bisect_right(later, clock())
        if place == len(later):
            return Worth(0.0, 0.0, "never used again")
        return Worth(form.saves / max(later[place] - clock(), 1.0), 0.0, "used again")

    return Policy(name="oracle", judge=judge, grip=0.0, settle=0.0)


def foreseen(trace: Trace, constants: Constants, budget: Budget) -> Books:
    """Return the books of the oracle."""
    house: list[House] = []
    policy = foreseeing(trace, lambda: house[0].now)
    house.append(House(trace, constants, budget, policy, foresees=True))
    return house[0].replayed()
