"""What was superseded never stands above what superseded it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def in_succession(order: Sequence[str], newer_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids with every successor right before the first thing it supersedes.

    `newer_of` maps an id to the ids that supersede it. Successors that are not in `order` are put
    in; nothing stands twice; a circle is cut where it is entered.
    """
    placed: dict[str, None] = {}
    for each in order:
        for one in _newest_first(each, newer_of, seen=set()):
            placed.setdefault(one)
    return list(placed)


def _newest_first(each: str, newer_of: Mapping[str, Sequence[str]], seen: set[str]) -> Iterator[str]:
    if each in seen:
        return
    seen.add(each)
    for newer in newer_of.get(each, ()):
        yield from _newest_first(newer, newer_of, seen)
    yield each
