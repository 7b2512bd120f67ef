"""How warm memories and cubes are, what tiers cost here, what was trained of late, what a merge put away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of the meter, of whose uses before nothing is known, and what a merge puts away."""
    op.add_column("edges", sa.Column("put_away", sa.String(), nullable=True))
    op.add_column("edges", sa.Column("brought_back", sa.BigInteger(), nullable=True))
    op.create_table(
        "memory_meters",
        sa.Column("memory_seq", KEY, nullable=False),
        sa.Column("heat", sa.Float(), nullable=False),
        sa.Column("heated_at", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("corrected", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_seq"], ["memories.seq"], name=op.f("fk_memory_meters_memory_seq"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_seq", name=op.f("pk_memory_meters")),
    )
    op.create_table(
        "cube_meters",
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("asks", sa.BigInteger(), nullable=False),
        sa.Column("heat", sa.Float(), nullable=False),
        sa.Column("heated_at", sa.BigInteger(), nullable=False),
        sa.Column("churn", sa.Float(), nullable=False),
        sa.Column("churned_at", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_cube_meters_cube_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cube_id", name=op.f("pk_cube_meters")),
    )
    op.create_table(
        "costs",
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("write", sa.Float(), nullable=False),
        sa.Column("read", sa.Float(), nullable=False),
        sa.Column("size", sa.Float(), nullable=False),
        sa.Column("samples", sa.Float(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "tier", "model", name=op.f("pk_costs")),
    )
    op.create_table(
        "trainings",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_trainings")),
    )
