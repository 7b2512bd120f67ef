"""Which database a catalog is on: a file is SQLite's, a URL is PostgreSQL's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from memos_core.errors import InvalidInput
from memos_core.vault import postgres, sqlite
from memos_core.vault.dialect import Dialect

_SERVERS: Final = ("postgresql+psycopg", "postgresql")


def dialect_of(bind: Connection | Engine) -> Dialect:
    """Return the ways of the database that this is connected to."""
    return postgres if bind.dialect.name == "postgresql" else sqlite


def dialect_for(where: Path | URL) -> Dialect:
    """Return the ways of a file, or of the server that a URL names."""
    return sqlite if isinstance(where, Path) else postgres


def holds_password(given: str) -> bool:
    """Return whether an address that was accepted holds a password, wherever in it."""
    url = make_url(given)
    return url.password is not None or "password" in url.query


def catalog_url(given: str) -> URL:
    """Return the address of a PostgreSQL database; InvalidInput, quoting no password, for what is none."""
    remedy = "write catalog='postgresql+psycopg://user@host:5432/database'"
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise InvalidInput(
            f"catalog is no address of a database: {remedy}"
        ) from None  # it may hold a password
    if url.drivername not in _SERVERS:
        raise InvalidInput(f"a catalog is a PostgreSQL database, not one of {url.drivername!r}: {remedy}")
    if not url.database:
        raise InvalidInput(f"the catalog's address names no database: {remedy}")
    return url.set(drivername=_SERVERS[0])
