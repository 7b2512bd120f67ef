"""Operations, checked whole before any of them runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)

from langchain_memos.filters import checked_filter
from langchain_memos.namespaces import Namespace, checked_conditions, cube_name
from langchain_memos.texts import texts_of
from memos_core import Entry, InvalidInput, Record, checked_query


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """An entry to keep in a cube, or, with `entry` None, a key to drop."""

    cube: str
    key: str
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """A key to read from a cube."""

    namespace: Namespace
    cube: str
    key: str
    renew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is wanted of every namespace under a prefix."""

    prefix: Namespace
    query: str | None
    wanted: Mapping[str, Any]
    limit: int
    offset: int
    renew: bool

    @property
    def reach(self) -> int:
        """How many of the best are looked at."""
        return self.offset + self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Which namespaces are listed."""

    conditions: tuple[MatchCondition, ...]
    depth: int | None
    limit: int
    offset: int


Step = Put | Get | Search | Names


def checked(op: Op, *, fields: Sequence[str] | None) -> Step:
    """Return the operation as a step that can be taken; nothing is read or written.

    Raises InvalidNamespaceError or InvalidInput, both ValueErrors. A value is copied here.
    """
    validate_op_namespace(op)
    match op:
        case PutOp():
            return _put(op, fields)
        case GetOp():
            namespace = tuple(op.namespace)
            return Get(
                namespace=namespace,
                cube=cube_name(namespace),
                key=_key(op.key),
                renew=bool(op.refresh_ttl),
            )
        case SearchOp():
            return Search(
                prefix=tuple(op.namespace_prefix),
                query=_query(op.query),
                wanted=checked_filter(op.filter),
                limit=_count(op.limit, "limit"),
                offset=_count(op.offset, "offset"),
                renew=bool(op.refresh_ttl),
            )
        case ListNamespacesOp():
            return Names(
                conditions=checked_conditions(op.match_conditions),
                depth=None if op.max_depth is None else _count(op.max_depth, "max_depth"),
                limit=_count(op.limit, "limit"),
                offset=_count(op.offset, "offset"),
            )
        case _:
            raise InvalidInput(f"there is no operation {type(op).__name__}")


def _put(op: PutOp, fields: Sequence[str] | None) -> Put:
    cube = cube_name(op.namespace)
    if op.value is None:
        return Put(cube=cube, key=_key(op.key), entry=None)
    if not isinstance(op.value, Mapping):
        raise InvalidInput(f"a value must be a mapping with str keys, not {type(op.value).__name__}")
    bare = Entry(key=op.key, data=op.value, ttl=_ttl(op.ttl))  # refuses what is no JSON before it is read
    if op.index is False:
        return Put(cube=cube, key=bare.key, entry=bare)
    texts = texts_of(op.value, fields if op.index is None else _paths(op.index))
    return Put(cube=cube, key=bare.key, entry=Entry(key=bare.key, data=op.value, texts=texts, ttl=bare.ttl))


def _paths(index: object) -> Sequence[str]:
    if isinstance(index, list | tuple) and all(isinstance(path, str) for path in index):
        return index
    raise InvalidInput(f"index must be False or a list of JSON paths, not {index!r}")


def _ttl(minutes: float | None) -> timedelta | None:
    if minutes is None:
        return None
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < math.inf:
        raise InvalidInput(f"ttl must be minutes above 0, not {minutes!r}: None keeps an item for good")
    try:
        return timedelta(minutes=minutes)
    except OverflowError as exc:
        raise InvalidInput(
            f"ttl={minutes!r} minutes is over 1,000 years: None keeps an item for good"
        ) from exc


def _key(key: str) -> str:
    return Entry(key=key, data={}).key


def _query(query: str | None) -> str | None:
    """Return what is asked, None where nothing is; InvalidInput for what no cube can be asked."""
    if query is None or (isinstance(query, str) and not query.strip()):
        return None
    return checked_query(query)


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{what} must be a whole number from 0, not {value!r}")
    return value


def item_of(record: Record, namespace: Namespace) -> Item:
    return Item(
        value=record.data,
        key=record.key,
        namespace=namespace,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def search_item_of(record: Record, namespace: Namespace, score: float | None) -> SearchItem:
    return SearchItem(
        namespace=namespace,
        key=record.key,
        value=record.data,
        created_at=record.created_at,
        updated_at=record.updated_at,
        score=score,
    )
