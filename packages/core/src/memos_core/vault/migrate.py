"""Bring a catalog to this package's schema, in one transaction."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, Engine, inspect, text

from memos_core.errors import FormatError, MigrationNeeded
from memos_core.vault.engine import dialect_of

HEAD = "0009"


def migrate(engine: Engine) -> None:
    """Make or upgrade the schema; do nothing where it is current.

    Raises MigrationNeeded for a schema newer than this package, FormatError for a database that
    holds something else.
    """
    with engine.begin() as connection:
        found = schema_revision(connection)
        if found == HEAD:
            return
        if found is None and inspect(connection).get_table_names():
            raise FormatError(
                "this database holds other tables and no MemOS catalog: choose another folder, or another "
                "database or schema (?options=-csearch_path=NAME)"
            )
        _upgrade(connection, found)
        dialect_of(connection).order_by_codepoint(connection)


def schema_revision(connection: Connection) -> str | None:
    """Return the catalog's revision, or None where no schema was ever made."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s, and only a new or old catalog needs it
    from alembic.config import Config  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(files("memos_core.vault") / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise MigrationNeeded(
            f"this store has schema {found!r}, which is newer than {HEAD!r}: upgrade memos-suite-core",
            found=found,
            wanted=HEAD,
        )
    command.upgrade(config, HEAD)
