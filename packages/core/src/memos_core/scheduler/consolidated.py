"""What a cube's memories come to: a pure plan, the same for the same memories.

Merges come first, then successions, gists and the archive; each part sees what those before it leave. A
plan that was carried out leaves nothing for the next one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from memos_core.consolidation import CONSOLIDATED, CONSOLIDATION, GIST, Act, Consolidating, Until
from memos_core.lifecycle import IN_USE
from memos_core.memory import Memory, Relation, State, Visibility
from memos_core.record import RECORD
from memos_core.scheduler.contradictions import contradictions
from memos_core.scheduler.gists import gist, gist_text, telling
from memos_core.scheduler.sameness import sameness
from memos_core.vault.draft import Draft, statement_digest

Pair = tuple[str, str]
Sitting = tuple[str, str, Visibility]
_MOST_IN_ONE: Final = 50  # statements that one merge takes in


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A cube as a plan looks at it.

    `memories` are those in sight. `linked` are pairs (newer, older) of which one supersedes the other, or
    did until that was taken back; `declined` are sets of memories whose merge was undone, which are left
    alone; `put_away` are the gists in the archive, of whose sessions there is to be no other.
    """

    memories: Sequence[Memory]
    linked: Collection[Pair]
    declined: Sequence[frozenset[str]]
    put_away: Sequence[Memory]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One action to be. `draft` is what it writes; `replaced` the gist that a new one takes the place of."""

    act: Act
    sources: tuple[Memory, ...]
    reason: str
    draft: Draft | None = None
    replaced: Memory | None = None

    @property
    def touched(self) -> tuple[Memory, ...]:
        return self.sources if self.replaced is None else (*self.sources, self.replaced)


class _Merges(NamedTuple):
    """Merges, and the memories as they stand once these are done: one of each merge speaks for it."""

    planned: list[Planned]
    left: list[Memory]


def consolidated(scene: Scene, settings: Consolidating, until: Until) -> list[Planned]:
    """Return what is to be done, in order. Where time is over, what was found by then."""
    known = [each for each in scene.memories if each.kind != RECORD and each.state is not State.EXPIRED]
    merges = _merges(scene, known) if settings.merge else _Merges([], known)
    successions = _successions(scene, merges.left) if settings.supersede and not until.is_over else []
    gists = list(_gists(scene, known, settings, until))
    resting = []
    if settings.rest is not None and not until.is_over:
        merged = {each.id for planned in merges.planned for each in planned.sources}
        replaced = {each.replaced.id for each in gists if each.replaced is not None}
        pairs = {
            *scene.linked,
            *((one.id, other.id) for one, other in (each.sources for each in successions)),
        }
        free = [each for each in known if each.id not in merged | replaced]
        resting = list(_resting(scene, free, pairs, settings, seen={each.id for each in known}))
    return [*merges.planned, *successions, *gists, *resting]


# --- the same said twice ---------------------------------------------------------------------


def _merges(scene: Scene, memories: Sequence[Memory]) -> _Merges:
    apart = {each for pair in scene.linked for each in pair}.union(*scene.declined)
    alike: dict[tuple[object, ...], list[Memory]] = defaultdict(list)
    for memory in memories:
        if memory.id not in apart and (key := _key(memory)) is not None:
            alike[key].append(memory)
    planned = [_merge(group[:_MOST_IN_ONE]) for group in alike.values() if len(group) > 1]
    gone = {each.id for one in planned for each in one.sources}
    left = [each for each in memories if each.id not in gone]
    return _Merges(planned, left + [_speaking(each.sources) for each in planned])


def _key(memory: Memory) -> tuple[object, ...] | None:
    """Return what two statements have to agree in to be one; None for what is never merged.

    Never messages, which are kept as they were said, nor what is frozen. Nobody's words are merged with
    another one's, what one may see not with what one may not, what is trusted not with what is not.
    """
    header, rules = memory.header.descriptive, memory.header.governance
    if header.position is not None or memory.kind == GIST or memory.state not in IN_USE:
        return None
    words = sameness(memory.text)
    said_by = (header.speaker, header.role, header.session)
    allowed = (rules.owner, rules.visibility, rules.trust, rules.expires_at)
    return (words, memory.kind, header.event_at, said_by, allowed) if words else None


def _speaking(group: Sequence[Memory]) -> Memory:
    """Return the one that was written last: the words in which it was said last."""
    return sorted(group, key=lambda each: each.header.descriptive.created_at)[-1]


def _merge(group: Sequence[Memory]) -> Planned:
    best = _speaking(group)
    header, rules = best.header.descriptive, best.header.governance
    draft = Draft(
        text=best.text,
        digest=statement_digest(best.text, kind=best.kind, at=header.event_at),
        kind=best.kind,
        tags=tuple(dict.fromkeys(tag for each in group for tag in each.tags)),
        origin=CONSOLIDATED,
        made_by=CONSOLIDATION,
        speaker=header.speaker,
        role=header.role,
        session=header.session,
        event_at=header.event_at,
        expires_at=rules.expires_at,
        visibility=rules.visibility,
        sensitivity=max(each.header.governance.sensitivity for each in group),
        priority=max(each.header.governance.priority for each in group),
        trust=rules.trust,
    )
    exact = len({each.text for each in group}) == 1
    reason = f"{len(group)} statements say the same" + (", word for word" if exact else "")
    return Planned(act=Act.MERGE, sources=tuple(group), reason=reason, draft=draft)


# --- one thing, then another -----------------------------------------------------------------


def _successions(scene: Scene, memories: Sequence[Memory]) -> list[Planned]:
    known = {frozenset(pair) for pair in scene.linked}
    bound = {
        frozenset((link.source, link.target))
        for memory in memories
        for link in memory.header.behaviour.lineage
        if link.relation in (Relation.SUPERSEDES, Relation.DERIVED_FROM, Relation.CONTRADICTS)
    }
    found = contradictions([each for each in memories if each.kind != GIST])
    return [
        Planned(
            act=Act.SUPERSEDE,
            sources=(each.newer, each.older),
            reason=f"tells another {each.relation} than what was told on {each.older.at:%Y-%m-%d}",
        )
        for each in found
        if frozenset((each.newer.id, each.older.id)) not in known | bound
        and each.newer.state is not State.FROZEN
    ]


# --- sessions that are over ------------------------------------------------------------------


def _gists(
    scene: Scene, memories: Sequence[Memory], settings: Consolidating, until: Until
) -> Iterator[Planned]:
    if settings.quiet is None:
        return
    sittings: dict[Sitting, list[Memory]] = defaultdict(list)
    present: dict[Sitting, Memory] = {}
    for memory in memories:
        place = _sitting(memory)
        if place is not None and memory.kind == GIST and memory.header.descriptive.origin == CONSOLIDATED:
            present[place] = memory
        elif place is not None and memory.header.descriptive.position is not None:
            sittings[place].append(memory)
    away = {_sitting(each): each.header.descriptive.updated_at for each in scene.put_away}  # the last of each
    for place in sorted(sittings.keys() - (away.keys() - present.keys())):
        if until.is_over:
            return
        turns = sittings[place]
        if place in away and away[place] >= max(each.header.descriptive.updated_at for each in turns):
            continue  # one that tells all of this was taken back
        planned = _gist_of(turns, present.get(place), settings, now=scene.now)
        if planned is not None:
            yield planned


def _sitting(memory: Memory) -> Sitting | None:
    session, rules = memory.session, memory.header.governance
    return None if session is None else (session, rules.owner, rules.visibility)


def _gist_of(
    turns: Sequence[Memory], present: Memory | None, settings: Consolidating, *, now: datetime
) -> Planned | None:
    """Return a gist to be written, where the session is over and has none that holds."""
    ended = max(each.at for each in turns)
    if settings.quiet is None or now - ended < settings.quiet:
        return None
    written = max(each.header.descriptive.updated_at for each in turns)
    if present is not None and (
        present.header.descriptive.updated_at >= written or present.state not in IN_USE
    ):
        return None
    lasting = [each for each in turns if not _is_over(each, now)]
    told = telling(sorted(lasting, key=lambda each: each.header.descriptive.position or 0))
    if len(told) < settings.least:
        return None
    chosen = gist(told, most=settings.turns)
    return Planned(
        act=Act.GIST,
        sources=tuple(chosen),
        reason=f"{len(chosen)} of {len(turns)} turns of a session that ended on {ended:%Y-%m-%d}",
        draft=_gist_draft(chosen, ended),
        replaced=present,
    )


def _is_over(turn: Memory, now: datetime) -> bool:
    """Whether only its being frozen keeps a turn in sight: a gist, which is not, ends with what it quotes."""
    end = turn.header.governance.expires_at
    return end is not None and end <= now


def _gist_draft(chosen: Sequence[Memory], ended: datetime) -> Draft:
    text, rules = gist_text(chosen), [each.header.governance for each in chosen]
    ends = [each.expires_at for each in rules if each.expires_at is not None]
    return Draft(
        text=text,
        digest=statement_digest(text, kind=GIST, at=ended),
        kind=GIST,
        origin=CONSOLIDATED,
        made_by=CONSOLIDATION,
        session=chosen[0].session,
        event_at=ended,
        expires_at=min(ends, default=None),
        visibility=rules[0].visibility,
        sensitivity=max(each.sensitivity for each in rules),
        trust=min((each.trust for each in rules), key=lambda trust: trust.rank),
    )


# --- what nobody asked for -------------------------------------------------------------------


def _resting(
    scene: Scene,
    memories: Iterable[Memory],
    pairs: Collection[Pair],
    settings: Consolidating,
    *,
    seen: set[str],
) -> Iterator[Planned]:
    """Yield what is to be put away; what supersedes something goes with that, after it, or stays."""
    older: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        if other in seen:
            older[one].add(other)
    waiting = {each.id: each for each in memories if _has_rested(each, scene.now, settings)}
    gone: set[str] = set()
    while free := [each for each in waiting.values() if older[each.id] <= gone]:
        for each in sorted(free, key=lambda one: (_last(one), one.id)):
            gone.add(each.id)
            del waiting[each.id]
            yield Planned(act=Act.ARCHIVE, sources=(each,), reason=f"not used since {_last(each):%Y-%m-%d}")


def _has_rested(memory: Memory, now: datetime, settings: Consolidating) -> bool:
    """Whether it may be put away: neither frozen nor of priority, which is to be kept at hand."""
    if memory.state not in IN_USE or memory.header.governance.priority > 0 or settings.rest is None:
        return False
    return now - _last(memory) > settings.rest


def _last(memory: Memory) -> datetime:
    return memory.header.behaviour.last_used or memory.header.descriptive.updated_at
