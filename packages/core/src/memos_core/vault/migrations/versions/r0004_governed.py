"""A life cycle; grants, groups and limits; an audit that is a chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from memos_core.audit import GENESIS, AuditLine  # the form of a line is a format: it does not change
from memos_core.vault.engine import dialect_of

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what the life cycle writes down, who may do what, and how much a cube may hold."""
    op.add_column("audit", sa.Column("detail", sa.String(), nullable=True))
    for name in ("ttl", "max_memories", "max_bytes"):
        op.add_column("cubes", sa.Column(name, sa.BigInteger(), nullable=True))
    _records()
    _groups()
    _members()
    _grants()
    _chain()


def _chain() -> None:
    """Seal the lines that are there, and refuse from now on to change or delete one."""
    connection = op.get_bind()
    op.add_column("audit", sa.Column("hash", sa.String(), nullable=True))
    rows = connection.execute(sa.text("SELECT * FROM audit ORDER BY seq")).mappings().all()
    last = GENESIS
    for number, row in enumerate(rows, start=1):
        line = AuditLine(
            seq=number,
            at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["at"]),
            principal=row["principal"],
            cube=row["cube_id"],
            change=row["change"],
            verb=row["verb"],
            memory=row["memory_id"],
            memory_seq=row["memory_seq"],
            version=row["version"],
        )
        last = line.sealed_after(last)
        connection.execute(
            sa.text("UPDATE audit SET seq = :number, hash = :hash WHERE seq = :seq"),
            {"number": number, "hash": last, "seq": row["seq"]},
        )
    head = json.dumps({"lines": len(rows), "hash": last})
    connection.execute(sa.text("INSERT INTO store (key, value) VALUES ('audit.head', :head)"), {"head": head})
    for statement in dialect_of(connection).append_only("audit", "the audit is append-only"):
        op.execute(statement)


def _records() -> None:
    """Say whose each record is: its cube's owner, for nobody else could write one."""
    for name, default in (("owner", "memos"), ("visibility", "private")):
        op.add_column("records", sa.Column(name, sa.String(), nullable=False, server_default=default))
    op.execute("UPDATE records SET owner = (SELECT owner FROM cubes WHERE cubes.id = records.cube_id)")


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
