"""What somebody will ask next is made resident, and prefilled, before they ask it: in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.errors import Closed, Forbidden, InvalidInput, MemOSError, NotFound
from memos_core.memcube import MemCube
from memos_core.performing import loaded
from memos_core.planning import Prefills
from memos_core.scheduler.policies import Prices, sure_enough
from memos_core.scheduler.predict import Foresight, Guess

log = logging.getLogger(__name__)

QUIET = 0.02  # seconds without a question before anything is made ready
HELD = 1024  # questions that wait to be looked at; more are not worth it
TALKS = 1024  # principals that are remembered; who has been silent longest goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a predictor did so far. `hits` are questions to a cube that it had made ready."""

    questions: int = 0
    ready: int = 0  # cubes that were made ready
    hits: int = 0
    guessed: int = 0  # questions to a cube that was among the guesses, ready or not


@dataclass(slots=True)
class _Talk:
    """What is known of one principal."""

    foresight: Foresight = field(default_factory=Foresight)
    guesses: tuple[str, ...] = ()
    sure: frozenset[str] = frozenset()  # those likely enough to compute states for
    ready: set[str] = field(default_factory=set)  # cubes made ready and not asked since


class _GiveWay(MemOSError):
    """Somebody asks: what was begun ahead of need can wait. What is done of it is kept."""


