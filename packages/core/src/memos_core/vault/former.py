"""What earlier versions are found by.

Keys are kept when a version is written over, so that a past state is ranked, and gone back to,
without embedding anything anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, literal, or_, select, true

from memos_core.consolidation import GIST
from memos_core.cube import CubeHeader
from memos_core.protocols import KeyRow
from memos_core.vault import keyring, scope
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.engine import dialect_of
from memos_core.vault.schema import OUT_OF_SIGHT, former_keys, lexical, memories, parts, vectors, versions
from memos_core.vault.view import View


class Unkept(NamedTuple):
    """Keys that nobody kept: of which memory, under which number, and the draft to make them from."""

    seq: int
    keyed: int
    draft: Draft


def number(connection: Connection, seq: int, version: int) -> int:
    """Return under which number a version's keys are known."""
    query = select(versions.c.keyed).where(versions.c.memory_seq == seq, versions.c.version == version)
    return int(connection.execute(query).scalar_one())


def keep(connection: Connection, seq: int, *, keyed: int) -> None:
    """Keep a memory's present keys, about to be written over, under this number."""
    present = (
        select(
            vectors.c.memory_seq,
            literal(keyed),
            vectors.c.model,
            vectors.c.key_count,
            vectors.c.data,
            lexical.c.terms,
        )
        .join(lexical, lexical.c.rowid == vectors.c.memory_seq)
        .where(vectors.c.memory_seq == seq)
    )
    names = [column.name for column in former_keys.c]
    kept = dialect_of(connection).insert(former_keys).from_select(names, present)
    connection.execute(kept.on_conflict_do_nothing())


def put_back(connection: Connection, seq: int, *, keyed: int, cube: str) -> None:
    """Make the keys kept under this number the memory's present ones; `cube` is its cube's key."""
    connection.execute(delete(vectors).where(vectors.c.memory_seq == seq))
    connection.execute(delete(lexical).where(lexical.c.rowid == seq))
    mine = and_(former_keys.c.memory_seq == seq, former_keys.c.keyed == keyed)
    columns = [former_keys.c[column.name] for column in vectors.c]
    names = [column.name for column in vectors.c]
    connection.execute(insert(vectors).from_select(names, select(*columns).where(mine)))
    terms = connection.execute(select(former_keys.c.terms).where(mine).limit(1)).scalar_one()
    connection.execute(insert(lexical), [{"rowid": seq, "cube": cube, "terms": terms}])
    connection.execute(delete(former_keys).where(mine))


def write(connection: Connection, made: Iterable[tuple[Unkept, Keys]]) -> None:
    """Keep these keys, of versions that are still there."""
    for each, keys in made:
        there = select(versions.c.version).where(
            versions.c.memory_seq == each.seq, versions.c.keyed == each.keyed
        )
        if connection.execute(there.limit(1)).scalar() is None:
            continue  # erased meanwhile
        row = {
            "memory_seq": each.seq,
            "keyed": each.keyed,
            "model": keys.model,
            "key_count": len(keys.vectors),
            "data": keys.packed(),
            "terms": keys.terms,
        }
        lacking_yet = dialect_of(connection).insert(former_keys).values(row)
        connection.execute(lacking_yet.on_conflict_do_nothing())


def lacking(view: View, cube: CubeHeader, model: str, seqs: Sequence[int], *, limit: int) -> list[Unkept]:
    """Return up to `limit` of the keys by `model` that these memories had then and nobody kept."""
    table = scope.shown(cube)
    found: list[Unkept] = []
    for part in parts(seqs):
        query = select(table).where(table.c.seq.in_(part), table.c.keyed != table.c.now_keyed)
        query = query.where(~_kept(table.c.seq, table.c.keyed, model)).limit(limit - len(found))
        found += [_unkept(row) for row in view.connection.execute(query, view.moment)]
        if len(found) >= limit:
            break
    return found


def unkept_version(connection: Connection, row: Any, then: Any, model: str) -> Unkept | None:
    """Return the keys by `model` of a version of a memory's, if nobody has them."""
    if then.keyed == number(connection, row.seq, row.version):
        return None
    if connection.execute(select(_kept(row.seq, then.keyed, model))).scalar():
        return None
    return _unkept(then)


def lacking_anywhere(connection: Connection, model: str, *, limit: int) -> list[Unkept]:
    """Return up to `limit` of the keys by `model` that earlier versions of any memory lack."""
    present = versions.alias("present")
    query = (
        select(versions)
        .join(memories, memories.c.seq == versions.c.memory_seq)
        .join(present, and_(present.c.memory_seq == memories.c.seq, present.c.version == memories.c.version))
        .where(versions.c.keyed == versions.c.version, versions.c.keyed != present.c.keyed)
        .where(~_kept(versions.c.memory_seq, versions.c.keyed, model))
        .limit(limit)
    )
    return [_unkept(row) for row in connection.execute(query)]


