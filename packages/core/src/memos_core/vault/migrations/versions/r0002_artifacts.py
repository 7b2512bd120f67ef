"""Files that are made from memories, and from which memories they were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the two tables; nothing that was there changes."""
    op.create_table(
        "artifacts",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("build_seconds", sa.Float(), nullable=False),
        sa.Column("saved_seconds", sa.Float(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("stale", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_artifacts_cube_id_cubes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("key", name=op.f("uq_artifacts_key")),
    )
    op.create_index(op.f("ix_artifacts_cube_id"), "artifacts", ["cube_id"], unique=False)
    op.create_table(
        "lineage",
        sa.Column("artifact_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("memory_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_seq"],
            ["artifacts.seq"],
            name=op.f("fk_lineage_artifact_seq_artifacts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["memory_seq"], ["memories.seq"], name=op.f("fk_lineage_memory_seq_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_seq", "memory_seq", name=op.f("pk_lineage")),
    )
    op.create_index(op.f("ix_lineage_memory_seq"), "lineage", ["memory_seq"], unique=False)
