"""What was superseded never stands above what superseded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def in_succession(order: Sequence[str], newer_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids with every successor right before the first thing it supersedes.

    `newer_of` maps an id to the ids that supersede it. Successors that are not in `order` are put
    in; nothing stands twice; a circle is cut where it is entered.
    """
    placed: dict[str, None] = {}
    for each in order:
        for one in _newest_first(each, newer_of):
            placed.setdefault(one)
    return list(placed)


def _newest_first(start: str, newer_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what supersedes `start`, the newest first, and `start` last. Chains may be long."""
    found: dict[str, None] = {}
    entered: set[str] = set()
    pending = [start]
    while pending:
        each = pending[-1]
        fresh = each not in entered
        entered.add(each)
        newer = [one for one in newer_of.get(each, ()) if one not in entered] if fresh else []
        if newer:
            pending.extend(reversed(newer))
        else:
            found.setdefault(pending.pop())
    return list(found)