class Predictor:
    """Makes the next questions' cubes ready. Use it as a context manager, or call `close`.

    It never holds up a question: it waits until nobody has asked for a moment, stops a prefill between
    two segments when somebody does, and holds no lock that a question to another cube needs.
    """

    def __init__(
        self, core: Core, *, runtime: Prefills | None = None, most: int = 2, least: float = 0.2
    ) -> None:
        self._core, self._runtime, self._most, self._least = core, runtime, most, least
        self._talks: dict[Principal, _Talk] = {}
        self._questions: deque[tuple[Principal, str, float]] = deque(maxlen=HELD)
        self._pending: dict[Principal, None] = {}  # who asked, and whose next cubes were not all looked at
        self._rung, self._ending = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self.foreseen = Foreseen()
        self._learning = threading.Lock()
        core.recaller.listeners.append(self._hear)
        core.derived.seers.append(self._rates)
        self._thread = threading.Thread(target=self._run, name="memos-predictor", daemon=True)
        self._thread.start()

    def _hear(self, principal: Principal, cubes: Sequence[str]) -> None:
        """Note a question; this is all that whoever asks waits for."""
        if len(cubes) == 1:
            self._idle.clear()
            self._questions.append((principal, cubes[0], self._core.catalog.clock().timestamp()))
            self._rung.set()
            if self._ending.is_set():
                self._idle.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything that was heard has been looked at; return whether it has.

        Where the thread has ended nothing will be, and False is returned at once unless all was.
        """
        return self._idle.wait(timeout) and not (self._questions or self._pending)

    def guesses(self, principal: Principal) -> Sequence[Guess]:
        """Return whom the next question of somebody is expected to be put to, likeliest first."""
        at = self._core.catalog.clock().timestamp()
        with self._learning:
            talk = self._talks.get(principal)
            return talk.foresight.guesses(at=at, most=self._most) if talk else []

    def _rates(self) -> Mapping[str, float]:
        """Return the uses a second that everybody's talks let expect right now, by cube."""
        at = self._core.catalog.clock().timestamp()
        found: dict[str, float] = {}
        with self._learning:
            for talk in self._talks.values():
                for cube, rate in talk.foresight.rates(at=at).items():
                    found[cube] = found.get(cube, 0.0) + rate
        return found

    def close(self) -> None:
        """Stop; closing twice is no error."""
        self._ending.set()
        self._rung.set()
        self._thread.join()

    def _leave(self) -> None:
        """Hear and foresee nothing any more, and keep nobody waiting for it."""
        self._ending.set()
        if self._hear in self._core.recaller.listeners:
            self._core.recaller.listeners.remove(self._hear)
        if self._rates in self._core.derived.seers:
            self._core.derived.seers.remove(self._rates)
        self._idle.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._rung.wait()
                self._rung.clear()
                self._look()
                self._prepare_all()
                if not (self._questions or self._pending):
                    self._idle.set()
        except Closed:
            log.debug("the store was closed")
        finally:  # whatever ended it: out of memory, say
            self._leave()

    def _look(self) -> None:
        """Learn from what was asked meanwhile, and note who asked."""
        while self._questions:
            principal, cube, at = self._questions.popleft()
            with self._learning:
                self._learn(self._talk_of(principal), cube, at)
            self._pending[principal] = None

    def _prepare_all(self) -> None:
        """Prepare for those who asked, until somebody asks: who is left then comes before them."""
        for principal in list(self._pending):
            try:
                self._prepare(principal)
            except _GiveWay:
                return  # it rang again
            except Closed:
                raise
            except MemOSError as exc:
                log.warning("a cube was not made ready", extra={"cause": str(exc)})
            del self._pending[principal]

    def _talk_of(self, principal: Principal) -> _Talk:
        """Return what is known of somebody, who is now the last to have spoken."""
        talk = self._talks[principal] = self._talks.pop(principal, _Talk())
        if len(self._talks) > TALKS:
            silent = next(iter(self._talks))
            del self._talks[silent]
            self._pending.pop(silent, None)
        return talk

    def _learn(self, talk: _Talk, cube: str, at: float) -> None:
        done = self.foreseen
        self.foreseen = replace(
            done,
            questions=done.questions + 1,
            hits=done.hits + (cube in talk.ready),
            guessed=done.guessed + (cube in talk.guesses),
        )
        talk.ready.discard(cube)
        talk.foresight.see(cube, at=at)
        found = talk.foresight.guesses(at=at, most=self._most)
        talk.guesses = tuple(guess.cube for guess in found if guess.share >= self._least)
        sure = max(self._least, sure_enough(Prices()))
        talk.sure = frozenset(guess.cube for guess in found if guess.share >= sure)

    def _prepare(self, principal: Principal) -> None:
        talk = self._talks[principal]
        for cube in talk.guesses:
            self._give_way()
            try:
                if cube not in self._core.residents.held() and loaded(self._core, principal, cube):
                    self._note(talk, cube)
                if cube in talk.sure:
                    self._prefill(talk, principal, cube)
            except (NotFound, Forbidden):  # it was erased or closed to them since
                with self._learning:
                    talk.foresight.forget([cube])

    def _prefill(self, talk: _Talk, principal: Principal, cube_id: str) -> None:
        if self._runtime is None:
            return
        with self._core.reading(principal, cube_id) as (_view, header):
            cube = MemCube(self._core, header, principal)
        prefix = self._runtime.prefix(cube)
        if prefix.stored < prefix.tokens:
            self._give_way()
            self._runtime.build(cube, progress=lambda _done, _of: self._give_way(quiet=False))
            self._note(talk, cube_id)

    def _note(self, talk: _Talk, cube: str) -> None:
        talk.ready.add(cube)
        self.foreseen = replace(self.foreseen, ready=self.foreseen.ready + 1)

    def _give_way(self, *, quiet: bool = True) -> None:
        """Raise _GiveWay where somebody asks, or does so within a moment."""
        if quiet:
            self._ending.wait(QUIET)
        if self._questions or self._ending.is_set():
            self._rung.set()
            raise _GiveWay


def predictor(core: Core, *, runtime: Prefills | None, most: int, least: float) -> Predictor:
    """Return a predictor at work."""
    if runtime is not None and not hasattr(runtime, "prefix"):
        raise InvalidInput(f"runtime must be a Runtime, not {type(runtime).__name__}: Runtime.open(...)")
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise InvalidInput(f"least must be from 0 to 1, not {least!r}")
    return Predictor(core, runtime=runtime, most=most, least=float(least))
