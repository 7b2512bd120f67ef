"""Durable work, what it is about, when it comes again, and what a model has read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add jobs and schedules, and the list of what was extracted."""
    _jobs()
    op.create_table(
        "job_memories",
        sa.Column("job_seq", KEY, nullable=False),
        sa.Column("memory_seq", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_seq"], ["jobs.seq"], name=op.f("fk_job_memories_job_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["memory_seq"], ["memories.seq"], name=op.f("fk_job_memories_memory_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_seq", "memory_seq", name=op.f("pk_job_memories")),
    )
    op.create_index(op.f("ix_job_memories_memory_seq"), "job_memories", ["memory_seq"])
    op.create_table(
        "extractions",
        sa.Column("memory_seq", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("extractor", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_seq"], ["memories.seq"], name=op.f("fk_extractions_memory_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_seq", "version", "extractor", name=op.f("pk_extractions")),
    )
    op.create_table(
        "schedules",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cube_id", sa.String(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_schedules_cube_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_schedules")),
    )
    for column in ("cube_id", "next_at"):
        op.create_index(op.f(f"ix_schedules_{column}"), "schedules", [column])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cube_id", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("waiting", sa.String(), nullable=True),
        sa.Column("front", sa.String(), nullable=True),
        sa.Column("lead", sa.Boolean(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("progress_done", sa.BigInteger(), nullable=True),
        sa.Column("progress_of", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["cube_id"], ["cubes.id"], name=op.f("fk_jobs_cube_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_jobs")),
        *(sa.UniqueConstraint(name, name=op.f(f"uq_jobs_{name}")) for name in ("id", "waiting", "front")),
    )
    for columns in (
        ["lead", "rank", "turn"],
        ["lane", "state", "rank", "turn"],
        ["cube_id", "state", "rank", "turn"],
        ["state", "run_at"],
    ):
        op.create_index(op.f(f"ix_jobs_{'_'.join(columns)}"), "jobs", columns)
