"""A cube's working memory, and what its answers made use of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memos_core.activation.choose import unsuperseded
from memos_core.activation.plan import PERSONA
from memos_core.cube import CubeHeader
from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.heat import cooled
from memos_core.memcube_base import Handle
from memos_core.memory import Memory, Trust, checked_name, checked_tags, checked_within
from memos_core.metering import credited
from memos_core.query import Where
from memos_core.scheduler.working import PINNED, RECENT, USED, Candidate, WorkingSet, chosen, recency
from memos_core.vault import meters
from memos_core.vault.view import View

SAID = 48  # the last turns of a session that are looked at
WARM = 64  # the warmest memories of a cube


class Worked(Handle):
    """What stands in every prompt of a session, and what came of it."""

    def working(self, session: str, *, budget: int = 512, before: WorkingSet | None = None) -> WorkingSet:
        """Return the memories that should stand in every prompt of this session, with the reason for each.

        They are what is pinned (of the kind "persona", or with a priority over 0), what was said last
        in the session, and what has been used most, by value for their tokens, within `budget`
        (estimated) tokens. `before` is the set of the last turn: what stands in it gives way only to
        what is clearly worth more, and what does is in `left`.
        """
        checked_name(session, what="session")
        checked_within(budget, 0, 1 << 62, what="budget")
        if before is not None and not isinstance(before, WorkingSet):
            raise InvalidInput(f"before must be the WorkingSet of the last turn, not {before!r}")
        self._core.check_open()
        self._core.catalog.uses.write()
        with self._core.reading(self._principal, self._id, NEEDS["working"]) as (view, cube):
            found = [*_pinned(view, cube), *_recent(view, cube, session), *_used(view, cube)]
            memories = {each.memory.id: each.memory for each in found}
            present = {memory.id for memory in unsuperseded(view, cube, list(memories.values()))}
        held = () if before is None else [memory.id for memory in before.memories]
        return chosen([each for each in found if each.memory.id in present], budget=budget, held=held)

    def credit(self, memories: Iterable[str], answer: str, *, asked: str = "") -> Sequence[str]:
        """Count which of these memories (by id) an answer made use of; return their ids.

        That is told by words: the answer repeats half of those that a memory has and the question
        `asked` has not. It makes `usefulness`; a Runtime's answers are counted without this.
        """
        self._core.check_open()
        if not isinstance(answer, str) or not isinstance(asked, str):
            raise InvalidInput("answer and asked must be texts")
        ids = checked_tags(memories, what="memory id")
        return credited(self._core, self._principal, self._id, ids, answer, asked=asked)


def _pinned(view: View, cube: CubeHeader) -> list[Candidate]:
    trusted = Trust.TRUSTED
    marked = {
        memory.id: memory
        for where in (Where(kinds=(PERSONA,), trust=trusted), Where(min_priority=1, trust=trusted))
        for memory in view.settled(cube, where, limit=WARM)
    }
    return [_pin(memory) for memory in marked.values()]


def _pin(memory: Memory) -> Candidate:
    priority = memory.header.governance.priority
    if memory.kind == PERSONA:
        return Candidate(memory=memory, kind=PINNED, value=20.0 + priority, why="who one is")
    return Candidate(memory=memory, kind=PINNED, value=10.0 + priority, why=f"priority {priority}")


def _recent(view: View, cube: CubeHeader, session: str) -> list[Candidate]:
    said = view.listed(cube, Where(sessions=(session,)), limit=None, offset=0)[-SAID:]
    found = []
    for ago, memory in enumerate(reversed(said)):
        why = "said last" if not ago else f"said {ago} turns before the last"
        found.append(Candidate(memory=memory, kind=RECENT, value=recency(ago), why=why))
    return found


def _used(view: View, cube: CubeHeader) -> list[Candidate]:
    warmest = meters.warmest(view.connection, cube.id, most=WARM)
    now = view.now.timestamp()
    found = []
    for seq, memory in view.hydrate(cube, list(warmest)).items():
        if memory.trust is not Trust.TRUSTED:
            continue
        heat = cooled(warmest[seq], now=now)
        value = heat * (0.5 + memory.header.behaviour.usefulness)
        if value > 0:
            found.append(
                Candidate(memory=memory, kind=USED, value=value, why=f"used {heat:.2g} times lately")
            )
    return found
