"""The tables of durable work: jobs, what they are about, when they come again, and what a model has read.

A job has no word of a memory in it. `job_memories` lets erasure find the jobs that are about a memory.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from memos_core.vault.schema import Key, UtcTime, metadata

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE")),  # NULL: about the whole store
    Column("key", String),
    Column("lane", String, nullable=False),  # kind and cube: of each lane one runs
    Column("waiting", String, unique=True),  # while it waits: `jobs.waiting_as`; of these there is one
    Column("front", String, unique=True),  # its lane, if it runs, or is the next of a lane in which none does
    Column("lead", Boolean, nullable=False),  # it is the next of its lane, and nothing of it runs
    Column("payload", JSON, nullable=False),
    Column("rank", Integer, nullable=False),  # less is sooner: the priority's negative
    Column("turn", BigInteger, nullable=False),  # a cube's share: see vault/jobs.py
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("timeout", BigInteger, nullable=False),  # microseconds of one attempt
    Column("run_at", UtcTime, nullable=False),
    Column("by", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("worker", String),
    Column("lease", String),
    Column("lease_until", UtcTime),
    Column("progress_done", BigInteger),
    Column("progress_of", BigInteger),
    Column("error", Text),
    Column("trace", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Index(None, "lead", "rank", "turn"),  # who is next
    Index(None, "lane", "state", "rank", "turn"),  # who is next of a lane
    Index(None, "cube_id", "state", "rank", "turn"),  # the last turn that a cube has
    Index(None, "state", "run_at"),  # what is due
)

job_memories = Table(
    "job_memories",
    metadata,
    Column("job_seq", ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True, index=True),
    Column("version", Integer, nullable=False),
)

extractions = Table(
    "extractions",
    metadata,
    Column("memory_seq", ForeignKey("memories.seq", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("extractor", String, primary_key=True),
    Column("at", UtcTime, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("scope", String, primary_key=True),  # the cube's id, or "*" for the store
    Column("name", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("cron", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("cube_id", ForeignKey("cubes.id", ondelete="CASCADE"), index=True),
    Column("payload", JSON, nullable=False),
    Column("next_at", UtcTime, nullable=False, index=True),
    Column("written_at", UtcTime, nullable=False),
)
