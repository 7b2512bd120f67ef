"""One answer: attach what is there, compute the rest, say it, keep what was made for the next time."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from memos_core.activation import composed
from memos_core.activation.composed import Composition
from memos_core.activation.keeper import KIND, Attached, Keeper, Made, links
from memos_core.activation.plan import Plan
from memos_core.activation.stops import Stops
from memos_core.cube import CubeHeader
from memos_core.errors import BackendError, Closed, InvalidInput
from memos_core.inference import AnyEngine, Prompt, State, Token
from memos_core.reply import Prefix, Reply, Reuse, Sampling
from memos_core.segment import SegmentHeader
from memos_core.tiers.kv.eviction import Entry, over_budget, spread
from memos_core.tiers.kv.levels import Levels
from memos_core.vault.artifacts import Artifact
from memos_core.vault.derived import Derived

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_LEFT = 4  # answers that were broken off, of which what was made is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where segments are kept: a store's artifacts, and the cube that they belong to."""

    derived: Derived
    cube: CubeHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call whose prompt is ready. Without a `place` nothing is attached or kept."""

    begin: float  # time.perf_counter()
    plan: Plan
    prompt: Prompt
    place: Place | None
    why_not: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    adapter: str = ""
    no_adapter: str = ""
    compose: Composition | None = None
    told: Callable[[str], object] | None = None  # is given the whole answer


class Stream(Iterator[str]):
    """An answer while it is being said: iterate over its texts, then ask for the Reply.

    Threads take turns: an awaited reader that was cancelled closes while a word is still being said.
    """

    def __init__(self, answer: Generator[str, None, Reply]) -> None:
        self._answer = answer
        self._reply: Reply | None = None
        self._turn = threading.Lock()

    def __next__(self) -> str:
        with self._turn:
            try:
                return next(self._answer)
            except StopIteration as end:
                self._reply = self._reply or end.value
                raise

    def finished(self) -> Reply:
        """Read what has not been read yet, and return the whole reply.

        InvalidInput after `close`, or where the answer broke off with an error.
        """
        for _ in self:
            pass
        if self._reply is None:
            raise InvalidInput("this answer was broken off: ask again")
        return self._reply

    def close(self) -> None:
        """Break the answer off, after the word that is being said. What was made for it is kept later."""
        with self._turn:
            self._answer.close()


class Answerer:
    """Answers requests with one engine. Safe from several threads.

    An answer that is broken off may be so by the garbage collector, in a thread that holds any lock. What
    was made for it is left, and kept when the next one is asked for. Nothing of it outlives an erasure.
    """

    def __init__(self, engine: AnyEngine, levels: Levels[State], *, form: str, disk_bytes: int) -> None:
        self._engine, self._levels = engine, levels
        self._keeper = Keeper(engine, levels)
        self._form, self._disk_bytes = form, disk_bytes
        self._left: deque[tuple[Request, Sequence[Made]]] = deque(maxlen=_LEFT)

    def answered(self, request: Request) -> Generator[str, None, Reply]:
        """Yield the answer's texts; return the reply. It may outlive its store and its cube."""
        self.keep_left()
        try:
            base = self._based(request)
        except Closed:
            request, base = replace(request, place=None, why_not="the store was closed"), Attached()
        stops = Stops(request.sampling.stop)
        count = _Count(request.begin)
        texts: list[str] = []
        tokens = self._engine.generate(request.prompt.ids, base.states, request.sampling)
        try:
            for text in stops.passed(count.texts(tokens)):
                texts.append(text)
                yield text
        except GeneratorExit:  # the listener walks away
            self._left.append((request, base.made))
            raise
        except BaseException:
            self._keep(request, base.made)
            raise
        built = self._keep(request, base.made)
        if request.told is not None:
            request.told("".join(texts))
        is_whole = stops.hit or self._has_room(request, count.tokens)
        return Reply(
            text="".join(texts),
            finish="stop" if is_whole else "length",
            tokens=count.tokens,
            prompt_tokens=len(request.prompt.ids),
            memories=request.plan.memory_ids,
            reuse=_reuse(base, built, request),
            first_token=count.first,
            took=time.perf_counter() - request.begin,
            adapter=request.adapter,
            no_adapter=request.no_adapter,
        )

    def built(self, request: Request, progress: Progress | None) -> Reuse:
        """Make the stable prefix and keep it; return what was there and what was made."""
        self.keep_left()
        base = Attached()
        try:
            self._chain(base, request, progress)
        finally:  # what was made before an interruption is kept
            built = self._keep(request, base.made)
        return _reuse(base, built, request)

    def stored(self, request: Request) -> Prefix:
        """Return how much of the stable prefix is stored."""
        self.keep_left()
        headers = self._headers(request)
        place = request.place
        if place is None or not headers:
            return Prefix(tokens=0, stored=0)
        rows = place.derived.servable(place.cube, [header.key for header in headers])
        found = [header for header in headers if header.key in rows]
        if self._engine.cumulative:
            stored = max((len(header.ids) for header in found), default=0)
        else:
            stored = sum(len(header.ids) for header in found)
        return Prefix(tokens=headers[-1].end, stored=stored)

    # --- before the first token --------------------------------------------------------------

    def _based(self, request: Request) -> Attached:
        """Return the states to begin with."""
        if request.compose is not None and request.place is not None and request.prompt.cuts:
            self._register(request.place.derived)
            return composed.attached(
                self._engine,
                self._keeper,
                request.place.derived,
                request.place.cube,
                request.plan,
                request.prompt,
                form=self._form,
                how=request.compose,
            )
        base = Attached()
        self._chain(base, request, None)
        return base

    def _chain(self, base: Attached, request: Request, progress: Progress | None) -> None:
        """Attach the stable prefix."""
        if request.place is None:
            return
        self._register(request.place.derived)
        headers, place = self._headers(request), request.place
        self._keeper.chain(base, place.derived, place.cube, headers, request.prompt.ids, progress=progress)

    def _headers(self, request: Request) -> list[SegmentHeader]:
        return links(
            request.plan,
            request.prompt,
            self._engine.identity,
            form=self._form,
            cumulative=self._engine.cumulative,
        )

    def _register(self, derived: Derived) -> None:
        """Be told what is erased, and let go first of what others erased."""
        derived.register(self._levels)
        derived.register(self)
        derived.notice()

    # --- after the last token ----------------------------------------------------------------

    def keep_left(self) -> None:
        """Keep what was made for answers that were broken off."""
        while self._left:
            with suppress(IndexError):  # another thread was faster
                self._keep(*self._left.popleft())

    def drop(self, keys: Collection[str]) -> None:
        """Nothing: what is left has no row yet."""

    def scrub(self) -> None:
        """Let go of what is left: it may be of what was erased."""
        self._left.clear()

    def _keep(self, request: Request, made: Sequence[Made]) -> int:
        """Store what was made and has room, and make that room; return how many segments were stored."""
        if request.place is None or not made:
            return 0
        derived = request.place.derived
        cube = request.place.cube
        built = 0
        try:
            room = self._with_room(derived, cube, made)
            built = self._keeper.store(derived, cube, room, giver=request.plan.giver)
            if built:
                derived.fit(KIND, lambda held, now: self._beyond_budget(_entries(held, derived.soon()), now))
        except Closed:
            log.debug("the store was closed before what was made for it could be kept")
        except BackendError as exc:  # the answer was said; it costs the next one time
            log.warning("what was made for an answer was not kept", extra={"cause": str(exc)})
        return built

    def _with_room(self, derived: Derived, cube: CubeHeader, made: Sequence[Made]) -> list[Made]:
        """Return what would stay on the disk: what would leave at once is not written there."""
        leaving: set[str] = set()

        def choose(held: Sequence[Artifact], now: float) -> Collection[str]:
            if sum(each.size for each in held) + sum(each.state.size for each in made) > self._disk_bytes:
                soon = derived.soon()
                expected = None if soon is None else soon.get(cube.id, 0.0)
                news = [replace(self._keeper.entry(each, now), soon=expected) for each in made]
                leaving.update(self._beyond_budget([*_entries(held, soon), *news], now))
            return leaving

        derived.fit(KIND, choose)
        return [each for each in made if each.header.key not in leaving]

    def _beyond_budget(self, entries: Sequence[Entry], now: float) -> list[str]:
        return over_budget(entries, budget=self._disk_bytes, now=now)

    def _has_room(self, request: Request, tokens: int) -> bool:
        """Return whether the model could have gone on, so that it ended by itself."""
        used = len(request.prompt.ids) + tokens
        return tokens < request.sampling.max_tokens and used < self._engine.context


