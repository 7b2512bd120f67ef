"""The catalog's tables. Rows are the truth; everything else in the store can be made anew from them.

`memories` holds the present version, `versions` every version; `standings` and `former_keys` keep in
which state a memory was and what it was found by. `twins` are a fork's copies. `vectors` (per embedder) and
`lexical` (full text, made by a migration as the database needs it) are derived from the text, and commit
with it here. `artifacts` are files made from memories; `lineage` says from which, in which version.
Durable work is in `schema_jobs`, the meter in `schema_meters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    column,
    table,
)

from memos_core.memory import State

T = TypeVar("T")

OUT_OF_SIGHT = (State.ARCHIVED.value, State.EXPIRED.value)
"""States of memories that no reader sees and no index holds."""

_MAX_PARAMETERS = 500  # ids in one IN (...); SQLite's own limit is 32,766
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored as microseconds since 1970 UTC: exact, sortable, free of time zones."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else moment(value)


def microseconds(at: datetime) -> int:
    """Return microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return the UTC datetime of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in slices that fit one statement."""
    for start in range(0, len(items), _MAX_PARAMETERS):
        yield items[start : start + _MAX_PARAMETERS]


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER PRIMARY KEY

store = Table(
    "store",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

cubes = Table(
    "cubes",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("name", String, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ttl", BigInteger),  # microseconds that each memory may be known; NULL is no limit, as below
    Column("max_memories", BigInteger),
    Column("max_bytes", BigInteger),
    Column("base_cube", String, index=True),  # what a fork was made from; NULL for every other cube
    Column("base_upto", BigInteger),  # the last memory's seq that it shares
    Column("base_principal", String),  # who forked, and with which rights: what they saw is what is shared
    Column("base_rights", String),
    Column("purposes", JSON),  # a list; NULL is every purpose, and none
    UniqueConstraint("owner", "name"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("owner", "name"),
)

members = Table(
    "members",
    metadata,
    Column("group_id", ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("member", String, primary_key=True, index=True),
)

grants = Table(
    "grants",
    metadata,
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String, primary_key=True),  # "principal" or "group"
    Column("grantee", String, primary_key=True, index=True),  # a name, or a group's id
    Column("right", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("at", UtcTime, nullable=False),
)

memories = Table(
    "memories",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("digest", String, nullable=False),  # of the statement: equal digests are one memory
    Column("state", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("origin", String, nullable=False),
    Column("made_by", String, nullable=False, server_default="statement"),  # SQLite wants a default for it
    Column("speaker", String),
    Column("role", String),
    Column("session", String),
    Column("position", Integer),
    Column("event_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("owner", String, nullable=False),
    Column("visibility", String, nullable=False),
    Column("expires_at", UtcTime),
    Column("sensitivity", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("trust", String, nullable=False, server_default="trusted"),
    Column("hits", Integer, nullable=False),
    Column("last_used", UtcTime),
    Column("usefulness", Float, nullable=False),
    Column("imported_from", String),  # the digest of the manifest of the file that it came in
    Index(None, "cube_id", "session", "position"),
    Index(None, "cube_id", "digest"),
    sqlite_autoincrement=True,  # a sequence number is never given twice, not even after an erasure
)

imports = Table(
    "imports",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", String, nullable=False),  # of the manifest
    Column("name", String, nullable=False),  # of the cube in the file, and its owner there
    Column("owner", String, nullable=False),
    Column("signer", String),
    Column("place", String),  # the store that it was fetched from
    Column("version", BigInteger),  # of the publication
    Column("by", String, nullable=False),
    Column("at", UtcTime, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("event_at", UtcTime),
    Column("written_at", UtcTime, nullable=False),
    Column("written_by", String, nullable=False),
    # SQLite adds no such column without a default.
    Column("change", BigInteger, nullable=False, server_default="0"),  # the cube's, that wrote it
    Column("keyed", Integer, nullable=False, server_default="0"),  # the version whose keys are its own
    Column("speaker", String),
    Column("role", String),
)

former_keys = Table(
    "former_keys",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("keyed", Integer, primary_key=True),
    Column("model", String, primary_key=True),
    Column("key_count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # as in `vectors`
    Column("terms", Text, nullable=False),  # as in `lexical`
)

standings = Table(
    "standings",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("until", BigInteger, primary_key=True),  # the cube's change that moved it on
    Column("state", String, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String, primary_key=True),
    Column("change", BigInteger, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("by", String, nullable=False),
)

twins = Table(
    "twins",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("fork_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False),
    Column("base_seq", ForeignKey("memories.seq", ondelete="CASCADE"), nullable=False, index=True),
    Column("copy_seq", ForeignKey("memories.seq", ondelete="SET NULL"), index=True),  # NULL: it has none
    Column("first_seq", BigInteger, nullable=False),  # that of the first of its kind: its place in a list
    Column("hidden", Boolean, nullable=False),  # whoever forked never saw it
    Column("base_version", Integer, nullable=False),  # at which the two last agreed
    Column("copy_version", Integer, nullable=False),
    Column("by_copy", Boolean, nullable=False),  # whose version that is
    Column("state", String, nullable=False),
    UniqueConstraint("fork_id", "base_seq"),
)

tags = Table(
    "tags",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("tag", String, primary_key=True),
    Index(None, "tag"),
)

sources = Table(
    "sources",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False),
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("speaker", String),
    Column("role", String),
    Column("session", String),
    Column("position", Integer),
    Column("event_at", UtcTime),
    Column("message_id", String),
    Column("recorded_at", UtcTime, nullable=False),
    Index(None, "cube_id", "digest"),
)

records = Table(
    "records",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False),
    Column("key", String, nullable=False),
    Column("data", Text, nullable=False),  # a JSON object
    # For a record with a memory, that memory's count. SQLite adds no such column without a default.
    Column("owner", String, nullable=False, server_default="memos"),
    Column("visibility", String, nullable=False, server_default="private"),
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), index=True),  # what it is found by
    Column("ttl", BigInteger),  # microseconds after the last renewal
    Column("expires_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("cube_id", "key"),
    Index(None, "cube_id", "updated_at"),
)

edges = Table(
    "edges",
    metadata,
    Column("source", ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True),
    Column("relation", String, primary_key=True),
    Column("target", ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("change", BigInteger, primary_key=True),  # the cube's, that wrote it
    Column("cube_id", String, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ended", BigInteger),  # the cube's change that took it back
    # Where the target rests because it was merged into the source: the state it had. NULL everywhere else.
    Column("put_away", String),
    Column("brought_back", BigInteger),  # the cube's change that moved that target on; NULL: it stands behind
)

vectors = Table(
    "vectors",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("model", String, primary_key=True),
    Column("key_count", Integer, nullable=False),  # how many keys it has
    Column("data", LargeBinary, nullable=False),  # float16, keys x dimensions, row by row
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False, unique=True),  # determined by everything that it depends on
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String, nullable=False),  # which tier: "kv"
    Column("engine", String, nullable=False),  # digest of the identity that made it
    Column("blob", String, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("facts", JSON, nullable=False),  # what else its tier wants to know
    Column("build_seconds", Float, nullable=False),
    Column("saved_seconds", Float, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("last_used", UtcTime),
    Column("pinned", Boolean, nullable=False),
    Column("stale", String),  # why it must not be served any more; None where it may be
)

lineage = Table(
    "lineage",
    metadata,
    Column("artifact_seq", ForeignKey("artifacts.seq", ondelete="CASCADE"), primary_key=True),
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True, index=True),
    Column("version", Integer, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("principal", String, nullable=False),
    Column("cube_id", String, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("verb", String, nullable=False),
    Column("memory_id", String),
    Column("memory_seq", BigInteger),
    Column("version", Integer),
    Column("detail", String),  # a word of ours: which step was taken, which right was given to whom
    Column("purpose", String),  # what the principal said it acted for
    Column("hash", String),  # of this line and the one before; the revision that added it filled it in
    Index(None, "cube_id", "change"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String, primary_key=True),
    Column("by", String, nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("facts", JSON, nullable=False),  # the receipt: counts and ids, and no word
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("memory_id", String, nullable=False, index=True),
    Column("cube_id", String, nullable=False, index=True),
    Column("lease_by", String),
    Column("lease_until", UtcTime),
    Column("attempts", Integer, nullable=False),
    sqlite_autoincrement=True,
)

lexical = table("lexical", column("rowid", BigInteger), column("cube", String), column("terms", Text))
"""The full-text table: `rowid` is the memory's `seq`, `cube` its cube's key, `terms` its analysed words."""
