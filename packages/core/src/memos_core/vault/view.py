"""The read verbs of a catalog, over one snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Result, Row, Select, func, select

from memos_core import governance
from memos_core.cube import Access, Base, CubeHeader, Principal, Right
from memos_core.errors import InvalidInput, NotFound
from memos_core.memory import Link, Memory, Relation, Revision, Source, State, Trust
from memos_core.query import Where
from memos_core.vault import schema, scope, statements
from memos_core.vault.engine import dialect_of
from memos_core.vault.rows import to_cube, to_link, to_memory, to_revision, to_source
from memos_core.vault.schema import (
    cubes,
    memories,
    parts,
    sources,
    twins,
    versions,
)
from memos_core.vault.seqs import Seqs
from memos_core.vault.settings import EMBEDDER, EmbedderRecord

LAST_CHARACTER = "\U0010ffff"
"""What no name goes beyond: names that start so lie between `start` and `start + LAST_CHARACTER`."""


class Known(NamedTuple):
    """A message that was written before: its memory, and the text as it was said then."""

    seq: int
    memory_id: str
    text: str
    trust: str


class View:
    """A consistent picture of the catalog. What the principal may not see does not exist in it."""

    def __init__(
        self, connection: Connection, *, now: datetime, noticed: Callable[[str], None] | None = None
    ) -> None:
        self.connection = connection
        self.now = now
        self._noticed = noticed

    @property
    def moment(self) -> dict[str, object]:
        """What statements ask for that look at forks or at past states."""
        return {"now": self.now}

    # --- cubes -------------------------------------------------------------------------------

    def find_cube(self, owner: str, name: str) -> CubeHeader | None:
        row = self._named(owner, name)
        return to_cube(row) if row else None

    def _named(self, owner: str, name: str) -> Row[Any] | None:
        wanted = {"owner": owner, "name": name}
        return self.connection.execute(statements.CUBE_NAMED, wanted).one_or_none()

    def header(self, cube_id: str) -> CubeHeader:
        """Return a cube for the store's own purposes: nobody entered it."""
        row = self.connection.execute(statements.CUBE, {"cube": cube_id}).one_or_none()
        if row is None:
            raise NotFound("cube", cube_id)
        return replace(to_cube(row), base=self._base(row))

    def _base(self, row: Row[Any]) -> Base | None:
        """Return what a fork shares; nothing where the cube that it was made from is gone."""
        if row.base_cube is None:
            return None
        try:
            cube = self.header(row.base_cube)
        except NotFound:
            return None
        rights = frozenset(Right(word) for word in row.base_rights.split())
        access = Access(principal=row.base_principal, rights=rights)
        return Base(cube=replace(cube, access=access), upto=row.base_upto)

    def enter(self, cube_id: str, principal: Principal, right: Right) -> CubeHeader:
        """Return the cube with what the principal holds on it, if the right is among that.

        Raises NotFound for a cube of which it may see nothing, Forbidden where it may see something.
        """
        return self._entered(self.header(cube_id), principal, right)

    def enter_named(self, owner: str, name: str, principal: Principal, right: Right) -> CubeHeader | None:
        """Enter the cube that its owner calls by this name, as `enter` does; None where there is none."""
        row = self._named(owner, name)
        if row is None:
            return None
        try:
            return self._entered(replace(to_cube(row), base=self._base(row)), principal, right)
        except NotFound as exc:
            raise NotFound("cube", name) from exc

    def _entered(self, cube: CubeHeader, principal: Principal, right: Right) -> CubeHeader:
        granted = () if principal.name == cube.owner else self.granted(cube, principal)
        shows = not granted and principal.name != cube.owner and self._has_public(cube)
        held = governance.check(principal, cube, right, granted, shows_something=shows)
        return replace(cube, access=Access(principal=principal.name, rights=held))

    def granted(self, cube: CubeHeader, principal: Principal) -> list[Right]:
        """Return the rights that were granted to the principal, or to a group that it is in."""
        wanted = {"cube": cube.id, "who": principal.name}
        return [Right(word) for word in self.connection.execute(statements.GRANTED, wanted).scalars()]

    def _has_public(self, cube: CubeHeader) -> bool:
        whole = replace(cube, access=Access(rights=frozenset(Right)))
        return self.ask(whole, statements.HAS_PUBLIC, cube=cube.id, now=self.now).scalar() is not None

    def cubes_of(
        self, principal: Principal, *, prefix: str = "", holding: ColumnElement[bool] | None = None
    ) -> list[CubeHeader]:
        """Return the cubes that the principal owns or was granted a right on, oldest first.

        With a `prefix`, those whose names start so; with `holding`, those that meet the condition, which may
        ask for `now`.
        """
        wanted: dict[str, object] = {"who": principal.name, "now": self.now}
        if prefix:
            wanted |= {"start": prefix, "end": prefix + LAST_CHARACTER}
        rows = self.connection.execute(statements.cubes_of(holding, prefixed=bool(prefix)), wanted).all()
        found = [replace(to_cube(row), base=self._base(row)) for row in rows]
        return [cube for cube in found if governance.serves(cube, principal)]

    # --- memories ----------------------------------------------------------------------------

    def ask(self, cube: CubeHeader, statement: Select[Any], /, **given: object) -> Result[*tuple[Any, ...]]:
        """Run a statement over `memories` for the cube as it is looked at."""
        if not cube.is_plain:
            statement = scope.moved(statement, cube)
            given = {**self.moment, **given}
        return self.connection.execute(statement, given)

    def memory_row(self, cube: CubeHeader, memory_id: str) -> Row[Any]:
        """Return the row of a memory in sight, or raise NotFound."""
        return self._row(statements.BY_ID, cube, memory_id)

    def kept_row(self, cube: CubeHeader, memory_id: str) -> Row[Any]:
        """Return the row of a memory in sight or in the archive, or raise NotFound."""
        return self._row(statements.KEPT_BY_ID, cube, memory_id)

    def any_row(self, cube: CubeHeader, memory_id: str) -> Row[Any]:
        """Return the row of a memory whatever became of it, short of erasure, or raise NotFound."""
        return self._row(statements.ANY_BY_ID, cube, memory_id)

    def _row(self, statement: Select[Any], cube: CubeHeader, memory_id: str) -> Row[Any]:
        wanted = {**self.eyes(cube), "cube": cube.id}
        row = self.ask(cube, statement, id=memory_id, **wanted).one_or_none()
        if row is None and (copy := self._copy_of(cube, memory_id)) is not None:
            row = self.ask(cube, statement, id=copy, **wanted).one_or_none()
        if row is None:
            raise NotFound("memory", memory_id)
        return row

    def _copy_of(self, cube: CubeHeader, memory_id: str) -> str | None:
        """Return the id of a fork's own copy of a memory that it shared."""
        if cube.base is None:
            return None
        known = select(twins.c.copy_seq).join(memories, memories.c.seq == twins.c.base_seq)
        known = known.where(twins.c.fork_id == cube.id, memories.c.id == memory_id)
        query = select(memories.c.id).where(memories.c.seq.in_(known), memories.c.cube_id == cube.id)
        found: str | None = self.connection.execute(query).scalar()
        if found is None and (above := self._copy_of(cube.base.cube, memory_id)) is not None:
            return self._copy_of(cube, above) or above  # what it shared, or shares, is itself a copy
        return found

    def memory(self, cube: CubeHeader, memory_id: str) -> Memory:
        return self._values(cube, [self.memory_row(cube, memory_id)])[0]

    def any_memory(self, cube: CubeHeader, memory_id: str) -> Memory:
        """Return a memory whatever became of it, short of erasure."""
        return self._values(cube, [self.any_row(cube, memory_id)])[0]

    def eyes(self, cube: CubeHeader) -> dict[str, object]:
        """Return what the prepared statements ask about the moment and about who looks."""
        return {"now": self.now, **cube.access.binds}

    def _values(self, cube: CubeHeader, rows: Sequence[Row[Any]]) -> list[Memory]:
        """Return the memories of these rows; an edge to what may not be seen is no edge."""
        links = self.links_of(cube, [row.id for row in rows])
        if not (cube.is_plain and cube.access.whole):
            targets = list({link.target for found in links.values() for link in found})
            shown: set[str] = set()
            for part in parts(targets):
                shown.update(self.ask(cube, statements.VISIBLE_IDS, ids=part, **cube.access.binds).scalars())
            links = {each: [link for link in found if link.target in shown] for each, found in links.items()}
        return [to_memory(row, links.get(row.id, ())) for row in rows]

    def seqs_in_sight(self, cube: CubeHeader, seqs: Collection[int]) -> set[int]:
        """Return those of the memories that are in sight, by sequence number."""
        found: set[int] = set()
        for part in parts(list(seqs)):
            rows = self.ask(cube, statements.SEQS_BY_SEQ, seqs=part, **self.eyes(cube)).all()
            found.update(seq for seq, cube_id in rows if cube_id == cube.id)
        return found

    def hydrate(self, cube: CubeHeader, seqs: Iterable[int]) -> dict[int, Memory]:
        """Return those of the memories that are in sight, by sequence number."""
        return self._by_seq(cube, statements.BY_SEQ, seqs)

    def kept(self, cube: CubeHeader, seqs: Iterable[int]) -> dict[int, Memory]:
        """Return those of the memories that are in sight or in the archive, by sequence number."""
        return self._by_seq(cube, statements.KEPT_BY_SEQ, seqs)

    def _by_seq(self, cube: CubeHeader, statement: Select[Any], seqs: Iterable[int]) -> dict[int, Memory]:
        found: list[Row[Any]] = []
        for part in parts(list(seqs)):
            rows = self.ask(cube, statement, seqs=part, **self.eyes(cube)).all()
            found += [row for row in rows if row.cube_id == cube.id]
        return {row.seq: memory for row, memory in zip(found, self._values(cube, found), strict=True)}

    def listed(
        self,
        cube: CubeHeader,
        where: Where,
        *,
        limit: int | None,
        offset: int,
        state: State | None = None,
    ) -> list[Memory]:
        """Return the memories in sight (or in this state) that match, as they were first written."""
        there = statements.in_state(state, self.now)
        query = self._matching(select(memories).where(there), cube, where)
        query = query.order_by(*in_order(cube))
        return self._values(cube, self.ask(cube, query.limit(limit).offset(offset)).all())

    def settled(self, cube: CubeHeader, where: Where, *, limit: int) -> list[Memory]:
        """Return up to `limit` memories in sight that match, the longest unchanged first."""
        query = self._matching(select(memories).where(statements.in_sight(self.now)), cube, where)
        rows = self.ask(cube, query.order_by(memories.c.updated_at, memories.c.seq).limit(limit)).all()
        return [to_memory(row) for row in rows]

    def seqs_matching(self, cube: CubeHeader, where: Where) -> Seqs:
        """Return the sequence numbers of the memories in sight that match."""
        query = select(statements.JOINED_SEQS).where(statements.in_sight(self.now))
        return Seqs.read(self.ask(cube, self._matching(query, cube, where)).scalar_one())

    def _matching(self, query: Select[Any], cube: CubeHeader, where: Where) -> Select[Any]:
        wanted = statements.matching(where, plain=cube.is_plain)
        return query.where(memories.c.cube_id == cube.id, statements.visible_to(cube.access), *wanted)

    def seqs_of(self, cube: CubeHeader, ids: Sequence[str]) -> dict[str, int]:
        """Return sequence numbers by memory id, for those in this cube."""
        found: dict[str, int] = {}
        for part in parts(ids):
            rows = self.ask(cube, statements.SEQS_BY_ID, ids=part)
            found |= {memory_id: seq for memory_id, seq, cube_id in rows if cube_id == cube.id}
        return found

    def id_starting(self, cube: CubeHeader, prefix: str, *, state: State | None = None) -> str:
        """Return the one id in sight (or in this state) that starts with `prefix`."""
        query = (
            select(memories.c.id)
            .where(memories.c.cube_id == cube.id, statements.visible_to(cube.access))
            .where(statements.in_state(state, self.now))
            .where(memories.c.id.startswith(prefix, autoescape=True))
            .limit(2)
        )
        found = list(self.ask(cube, query).scalars())
        if not found:
            raise NotFound("memory", prefix)
        if len(found) > 1:
            raise InvalidInput(f"several memories start with {prefix!r}: give more of the id")
        return str(found[0])

    def history(self, cube: CubeHeader, memory_id: str) -> list[Revision]:
        """Return every version of a memory, oldest first."""
        row = self.memory_row(cube, memory_id)
        rows = self.connection.execute(
            select(versions).where(versions.c.memory_seq == row.seq).order_by(versions.c.version)
        )
        return [to_revision(each) for each in rows]

    def sources(self, cube: CubeHeader, memory_id: str) -> list[Source]:
        """Return the verbatim things a memory came from, oldest first."""
        row = self.memory_row(cube, memory_id)
        rows = self.connection.execute(
            select(sources).where(sources.c.memory_seq == row.seq).order_by(sources.c.id)
        )
        return [to_source(each, memory_id) for each in rows]

    def links_of(self, cube: CubeHeader, ids: Sequence[str]) -> dict[str, list[Link]]:
        """Return the edges that start at these memories, by memory id."""
        found: dict[str, list[Link]] = defaultdict(list)
        for part in parts(ids):
            for row in self._edges(cube, statements.EDGES, statements.ANY_EDGES, part):
                found[row.source].append(to_link(row))
        return found

    def reached(self, cube: CubeHeader, memory_id: str, relation: Relation) -> set[str]:
        """Return what a memory is linked to by this relation, and what that is linked to, and so on."""
        found: set[str] = set()
        frontier = [memory_id]
        while frontier:
            links = self.links_of(cube, [frontier.pop()])
            every = [link for each in links.values() for link in each]
            fresh = {link.target for link in every if link.relation is relation} - found
            found |= fresh
            frontier += fresh
        return found

    def successors(self, cube: CubeHeader, ids: Sequence[str]) -> list[tuple[str, str]]:
        """Return (newer, older) for every such pair among these memories that SUPERSEDES links."""
        found: list[tuple[str, str]] = []
        for part in parts(ids):
            rows = self._edges(cube, statements.SUCCESSORS, statements.ANY_SUCCESSORS, part)
            found += [(row.source, row.target) for row in rows]
        return found

    def _edges(
        self, cube: CubeHeader, plain: Select[Any], shown: Select[Any], ids: Sequence[str]
    ) -> Sequence[Row[Any]]:
        if cube.is_plain:
            return self.connection.execute(plain, {"ids": ids, "cubes": [cube.id]}).all()
        return self.connection.execute(scope.moved_edges(shown, cube), {"ids": ids}).all()

    def statement(self, cube: CubeHeader, digest: str, trust: Trust) -> str | None:
        """Return the id of the memory in sight that states this already, and is trusted as much."""
        wanted = {**self.eyes(cube), "cube": cube.id, "digest": digest, "trust": trust.value}
        found: str | None = self.ask(cube, statements.STATED, **wanted).scalar()
        return found

    def messages(self, cube: CubeHeader, digests: Sequence[str]) -> dict[str, Known]:
        """Return by digest the memories in sight that came from these messages."""
        found: dict[str, Known] = {}
        for part in parts(digests):
            wanted = {**self.eyes(cube), "cubes": cube.holders, "digests": part}
            rows = self.ask(cube, statements.SAID, **wanted)
            found |= {digest: Known(*known) for digest, *known in rows}
        return found

    def embedder_record(self) -> EmbedderRecord | None:
        """Return what made the store's vectors, or None where there are none yet."""
        found = self.connection.execute(statements.SETTING, {"key": EMBEDDER}).scalar()
        return None if found is None else EmbedderRecord.from_json(found)

    def count(self, *, cube: CubeHeader | None = None) -> int:
        """Return how many memories are in sight, of one cube or of all."""
        query = select(func.count()).select_from(memories).where(statements.in_sight(self.now))
        if cube is None:
            return int(self.connection.execute(query).scalar_one())
        query = query.where(memories.c.cube_id == cube.id, statements.visible_to(cube.access))
        return int(self.ask(cube, query).scalar_one())

    def count_indexed(self) -> int:
        """Return how many memories the index holds when nothing is owed to it."""
        query = select(func.count()).select_from(memories).where(memories.c.state.not_in(schema.OUT_OF_SIGHT))
        return int(self.connection.execute(query).scalar_one())

    def setting(self, key: str) -> str | None:
        """Return what is kept under this key about the store itself, None where nothing is."""
        found: str | None = self.connection.execute(statements.SETTING, {"key": key}).scalar()
        return found

    def is_embedded_by(self, identity: str) -> bool:
        """Return whether the store's vectors are of this embedder."""
        record = self.embedder_record()
        if record is not None and self._noticed is not None:
            self._noticed(record.identity)
        return record is not None and record.identity == identity

    def counts(self) -> dict[str, int]:
        """Return how many rows the tables have that tell the store's size."""
        tables = (cubes, memories, versions, sources, schema.outbox)
        return {
            table.name: int(self.connection.execute(select(func.count()).select_from(table)).scalar_one())
            for table in tables
        }

    def check_integrity(self) -> str:
        """Return "ok", or what the database found wrong."""
        return dialect_of(self.connection).check(self.connection)


def in_order(cube: CubeHeader) -> list[ColumnElement[int]]:
    """Return the order in which memories were first written: a fork's copy stands where its original did."""
    if cube.is_plain:
        return [memories.c.seq]
    of = select(twins.c.first_seq).where(twins.c.copy_seq == memories.c.seq).limit(1)
    return [func.coalesce(of.correlate(memories).scalar_subquery(), memories.c.seq), memories.c.seq]
