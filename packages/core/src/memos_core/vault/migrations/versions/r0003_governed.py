"""A life cycle and its audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    """Add what the life cycle writes down."""
    op.add_column("audit", sa.Column("detail", sa.String(), nullable=True))
