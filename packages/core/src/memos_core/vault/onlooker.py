"""The catalog of a store that another process may have open: it is read and never written."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import URL

from memos_core.errors import MigrationNeeded, NotFound
from memos_core.vault.catalog import utc_now
from memos_core.vault.engine import dialect_for
from memos_core.vault.migrate import HEAD, schema_revision
from memos_core.vault.view import View


class Onlooker:
    """Looks at a catalog beside whoever holds the store: no lock is taken, and no schema upgraded.

    Raises NotFound where there is none, MigrationNeeded where it is of another version than this package.
    """

    def __init__(self, where: Path | URL, *, clock: Callable[[], datetime] = utc_now) -> None:
        if isinstance(where, Path) and not where.is_file():
            raise NotFound("store", str(where.parent))
        self._clock, self._dialect = clock, dialect_for(where)
        self._engine = self._dialect.open_engine(where)
        self._reading = self._engine.execution_options(**self._dialect.reading)
        with self._dialect.translated(), self._reading.connect() as connection:
            found = schema_revision(connection)
        if found != HEAD:
            self.close()
            raise MigrationNeeded(
                f"this store has schema {found!r} and not {HEAD!r}: open it once with this version",
                found=str(found),
                wanted=HEAD,
            )

    @contextmanager
    def read(self) -> Generator[View]:
        """Open a snapshot of what is committed."""
        with self._dialect.translated(), self._reading.connect() as connection:
            yield View(connection, now=self._clock())

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
