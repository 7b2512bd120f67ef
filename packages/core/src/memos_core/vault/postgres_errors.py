"""What PostgreSQL and its driver raise, as errors of ours with the remedy; what people wrote is in none."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_core.errors import BackendError, BackendUnavailable, InvalidInput, MemOSError

_REFUSED: Final = (
    ("password authentication failed", "the user or the password is wrong"),
    ("no password supplied", "it asks for a password: put it into the address, or into ~/.pgpass"),
    ("no pg_hba.conf entry", "it lets nobody in from here: see its pg_hba.conf"),
    ("role ", "it knows no such user"),
    ("database ", "it has no such database: make it with createdb"),
)
_BUSY: Final = {"55P03": "another process writes", "40001": "it changed meanwhile", "40P01": "deadlock"}
_DISK: Final = {"53100": "its disk is full", "58030": "its disk fails"}
_MAY_NOT: Final = {"42501": "its user may not do this", "25006": "it only reads: it may be a standby"}


@contextmanager
def translated() -> Generator[None]:
    """Map what PostgreSQL raises to our errors, with the remedy."""
    try:
        yield
    except PoolTimeout as exc:
        raise BackendUnavailable("too many threads read this store at once: try again") from exc
    except (OperationalError, InterfaceError, DataError) as exc:
        raise told(exc) from exc
    except DatabaseError as exc:
        if _state(exc) in _MAY_NOT:
            raise told(exc) from exc
        raise


def told(exc: DBAPIError) -> MemOSError:
    """Return our error for what the driver raised."""
    state, said = _state(exc), str(exc.orig).strip()
    first = said.splitlines()[0] if said else type(exc.orig).__name__
    if "NUL" in said:
        return InvalidInput("PostgreSQL keeps no NUL character (U+0000): leave it out")
    if isinstance(exc, DataError):
        return InvalidInput(f"PostgreSQL does not keep this value: {first}")
    if state in _BUSY:
        return BackendUnavailable(f"the catalog is busy ({_BUSY[state]}): try again")
    if state in _DISK:
        return BackendError(f"the catalog's server refused the write ({_DISK[state]}): nothing changed")
    if state in _MAY_NOT:
        return BackendError(f"the catalog's server refuses ({_MAY_NOT[state]}): {first}")
    for sign, remedy in _REFUSED:
        if f"FATAL:  {sign}" in said or f"fe_sendauth: {sign}" in said:
            return BackendError(f"the catalog's server lets this process not in: {remedy}")
    if state is None or state[:2] in ("08", "53", "57"):
        return BackendUnavailable(
            f"the catalog's server does not answer ({first}): see that it runs, try again"
        )
    return BackendError(f"the catalog failed: {first}")


def _state(exc: DBAPIError) -> str | None:
    found: str | None = getattr(exc.orig, "sqlstate", None)
    return found
