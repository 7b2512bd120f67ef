"""Who hands out a store's jobs: the catalog itself, or Procrastinate beside it."""

from __future__ import annotations

from enum import StrEnum

from memos_core.errors import InvalidInput
from memos_core.memory import checked_choice
from memos_core.scheduler.procrastinate_queue import ProcrastinateQueue
from memos_core.scheduler.queue import CatalogQueue
from memos_core.vault import tickets
from memos_core.vault.catalog import Catalog


class JobEngine(StrEnum):
    """What can hand out jobs."""

    EMBEDDED = "embedded"
    PROCRASTINATE = "procrastinate"


def checked_engine(wanted: object, *, on_server: bool) -> JobEngine | None:
    """Return the engine that was named, None for none; InvalidInput for one that this catalog cannot have."""
    if wanted is None:
        return None
    engine = checked_choice(JobEngine, wanted, what="jobs")
    if engine is JobEngine.PROCRASTINATE and not on_server:
        raise InvalidInput(
            "Procrastinate works in a PostgreSQL database: name one, with "
            "catalog='postgresql+psycopg://user@host:5432/database'"
        )
    return engine


def queue_of(catalog: Catalog, wanted: str | None, *, on_server: bool) -> CatalogQueue:
    """Return the queue of a catalog: of the engine that is wanted from now on, or that it had before.

    Raises BackendError where Procrastinate is wanted and not installed.
    """
    engine = checked_engine(wanted, on_server=on_server)
    if not on_server:
        return CatalogQueue(catalog)
    with catalog.read() as view:
        found = tickets.hands_out(view.connection)
    if engine is not None and found is not (engine is JobEngine.PROCRASTINATE):
        found = not found
        with catalog.connection() as connection:
            now = catalog.moment(connection)
            tickets.make(connection) if found else tickets.unmake(connection, now=now)
    if not found:
        return CatalogQueue(catalog)
    with catalog.connection() as connection:
        tickets.reissue(connection)
    return ProcrastinateQueue(catalog)
