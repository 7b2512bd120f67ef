"""The tables of the meter: how warm memories and cubes are, what the tiers cost here and what was trained."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, String, Table

from memos_core.vault.schema import Key, UtcTime, metadata

memory_meters = Table(
    "memory_meters",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("heat", Float, nullable=False),  # a decayed count of uses, as of `heated_at`
    Column("heated_at", UtcTime, nullable=False),
    Column("answered", Integer, nullable=False),  # times that an answer said what it says
    Column("corrected", Integer, nullable=False),  # times it was revised or superseded after a use
)

cube_meters = Table(
    "cube_meters",
    metadata,
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), primary_key=True),
    Column("asks", BigInteger, nullable=False),  # ever
    Column("heat", Float, nullable=False),  # the same, decayed
    Column("heated_at", UtcTime, nullable=False),
    Column("churn", Float, nullable=False),  # a decayed count of changes, as of `churned_at`
    Column("churned_at", UtcTime, nullable=False),
    Column("change", BigInteger, nullable=False),  # the cube's, up to which they are counted
)

costs = Table(
    "costs",
    metadata,
    Column("machine", String, primary_key=True),  # a digest of what a machine is made of
    Column("tier", String, primary_key=True),
    Column("model", String, primary_key=True),  # the engine's or the embedder's identity
    Column("unit", String, nullable=False),  # "token" or "memory"
    Column("write", Float, nullable=False),  # seconds a unit, as is `read`
    Column("read", Float, nullable=False),
    Column("size", Float, nullable=False),  # bytes a unit
    Column("samples", Float, nullable=False),  # units that were measured
    Column("at", UtcTime, nullable=False),
)

trainings = Table(
    "trainings",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),  # when it ended; after a day the row goes
    Column("seconds", Float, nullable=False),
)
