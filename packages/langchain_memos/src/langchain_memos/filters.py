"""Filters over the values of items, as `BaseStore.search` words them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
OPERATORS = frozenset({"$eq", "$ne", *_COMPARISONS})


def checked_filter(wanted: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the filter, {} for None; ValueError for one with an operator that there is not."""
    if wanted is None:
        return {}
    if not isinstance(wanted, Mapping):
        raise ValueError(f"filter must be a mapping, not {type(wanted).__name__}")  # noqa: TRY004 - as hosts raise
    for value in wanted.values():
        _check(value)
    return wanted


def _check(value: object) -> None:
    if isinstance(value, Mapping):
        _check_names(value)
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            _check(inner)


def _check_names(value: Mapping[Any, Any]) -> None:
    """Raise ValueError unless a mapping's names are all operators, or all fields."""
    asked = [name for name in value if _is_operator(name)]
    if unknown := [name for name in asked if name not in OPERATORS]:
        raise ValueError(f"there is no operator {unknown[0]!r}: use one of {', '.join(sorted(OPERATORS))}")
    if asked and len(asked) < len(value):
        raise ValueError(f"a filter compares or names fields, not both at once: {sorted(map(str, value))}")


def _is_operator(name: object) -> bool:
    return isinstance(name, str) and name.startswith("$")


def passes(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether every field of the filter holds for the value. A missing field is None."""
    return all(_agrees(value.get(name), each) for name, each in wanted.items())


def _agrees(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(map(_is_operator, wanted)):
            return all(_compares(value, name, each) for name, each in wanted.items())
        return isinstance(value, Mapping) and all(
            _agrees(value.get(name), each) for name, each in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_agrees(each, other) for each, other in zip(value, wanted, strict=True))
        )
    return _same(value, wanted)


def _compares(value: Any, name: str, wanted: Any) -> bool:
    match name:
        case "$eq":
            return _agrees(value, wanted)
        case "$ne":
            return not _agrees(value, wanted)
        case _:
            return _ordered(value, wanted) and _COMPARISONS[name](value, wanted)


def _ordered(value: object, wanted: object) -> bool:
    """Return whether one of the two can be before the other: two numbers, or two strings."""
    return (_is_number(value) and _is_number(wanted)) or (isinstance(value, str) and isinstance(wanted, str))


def _same(value: object, wanted: object) -> bool:
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted  # JSON's true is not 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