def forget_others(connection: Connection, model: str) -> None:
    """Delete what other embedders made."""
    connection.execute(delete(former_keys).where(former_keys.c.model != model))


def _kept(seq: Any, keyed: Any, model: str) -> Any:
    return exists().where(
        former_keys.c.memory_seq == seq, former_keys.c.keyed == keyed, former_keys.c.model == model
    )


def _unkept(row: Any) -> Unkept:
    draft = Draft(text=row.text, digest="", kind=row.kind, speaker=row.speaker, event_at=row.event_at)
    return Unkept(row._mapping.get("seq", row._mapping.get("memory_seq")), row.keyed, draft)


# --- keys of what a cube shows -------------------------------------------------------------------


def key_rows(
    view: View, cube: CubeHeader, model: str, seqs: Sequence[int] | None = None, *, gists: bool = False
) -> Iterator[KeyRow]:
    """Yield the keys of what a cube shows (or of these), by seq: also of a fork or a past state.

    Those of gists only where they are asked for: they repeat what the others say, and would weigh it twice.
    Conversations of several cubes that are read as one stay apart, whatever they are called.
    """
    if cube.is_plain:
        yield from keyring.key_rows(view.connection, cube, model, seqs, gists=gists)
        return
    base = _keys_shown(cube, model, gists=gists)
    queries = [base] if seqs is None else [base.where(base.selected_columns.seq.in_(p)) for p in parts(seqs)]
    several, seen = bool(cube.beside), set[int]()
    for query in queries:
        for *given, home in view.connection.execute(query, view.moment):
            row = KeyRow._make(given)
            if row.seq not in seen:  # a fork and its base may show the same row
                seen.add(row.seq)
                yield row._replace(session=f"{home} {row.session or ''}") if several else row


def _keys_shown(cube: CubeHeader, model: str, *, gists: bool) -> Select[Any]:
    table, own = scope.shown(cube), former_keys
    other = table.c.keyed != table.c.now_keyed
    then = and_(own.c.memory_seq == table.c.seq, own.c.keyed == table.c.keyed, own.c.model == model, other)
    return (
        select(
            table.c.seq,
            table.c.version,
            table.c.text,
            func.coalesce(own.c.terms, lexical.c.terms),
            func.coalesce(own.c.data, vectors.c.data),
            func.coalesce(own.c.key_count, vectors.c.key_count),
            table.c.session,
            table.c.position,
            table.c.speaker,
            table.c.event_at,
            table.c.home,
        )
        .join(vectors, and_(vectors.c.memory_seq == table.c.seq, vectors.c.model == model))
        .join(lexical, lexical.c.rowid == table.c.seq)
        .join(own, then, isouter=True)
        .where(table.c.state.not_in(OUT_OF_SIGHT), or_(~other, own.c.memory_seq.is_not(None)))
        .where(true() if gists else table.c.kind != GIST)
        .order_by(table.c.seq)
    )


def key_count(view: View, cube: CubeHeader, model: str) -> int:
    """Return how many keys the memories have that a cube shows, nearly where it shows the past."""
    if cube.is_plain:
        return keyring.key_count(view.connection, cube, model)
    query = (
        select(func.coalesce(func.sum(vectors.c.key_count), 0))
        .join(memories, memories.c.seq == vectors.c.memory_seq)
        .where(vectors.c.model == model)
    )
    return int(view.ask(cube, query).scalar_one())


def beside(view: View, cube: CubeHeader, seqs: Sequence[int], *, reach: int) -> list[int]:
    """Return the turns up to `reach` places before or after these in their sessions, themselves too."""
    if cube.is_plain:
        return keyring.beside(view.connection, cube, seqs, reach=reach)
    these, near = scope.shown(cube), scope.shown(cube).alias("near")
    found: set[int] = set(seqs)
    for part in parts(seqs):
        rows = view.connection.execute(
            select(near.c.seq)
            .join(
                these,
                and_(
                    these.c.home == near.c.home,
                    these.c.session.is_not_distinct_from(near.c.session),
                    near.c.position.between(these.c.position - reach, these.c.position + reach),
                ),
            )
            .where(these.c.seq.in_(part)),
            view.moment,
        )
        found.update(rows.scalars())
    return sorted(found)
