"""What made each memory, how far it is trusted; purposes of cubes and calls; receipts of erasures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add what is known of where a memory comes from; old rows are filled in from what they tell."""
    _made_by()
    trust = sa.Column("trust", sa.String(), nullable=False, server_default="trusted")
    op.add_column("memories", trust)
    op.add_column("cubes", sa.Column("purposes", sa.JSON(), nullable=True))
    op.add_column("audit", sa.Column("purpose", sa.String(), nullable=True))
    _erasures()


def _made_by() -> None:
    op.add_column("memories", sa.Column("made_by", sa.String(), nullable=False, server_default="statement"))
    for condition, maker in (
        ("origin = 'said'", "verbatim"),
        ("origin = 'copied'", "copy"),
        ("seq IN (SELECT memory_seq FROM records WHERE memory_seq IS NOT NULL)", "record"),
        ("state = 'expired'", ""),
    ):
        op.execute(f"UPDATE memories SET made_by = '{maker}' WHERE {condition}")  # noqa: S608 - our own words


def _erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(op.f("ix_erasures_by"), "erasures", ["by"])
