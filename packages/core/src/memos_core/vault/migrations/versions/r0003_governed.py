"""A life cycle and its audit; grants, groups and limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    """Add what the life cycle writes down, who may do what, and how much a cube may hold."""
    op.add_column("audit", sa.Column("detail", sa.String(), nullable=True))
    for name in ("ttl", "max_memories", "max_bytes"):
        op.add_column("cubes", sa.Column(name, sa.BigInteger(), nullable=True))
    _groups()
    _members()
    _grants()


def _groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_groups_owner_name")),
    )


def _members() -> None:
    op.create_table(
        "members",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_members_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "member", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_member"), "members", ["member"])


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("grantee", sa.String(), nullable=False),
        sa.Column("right", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_grants_cube_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cube_id", "kind", "grantee", "right", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_grantee"), "grants", ["grantee"])
