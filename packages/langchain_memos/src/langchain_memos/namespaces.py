"""Namespaces and cubes: `("users", "mira")` is the cube "users.mira", and nothing else is.

A label has no period in it, so joining labels by periods loses nothing: no two namespaces are one cube.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph.store.base import InvalidNamespaceError, MatchCondition, NamespacePath

LONGEST = 1024
"""Bytes of UTF-8 in the name of a cube."""

Namespace = tuple[str, ...]
_WAYS = ("prefix", "suffix")


def cube_name(namespace: Sequence[str]) -> str:
    """Return the name of the namespace's cube.

    Raises InvalidNamespaceError where there can be no such cube: no label, a blank one alone, NUL, too long.
    """
    name = ".".join(namespace)
    if not name.strip():
        raise InvalidNamespaceError(f"the namespace {tuple(namespace)!r} is empty: give it a label")
    if "\0" in name:  # the oldest host that we support lets it through
        raise InvalidNamespaceError(f"the namespace {tuple(namespace)!r} holds a NUL: leave it out")
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise InvalidNamespaceError(f"the namespace {tuple(namespace)!r} is not valid Unicode") from exc
    if length > LONGEST:
        raise InvalidNamespaceError(f"the namespace's labels are over {LONGEST:,} bytes: choose shorter ones")
    return name


def namespace_of(name: str) -> Namespace | None:
    """Return the namespace of a cube's name, or None where a host could not write it."""
    labels = tuple(name.split("."))
    return labels if all(label and "\0" not in label for label in labels) else None


def lies_under(namespace: Namespace, prefix: Namespace) -> bool:
    """Return whether the namespace is `prefix` or begins with all of its labels."""
    return namespace[: len(prefix)] == prefix


def checked_conditions(conditions: Iterable[MatchCondition] | None) -> tuple[MatchCondition, ...]:
    """Return the conditions; ValueError for one that matches by neither prefix nor suffix."""
    found = tuple(conditions or ())
    for each in found:
        if each.match_type not in _WAYS:
            raise ValueError(f"a namespace matches by {' or '.join(_WAYS)}, not by {each.match_type!r}")
    return found


def meets(namespace: Namespace, conditions: Iterable[MatchCondition]) -> bool:
    """Return whether the namespace matches every condition; "*" stands for any one label."""
    return all(_meets(namespace, condition) for condition in conditions)


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    if condition.match_type == "suffix":
        return _fits(namespace[::-1], condition.path[::-1])
    return _fits(namespace, condition.path)


def _fits(labels: Namespace, path: NamespacePath) -> bool:
    return len(labels) >= len(path) and all(
        wanted in ("*", label) for label, wanted in zip(labels, path, strict=False)
    )
