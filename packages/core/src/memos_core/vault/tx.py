"""The write verbs of a catalog. Everything between begin and commit is one change, or none."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, literal, select, update

from memos_core.cube import Access, CubeHeader, Principal, Right
from memos_core.erasure import Erasure
from memos_core.errors import Conflict, InvalidInput
from memos_core.governance import cube_key
from memos_core.job import Order
from memos_core.lifecycle import check_writable
from memos_core.memory import EXTRACTED, STATED, STATEMENT, Link, Relation, State
from memos_core.vault import artifacts, chain, forks, former, jobs, tx_erase, tx_share, tx_trust, values
from memos_core.vault.draft import Draft, Keys
from memos_core.vault.engine import dialect_of
from memos_core.vault.keyring import Unkeyed
from memos_core.vault.schema import (
    cubes,
    edges,
    lexical,
    memories,
    outbox,
    sources,
    store,
    tags,
    vectors,
    versions,
)
from memos_core.vault.settings import EMBEDDER, STORE_ID, EmbedderRecord
from memos_core.vault.tx_erase import Tally
from memos_core.vault.view import View

DIRECTED: Final = {
    Relation.SUPERSEDES: "a circle of successors has no newest",
    Relation.DERIVED_FROM: "nothing is derived from itself",
}
"""Relations that may not go in a circle, and why."""


class Tx(View):
    """One writing transaction by one principal."""

    def __init__(
        self,
        connection: Connection,
        *,
        principal: Principal,
        now: datetime,
        noticed: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(connection, now=now, noticed=noticed)
        self.principal = principal
        self.replaced: list[tuple[int, bool]] = []  # seqs of what was corrected, each with: used before?

    # --- cubes -------------------------------------------------------------------------------

    def create_cube(self, name: str) -> CubeHeader:
        """Write a new cube, owned by the principal."""
        cube = CubeHeader(
            id=uuid.uuid4().hex, name=name, owner=self.principal.name, created_at=self.now, change=0
        )
        self.connection.execute(
            insert(cubes).values(
                id=cube.id, name=cube.name, owner=cube.owner, change=cube.change, created_at=cube.created_at
            )
        )
        self._note(cube, "create")
        return replace(cube, access=Access(principal=cube.owner, rights=frozenset(Right)))

    def open(self, cube_id: str, right: Right = Right.WRITE) -> CubeHeader:
        """Enter a cube for a change, which needs this right, and count it."""
        return self.counted(self.enter(cube_id, self.principal, right))

    def counted(self, cube: CubeHeader) -> CubeHeader:
        """Count one change of a cube that was entered."""
        self.connection.execute(update(cubes).where(cubes.c.id == cube.id).values(change=cubes.c.change + 1))
        return replace(cube, change=cube.change + 1)  # nobody else writes until this commits

    # --- memories ----------------------------------------------------------------------------

    def add(self, cube: CubeHeader, drafts: Sequence[tuple[Draft, Keys]]) -> list[int]:
        """Write new memories, each with its version, source, keys, audit line and debt; return seqs."""
        if not drafts:
            return []
        drafts = [(tx_share.allowed(self, cube, draft), keys) for draft, keys in drafts]
        positions = self._positions(cube, [draft for draft, _ in drafts])
        rows = [
            values.of_memory(cube, draft, position=position, owner=self.principal, now=self.now)
            for (draft, _), position in zip(drafts, positions, strict=True)
        ]
        first = self.reserve_seqs(len(rows))
        seqs = list(range(first, first + len(rows)))
        for seq, row in zip(seqs, rows, strict=True):
            row["seq"] = seq
        self.connection.execute(insert(memories), rows)
        self.connection.execute(insert(versions), [self._version(cube, row, keyed=1) for row in rows])
        self.connection.execute(
            insert(sources),
            [self._source(cube, row, draft) for row, (draft, _) in zip(rows, drafts, strict=True)],
        )
        self._write_tags(rows)
        self._write_keys(cube, {seq: keys for seq, (_, keys) in zip(seqs, drafts, strict=True)})
        self._owe(cube, [(row["id"], row["seq"], 1) for row in rows], verb="remember")
        tx_share.check_quota(self, cube)
        return seqs

    def add_source(self, cube: CubeHeader, memory_id: str, draft: Draft) -> None:
        """Write one more source of a known memory; what somebody states is stated from then on."""
        row = forks.own(self, cube, self.memory_row(cube, memory_id))
        self.connection.execute(
            insert(sources).values(self._source(cube, {"seq": row.seq, "position": row.position}, draft))
        )
        if (row.origin, draft.origin) == (EXTRACTED, STATED):
            told = {"origin": draft.origin, "made_by": draft.made_by}
            self.connection.execute(update(memories).where(memories.c.seq == row.seq).values(told))
        self._note(cube, "restate", memory_id=row.id, seq=row.seq, version=row.version)

    def revise(
        self,
        cube: CubeHeader,
        memory_id: str,
        *,
        changes: Mapping[str, Any],
        keys: Keys | None,
        expected: int | None = None,
    ) -> int:
        """Write the next version of a memory with `changes` to its columns; return its seq.

        `keys` replaces what it is found by, None keeps it. What was extracted is stated once it is put in
        other words. Raises Conflict where `expected` is not the present version, IllegalTransition for a
        frozen memory.
        """
        row = self.memory_row(cube, memory_id)
        if expected is not None and row.version != expected:
            raise Conflict(memory_id, expected=expected, found=row.version)
        check_writable(memory_id, State(row.state), verb="revise")
        if "text" in changes:
            self.replaced.append((row.seq, bool(row.hits)))
            if row.origin == EXTRACTED:
                changes = {**changes, "origin": STATED, "made_by": STATEMENT}
        row = forks.own(self, cube, row)
        keyed = former.number(self.connection, row.seq, row.version)
        if keys is not None:
            former.keep(self.connection, row.seq, keyed=keyed)
            self._erase_keys(row.seq)
            self._write_keys(cube, {row.seq: keys})
            keyed = row.version + 1
        self.write_version(cube, row, changes, keyed=keyed, verb="revise")
        tx_share.check_quota(self, cube)
        return int(row.seq)

    def write_version(
        self, cube: CubeHeader, row: Row[Any], changes: Mapping[str, Any], *, keyed: int, verb: str
    ) -> None:
        """Write the next version of a row of the cube's own; `keyed` is the number of its keys."""
        new = {**row._mapping, **changes, "version": row.version + 1, "updated_at": self.now}
        self.connection.execute(update(memories).where(memories.c.seq == row.seq).values(new))
        self.connection.execute(insert(versions).values(self._version(cube, new, keyed=keyed)))
        if "tags" in changes:
            self.connection.execute(delete(tags).where(tags.c.memory_seq == row.seq))
            self._write_tags([new])
        artifacts.outdate(self.connection, [row.seq], reason="revised", now=self.now)
        self._owe(cube, [(row.id, row.seq, new["version"])], verb=verb)

    def erase(
        self, cube: CubeHeader, memory_id: str, *, expected: int | None = None, extracted: bool = False
    ) -> Erasure:
        """Delete every row of a memory but the audit lines, which name its id only.

        What is archived or expired can be erased too. Raises Conflict where `expected` is not the present
        version, IllegalTransition for a frozen memory.
        """
        row = self.any_row(cube, memory_id)
        if expected is not None and row.version != expected:
            raise Conflict(memory_id, expected=expected, found=row.version)
        return tx_erase.erase_memory(self, cube, row, extracted=extracted)

    def erase_row(self, cube: CubeHeader, row: Row[Any], tally: Tally | None = None) -> None:
        """Delete a memory by its row, as `erase` does; what was erased is added to the tally."""
        check_writable(row.id, State(row.state), verb="forget")
        tx_erase.erase_rows(self, cube, [row], tally or Tally())

    def erase_words(self, rows: Sequence[Row[Any]], *, reason: str) -> Counter[str]:
        """Delete what memories say and every trace of it but their own rows; count the rows by place."""
        return tx_erase.erase_words(self, rows, reason=reason)

    def link(self, cube: CubeHeader, source: str, relation: Relation, target: str) -> Link:
        """Write an edge between two memories of the cube; an edge that exists is returned as it is."""
        start, end = self.memory_row(cube, source), self.memory_row(cube, target)
        check_writable(source, State(start.state), verb="link")
        for known in self.links_of(cube, [start.id]).get(start.id, ()):
            if (known.relation, known.target) == (relation, end.id):
                return known
        if start.id == end.id:
            raise InvalidInput("a memory cannot be linked to itself")
        if relation in DIRECTED and start.id in self.reached(cube, end.id, relation):
            raise InvalidInput(
                f"{target!r} {relation} {source!r} already, if over others: {DIRECTED[relation]}"
            )
        start = forks.own(self, cube, start)
        if relation is Relation.SUPERSEDES:
            self.replaced.append((end.seq, bool(end.hits)))
        link = Link(source=start.id, relation=relation, target=end.id, created_at=self.now)
        self.write_edge(cube, start.id, relation.value, end.id)
        self._note(cube, "link", memory_id=start.id, seq=start.seq, version=start.version)
        if relation is Relation.DERIVED_FROM:
            tx_trust.bound(self, cube, start, end)
        return link

    def write_edge(
        self, cube: CubeHeader, source: str, relation: str, target: str, *, put_away: str | None = None
    ) -> None:
        """Write an edge that the cube does not have; what was made from what it replaces is stale."""
        row = {"source": source, "relation": relation, "target": target, "created_at": self.now}
        row |= {"cube_id": cube.id, "change": cube.change, "put_away": put_away}
        self.connection.execute(insert(edges).values(row))
        if relation == Relation.SUPERSEDES.value:
            old = select(memories.c.seq).where(memories.c.id == target)
            for seq in self.connection.execute(old).scalars().all():
                artifacts.outdate_in(self.connection, cube, seq, reason="superseded", now=self.now)

    def enqueue(self, order: Order) -> str:
        """Write a job that this change causes, or fold it into one that waits; return its id."""
        return jobs.put(self.connection, order, now=self.now)

    def store_id(self) -> str:
        """Return the store's own name, 32 hexadecimal digits; the first call gives it one."""
        query = select(store.c.value).where(store.c.key == STORE_ID)
        found: str | None = self.connection.execute(query).scalar()
        if found is None:
            found = uuid.uuid4().hex
            self.connection.execute(insert(store).values(key=STORE_ID, value=found))
        return found

    def switch_embedder(self, record: EmbedderRecord) -> None:
        """Make `record` the store's embedder: drop other vectors, and owe the index every memory."""
        self.connection.execute(delete(vectors).where(vectors.c.model != record.identity))
        former.forget_others(self.connection, record.identity)
        self.connection.execute(delete(store).where(store.c.key == EMBEDDER))
        self.connection.execute(insert(store).values(key=EMBEDDER, value=record.to_json()))
        self.owe_everything()

    def owe_everything(self) -> None:
        """Owe the index every memory of every cube; deletions that are owed stay owed."""
        self.connection.execute(delete(outbox).where(outbox.c.memory_id.in_(select(memories.c.id))))
        every = select(memories.c.id, memories.c.cube_id, literal(0))
        self.connection.execute(insert(outbox).from_select(["memory_id", "cube_id", "attempts"], every))

    def add_vectors(self, made: Sequence[tuple[Unkeyed, Keys]]) -> None:
        """Write vectors by another embedder beside the present ones, of memories that are as they were."""
        present = self.connection.execute(
            select(memories.c.seq, memories.c.version).where(
                memories.c.seq.in_([each.seq for each, _ in made])
            )
        )
        version_of = {row.seq: row.version for row in present}
        self._write_vectors({each.seq: key for each, key in made if version_of.get(each.seq) == each.version})

    # --- rows --------------------------------------------------------------------------------

    def last_seq(self) -> int:
        """Return the sequence number that was given last."""
        return dialect_of(self.connection).last_seq(self.connection)

    def reserve_seqs(self, count: int) -> int:
        """Take so many sequence numbers, that were never given before; return the first."""
        return dialect_of(self.connection).reserve_seqs(self.connection, count)

    def row(self, seq: int) -> Row[Any]:
        """Return a row that is there, whosever it is."""
        return self.connection.execute(select(memories).where(memories.c.seq == seq)).one()

    def _version(self, cube: CubeHeader, row: Mapping[str, Any], *, keyed: int) -> dict[str, Any]:
        return values.of_version(row, by=self.principal, change=cube.change, keyed=keyed)

    def _positions(self, cube: CubeHeader, drafts: Sequence[Draft]) -> list[int | None]:
        """Give each turn the next free position of its session."""
        following: dict[str | None, int] = {}
        positions: list[int | None] = []
        for draft in drafts:
            if not draft.turn:
                positions.append(None)
                continue
            if draft.session not in following:
                following[draft.session] = self.free_position(cube, draft.session)
            positions.append(following[draft.session])
            following[draft.session] += 1
        return positions

    def free_position(self, cube: CubeHeader, session: str | None) -> int:
        """Return the position of the next turn of a session."""
        query = select(func.max(memories.c.position)).where(
            memories.c.cube_id == cube.id, memories.c.session.is_not_distinct_from(session)
        )
        last = self.ask(cube, query).scalar()
        return 0 if last is None else int(last) + 1

    def _write_tags(self, rows: Sequence[Mapping[str, Any]]) -> None:
        values = [{"memory_seq": row["seq"], "tag": tag} for row in rows for tag in row["tags"]]
        if values:
            self.connection.execute(insert(tags), values)

    def _write_keys(self, cube: CubeHeader, keys: Mapping[int, Keys]) -> None:
        self._write_vectors(keys)
        name = cube_key(cube.id)
        self.connection.execute(
            insert(lexical), [{"rowid": seq, "cube": name, "terms": key.terms} for seq, key in keys.items()]
        )

    def _write_vectors(self, keys: Mapping[int, Keys]) -> None:
        if not keys:
            return
        self.connection.execute(
            insert(vectors),
            [
                {"memory_seq": seq, "model": key.model, "key_count": len(key.vectors), "data": key.packed()}
                for seq, key in keys.items()
            ],
        )

    def _erase_keys(self, seq: int) -> None:
        self.connection.execute(delete(vectors).where(vectors.c.memory_seq == seq))
        self.connection.execute(delete(lexical).where(lexical.c.rowid == seq))

    def _owe(
        self,
        cube: CubeHeader,
        changed: Sequence[tuple[str, int, int]],
        *,
        verb: str,
        detail: str | None = None,
    ) -> None:
        """Write the audit line and the debt to the index for each (id, seq, version)."""
        if not changed:
            return
        chain.append(
            self.connection,
            [
                self._line(cube, verb, memory_id=memory_id, seq=seq, version=version, detail=detail)
                for memory_id, seq, version in changed
            ],
        )
        self.connection.execute(
            insert(outbox),
            [{"memory_id": memory_id, "cube_id": cube.id, "attempts": 0} for memory_id, _, _ in changed],
        )

    def note(self, cube: CubeHeader, verb: str, *, detail: str | None = None) -> None:
        """Write an audit line about a cube that was entered."""
        self._note(cube, verb, detail=detail)

    def _note(self, cube: CubeHeader, verb: str, **of: Any) -> None:
        chain.append(self.connection, [self._line(cube, verb, **of)])

    def _line(self, cube: CubeHeader, verb: str, **of: Any) -> dict[str, Any]:
        return values.of_audit(cube, verb, by=self.principal, now=self.now, **of)

    def _source(self, cube: CubeHeader, row: Mapping[str, Any], draft: Draft) -> dict[str, Any]:
        return values.of_source(cube, row, draft, by=self.principal, now=self.now)