@dataclass(slots=True)
class _Count:
    """Counts tokens on their way, and takes the time of the first."""

    begin: float
    tokens: int = 0
    first: float = 0.0

    def texts(self, tokens: Iterator[Token]) -> Iterator[str]:
        for token in tokens:
            if not self.tokens:
                self.first = time.perf_counter() - self.begin
            self.tokens += 1
            yield token.text


def _reuse(base: Attached, built: int, request: Request) -> Reuse:
    why_not = request.why_not
    if not why_not and not base.saved:
        why_not = _why_nothing(request)
    for key, seconds in base.saved.items():
        if request.place is not None:
            request.place.derived.used(key, seconds=seconds)
    return Reuse(
        tokens=base.tokens,
        segments=len(base.saved),
        built=built,
        saved=sum(base.saved.values(), 0.0),
        level=base.level,
        why_not=why_not,
    )


def _why_nothing(request: Request) -> str:
    if not request.plan.texts:
        return "nothing is the same in every prompt"
    return "nothing was stored yet" if request.prompt.cuts else "the template hides the system text"


def _entries(held: Sequence[Artifact], soon: Mapping[str, float] | None) -> list[Entry]:
    return [
        Entry(
            key=each.key,
            size=each.size,
            build=each.build_seconds,
            use=spread(each.hits, first=each.created_at.timestamp(), last=_seconds(each)),
            soon=None if soon is None else soon.get(each.cube_id, 0.0),
            parent=each.facts["parent"],
            pinned=each.pinned,
        )
        for each in held
    ]


def _seconds(artifact: Artifact) -> float:
    return (artifact.last_used or artifact.created_at).timestamp()
