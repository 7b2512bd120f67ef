"""Values under keys, beside the memories that they are found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of records."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "records",
        sa.Column("seq", key, autoincrement=True, nullable=False),
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("memory_seq", key, nullable=True),
        sa.Column("ttl", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_records_cube_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["memory_seq"], ["memories.seq"], name=op.f("fk_records_memory_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_records")),
        sa.UniqueConstraint("cube_id", "key", name=op.f("uq_records_cube_id_key")),
    )
    op.create_index(op.f("ix_records_memory_seq"), "records", ["memory_seq"], unique=False)
    op.create_index(op.f("ix_records_cube_id_updated_at"), "records", ["cube_id", "updated_at"], unique=False)
