"""Where a memory came from that was loaded from a file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the file that a memory came in, and the list of what was loaded into each cube."""
    op.add_column("memories", sa.Column("imported_from", sa.String(), nullable=True))
    op.create_table(
        "imports",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("signer", sa.String(), nullable=True),
        sa.Column("place", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_imports_cube_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_imports")),
    )
    op.create_index(op.f("ix_imports_cube_id"), "imports", ["cube_id"])
