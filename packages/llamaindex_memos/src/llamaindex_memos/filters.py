"""LlamaIndex's metadata filters as the core's filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from memos_core import InvalidInput, Where

EQ, IN = FilterOperator.EQ, FilterOperator.IN


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as exc:
        raise InvalidInput(f"a time in a filter is ISO 8601 with its zone, not {value!r}") from exc


_MEANS: Final[Mapping[tuple[str, FilterOperator], tuple[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        **{
            (key, operator): (field, _several)
            for key, field in (("kind", "kinds"), ("speaker", "speakers"), ("session", "sessions"))
            for operator in (EQ, IN)
        },
        ("session_id", EQ): ("sessions", _several),
        ("session_id", IN): ("sessions", _several),
        ("tags", FilterOperator.CONTAINS): ("tags", _several),
        ("tags", FilterOperator.ALL): ("tags", _several),
        ("at", FilterOperator.GTE): ("since", _moment),
        ("at", FilterOperator.LT): ("until", _moment),
        ("sensitivity", FilterOperator.LTE): ("max_sensitivity", int),
        ("priority", FilterOperator.GTE): ("min_priority", int),
    }
)
"""What the core can be asked: the field of Where, and what a filter's value becomes."""


def where_of(filters: MetadataFilters | Where | None) -> Where | None:
    """Return the filter as the core takes it.

    All conditions must hold (AND): `kind`, `speaker`, `session` by == and in, `tags` by contains and
    all, `at` by >= and <, `sensitivity` by <=, `priority` by >=. Anything else raises InvalidInput: a
    filter that is not applied would show what it should hide.
    """
    if filters is None or isinstance(filters, Where):
        return filters
    fields: dict[str, Any] = {}
    for each in _flat(filters):
        meant = _MEANS.get((each.key, each.operator))
        if meant is None:
            known = ", ".join(sorted({f"{key} {operator.value}" for key, operator in _MEANS}))
            raise InvalidInput(f"there is no filter {each.key!r} {each.operator.value}: use one of {known}")
        field, made = meant
        if field == "tags":
            fields["tags"] = (*fields.get("tags", ()), *made(each.value))
        elif field in fields:
            raise InvalidInput(f"two conditions on {each.key!r}: say both in one")
        else:
            fields[field] = made(each.value)
    return Where(**fields)


def _flat(filters: MetadataFilters) -> list[MetadataFilter]:
    if filters.condition not in (None, FilterCondition.AND) and (
        len(filters.filters) > 1 or filters.condition is FilterCondition.NOT
    ):
        raise InvalidInput("conditions are joined by AND: ask twice for OR")
    found: list[MetadataFilter] = []
    for each in filters.filters:
        found += _flat(each) if isinstance(each, MetadataFilters) else [each]
    return found
