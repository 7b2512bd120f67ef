"""Searching the namespaces under a prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langgraph.store.base import SearchItem

from langchain_memos.filters import passes
from langchain_memos.items import Search, search_item_of
from langchain_memos.namespaces import Namespace, cube_name, lies_under, namespace_of
from memos_core import Match, MemCube, MemOS, Record, Records

MOST = 10_000  # what one recall can be asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace that holds items."""

    namespace: Namespace
    records: Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An item on its way out; `score` is None where no query was compared with it."""

    place: Place
    record: Record
    score: float | None = None


def places_under(memos: MemOS, prefix: Namespace) -> list[Place]:
    """Return the namespaces under the prefix that hold items, oldest first."""
    cubes = memos.cubes(prefix=cube_name(prefix) if prefix else "", with_records=True)
    own = (cube for cube in cubes if cube.owner == memos.principal.name)  # a shared one has its owner's names
    return [place for place in map(_place, own) if place is not None and lies_under(place.namespace, prefix)]


def _place(cube: MemCube) -> Place | None:
    namespace = namespace_of(cube.name)
    return None if namespace is None else Place(namespace=namespace, records=cube.records)


def searched(memos: MemOS, step: Search) -> list[SearchItem]:
    """Return the items that match: those that answer the query best, or the last written first."""
    if not step.limit:
        return []
    places = places_under(memos, step.prefix)
    found = _newest(places, step) if step.query is None else _best(places, step, step.query)
    shown = found[step.offset : step.reach]
    if step.renew:
        _renew(shown)
    return [search_item_of(each.record, each.place.namespace, each.score) for each in shown]


def _newest(places: Sequence[Place], step: Search) -> list[Found]:
    limit = None if step.wanted else step.reach
    found = [
        Found(place=place, record=record)
        for place in places
        for record in place.records.list(limit=limit)
        if passes(record.data, step.wanted)
    ]
    return sorted(found, key=lambda each: each.record.updated_at, reverse=True)  # stable: ties stay as listed


def _best(places: Sequence[Place], step: Search, query: str) -> list[Found]:
    """Return what answers the query, best first, then items that no query finds.

    A score of the core compares within one cube only. Across several, items are put in the order of
    their likeness to the query, and that is their score.
    """
    matches = [(place, match) for place in places for match in _recalled(place.records, step, query)]
    if len(places) == 1:
        found = [Found(place=place, record=match.record, score=match.score) for place, match in matches]
    else:
        matches.sort(key=lambda pair: pair[1].likeness, reverse=True)
        found = [Found(place=place, record=match.record, score=match.likeness) for place, match in matches]
    if len(found) < step.reach:
        found += [each for each in _newest(places, step) if each.record.memory_id is None]
    return found


def _recalled(records: Records, step: Search, query: str) -> list[Match]:
    """Return the best that pass the filter, asking for more while it leaves too few."""
    k = step.reach
    while True:
        k = min(k, MOST)
        matches = records.recall(query, k=k)
        kept = [match for match in matches if passes(match.record.data, step.wanted)]
        if len(kept) >= step.reach or k == MOST or k >= records.count():
            return kept[: step.reach]
        k *= 4


def _renew(shown: Sequence[Found]) -> None:
    """Let the ttl of what was found begin anew, in one transaction for each namespace."""
    due: dict[Namespace, tuple[Records, list[str]]] = {}
    for each in shown:
        if each.record.ttl is not None:
            _, keys = due.setdefault(each.place.namespace, (each.place.records, []))
            keys.append(each.record.key)
    for records, keys in due.values():
        records.get(keys, renew=True)
