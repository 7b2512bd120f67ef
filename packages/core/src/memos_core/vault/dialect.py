"""What the two databases do in ways of their own, behind one seam: `sqlite` and `postgres` are its two sides.

Everything else in the vault is said in SQLAlchemy's words and means the same on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, FunctionElement, Integer, String, Table
from sqlalchemy.dialects import postgresql as _postgresql
from sqlalchemy.dialects import sqlite as _sqlite

READ_ONLY = "memos_read_only"
"""The execution option of connections that only read: they take no lock."""
BESIDE = "memos_beside"
"""The execution option of connections that write beside whoever writes, on a server: they take no lock."""

Upsert = _sqlite.Insert | _postgresql.Insert


class byte_length(FunctionElement[int]):  # noqa: N801 - it reads as a function does
    """The bytes of a text in UTF-8."""

    name, type, inherit_cache = "byte_length", Integer(), True


class listed(FunctionElement[str]):  # noqa: N801 - it reads as a function does
    """The strings of a JSON list, as rows with one column, `value`."""

    name, type, inherit_cache = "listed", String(), True


class Cell(NamedTuple):
    """A text that a table holds."""

    table: str
    text: str


class Dialect(Protocol):
    """One database's ways. Its two implementations are modules."""

    NAME: str
    UNSEEN: str
    """What of the erased may lie where a check cannot look, for people to read; "" if nothing."""
    reading: Mapping[str, Any]
    """The execution options of a connection that reads one snapshot."""

    def open_engine(self, where: Any, /) -> Engine:
        """Return an engine: a transaction that writes is the only one, readers wait for nobody."""
        ...

    def translated(self) -> AbstractContextManager[None]:
        """Map what the database raises to our errors, with the remedy."""
        ...

    def settle_in(self, engine: Engine, /) -> None:
        """Set what the database remembers about itself; the schema is there."""
        ...

    def insert(self, table: Table, /) -> Upsert:
        """Return an INSERT that can be told what to do about a conflict."""
        ...

    def reserve_seqs(self, connection: Connection, count: int, /) -> int:
        """Take the next `count` sequence numbers of memories; return the first. None is given twice."""
        ...

    def last_seq(self, connection: Connection, /) -> int:
        """Return the sequence number that was given last, 0 before the first."""
        ...

    def now(self, connection: Connection, clock: Callable[[], datetime], /) -> datetime:
        """Return the moment by the one clock that every process of the store goes by."""
        ...

    def matches(
        self, connection: Connection, cubes: Sequence[str], terms: Sequence[str], /, *, limit: int
    ) -> list[tuple[int, float]]:
        """Return (seq, BM25 score, higher is better) of the memories of these cubes that share terms."""
        ...

    def compact(self, engine: Engine, /) -> bool:
        """Take what was erased out of the full text and the log; return whether nothing was in the way."""
        ...

    def rewrite(self, engine: Engine, /) -> None:
        """Write everything anew, so that no page holds more than what is there now."""
        ...

    def check(self, connection: Connection, /) -> str:
        """Return "ok", or what is wrong with the database."""
        ...

    def size(self, connection: Connection, /) -> int:
        """Return the bytes that the catalog takes."""
        ...

    def cells(self, connection: Connection, /) -> Iterator[Cell]:
        """Yield every text of every table, where the bytes themselves are out of reach; else nothing."""
        ...

    # --- for the schema's revisions ---

    def full_text(self) -> Sequence[str]:
        """Return the statements that make the table `lexical`, and what finds by it."""
        ...

    def append_only(self, table: str, complaint: str, /) -> Sequence[str]:
        """Return the statements that make a table refuse to change or delete a row."""
        ...

    def makes_way(self, name: str, table: str, /) -> Sequence[str]:
        """Return the statements that free the name of a renamed table's key for its successor's."""
        ...

    def order_by_codepoint(self, connection: Connection, /) -> None:
        """Let texts sort and compare by their characters' numbers, whatever the database's language."""
        ...
