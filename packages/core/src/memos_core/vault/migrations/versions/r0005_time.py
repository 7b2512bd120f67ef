"""What a cube was: versions by change, former states and keys, snapshots, forks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what a past state is read from, and fill in what the audit knows of it."""
    for column in ("base_cube", "base_principal", "base_rights"):
        op.add_column("cubes", sa.Column(column, sa.String(), nullable=True))
    op.add_column("cubes", sa.Column("base_upto", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_cubes_base_cube"), "cubes", ["base_cube"])
    _tables()
    _twins()
    op.create_index("ix_audit_for_0005", "audit", ["memory_seq", "version"])
    _versions()
    _standings()
    _edges()
    op.drop_index("ix_audit_for_0005", "audit")


def _versions() -> None:
    """Say which change wrote each version. Whose keys earlier ones had is gone: each has its own."""
    for column in ("change", "keyed"):
        kind = sa.BigInteger() if column == "change" else sa.Integer()
        op.add_column("versions", sa.Column(column, kind, nullable=False, server_default="0"))
    for column in ("speaker", "role"):
        op.add_column("versions", sa.Column(column, sa.String(), nullable=True))
    op.execute(
        "UPDATE versions SET keyed = version, (speaker, role) = "
        "(SELECT speaker, role FROM memories WHERE memories.seq = versions.memory_seq)"
    )
    op.execute(
        "UPDATE versions SET change = coalesce((SELECT min(change) FROM audit "
        "WHERE audit.memory_seq = versions.memory_seq AND audit.version = versions.version "
        "AND audit.verb IN ('remember', 'revise')), 0)"
    )


def _standings() -> None:
    """Read from the audit's details (`generated>archived`) which states there were."""
    op.execute(
        "INSERT OR IGNORE INTO standings (memory_seq, until, state) "
        "SELECT memory_seq, change, substr(detail, 1, instr(detail, '>') - 1) FROM audit "
        "WHERE instr(detail, '>') > 1 AND verb IN "
        "('overlap', 'age', 'ttl', 'activate', 'archive', 'restore', 'freeze', 'unfreeze') "
        "AND memory_seq IN (SELECT seq FROM memories) ORDER BY seq"
    )


def _edges() -> None:
    """Make the table anew: a link that was taken back and made again is two rows."""
    op.rename_table("edges", "edges_before")
    op.drop_index(op.f("ix_edges_target"), "edges_before")
    op.create_table(
        "edges",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("relation", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["source"], ["memories.id"], name=op.f("fk_edges_source"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target"], ["memories.id"], name=op.f("fk_edges_target"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source", "relation", "target", "change", name=op.f("pk_edges")),
    )
    op.create_index(op.f("ix_edges_target"), "edges", ["target"])
    op.execute(
        "INSERT INTO edges (source, relation, target, change, cube_id, created_at) "
        "SELECT e.source, e.relation, e.target, coalesce((SELECT min(a.change) FROM audit AS a "
        "WHERE a.memory_seq = m.seq AND a.verb = 'link' AND a.at = e.created_at), 0), "
        "m.cube_id, e.created_at "
        "FROM edges_before AS e JOIN memories AS m ON m.id = e.source"
    )
    op.drop_table("edges_before")


def _tables() -> None:
    op.create_table(
        "former_keys",
        sa.Column("memory_seq", KEY, nullable=False),
        sa.Column("keyed", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("key_count", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        _of_memory("former_keys", "memory_seq"),
        sa.PrimaryKeyConstraint("memory_seq", "keyed", "model", name=op.f("pk_former_keys")),
    )
    op.create_table(
        "standings",
        sa.Column("memory_seq", KEY, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        _of_memory("standings", "memory_seq"),
        sa.PrimaryKeyConstraint("memory_seq", "until", name=op.f("pk_standings")),
    )
    op.create_table(
        "snapshots",
        sa.Column("cube_id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_id"], ["cubes.id"], name=op.f("fk_snapshots_cube_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cube_id", "label", name=op.f("pk_snapshots")),
    )


def _twins() -> None:
    op.create_table(
        "twins",
        sa.Column("seq", KEY, autoincrement=True, nullable=False),
        sa.Column("fork_id", sa.String(), nullable=False),
        sa.Column("base_seq", KEY, nullable=False),
        sa.Column("copy_seq", KEY, nullable=True),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("base_version", sa.Integer(), nullable=False),
        sa.Column("copy_version", sa.Integer(), nullable=False),
        sa.Column("by_copy", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["fork_id"], ["cubes.id"], name=op.f("fk_twins_fork_id"), ondelete="CASCADE"),
        _of_memory("twins", "base_seq"),
        _of_memory("twins", "copy_seq", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_twins")),
        sa.UniqueConstraint("fork_id", "base_seq", name=op.f("uq_twins_fork_id_base_seq")),
    )
    op.create_index(op.f("ix_twins_base_seq"), "twins", ["base_seq"])
    op.create_index(op.f("ix_twins_copy_seq"), "twins", ["copy_seq"])


def _of_memory(table: str, column: str, *, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], ["memories.seq"], name=name, ondelete=ondelete)
