"""What can go wrong, as types that carry facts and name the remedy.

::

    MemOSError
    ├── NotFound              no such memory or cube, or not for you: the two look alike on purpose
    ├── Conflict              somebody else revised it first (`expected`, `found`)
    ├── AlreadyThere          the cube has some of what a file would bring (`ids`)
    ├── IllegalTransition     the life cycle has no such step
    ├── Forbidden             you may see it, you may not do this to it
    │   └── WrongPurpose          ... for this purpose (`purpose`, `purposes`)
    ├── QuotaExceeded         the cube is full (`what`, `limit`, `wanted`)
    ├── InvalidInput          the argument cannot be accepted as it is (also a ValueError)
    │   ├── SecretFound           it holds what this store may not write (`kinds`)
    │   └── NothingToTeach        the cube has no memory that an adapter could be taught
    ├── MigrationNeeded       this store was written by another schema or embedder
    ├── FormatError           these bytes are not what they claim to be
    ├── JobLost               somebody else has this job by now, or it was cancelled
    ├── Locked                another process holds this folder
    ├── UnderWay              the cube is being trained already
    ├── Closed                this handle was closed
    └── BackendError          something beneath us failed
        └── BackendUnavailable    ... and may work again later: the only error that is ever retried
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class MemOSError(Exception):
    """The root of everything this library raises on purpose. Its facts survive copying and pickling."""

    def __reduce__(self) -> tuple[Callable[..., MemOSError], tuple[Any, ...]]:
        return _rebuilt, (type(self), self.args, vars(self))


def _rebuilt(kind: type[MemOSError], args: tuple[Any, ...], facts: dict[str, Any]) -> MemOSError:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(facts)
    return error


class NotFound(MemOSError):
    """There is no such thing, or you may not know that there is."""

    def __init__(self, what: str, name: str, *, remedy: str = "") -> None:
        super().__init__(f"no {what} {name!r}{remedy and ': '}{remedy}")
        self.what, self.name = what, name


class Conflict(MemOSError):
    """The memory is not at the version that the caller had read."""

    def __init__(self, memory_id: str, *, expected: int, found: int) -> None:
        super().__init__(
            f"memory {memory_id!r} is at version {found}, not {expected}: "
            f"read it again, decide again, and ask with expected={found}"
        )
        self.memory_id, self.expected, self.found = memory_id, expected, found


class AlreadyThere(MemOSError):
    """A cube has memories, or records, that a file brings in other words; nothing was loaded."""

    def __init__(self, cube: str, ids: Sequence[str]) -> None:
        some = ", ".join(repr(each) for each in ids[:3])
        super().__init__(
            f"cube {cube!r} has {len(ids)} of these already in other words ({some}): load with "
            f"on_conflict='skip', 'replace' or 'keep_both', or into a new cube with name=..."
        )
        self.cube, self.ids = cube, tuple(ids)


class IllegalTransition(MemOSError):
    """The life cycle, of a memory or of a job, has no step from this state by this verb."""

    def __init__(
        self, memory_id: str, *, state: str, verb: str, remedy: str = "", what: str = "memory"
    ) -> None:
        hint = f"; {remedy}" if remedy else ""
        super().__init__(f"{what} {memory_id!r} is {state}: there is no way to {verb} it{hint}")
        self.memory_id, self.state, self.verb = memory_id, state, verb


class Forbidden(MemOSError):
    """The principal may see the thing and may not do this to it."""

    def __init__(self, principal: str, *, verb: str, what: str) -> None:
        super().__init__(f"{principal!r} may not {verb} {what}")
        self.principal, self.verb, self.what = principal, verb, what


class WrongPurpose(Forbidden):
    """The cube may be used for some purposes only, and the call was made for none of them."""

    def __init__(self, principal: str, *, cube: str, purpose: str, purposes: tuple[str, ...]) -> None:
        super().__init__(principal, verb="use", what=f"cube {cube!r}")
        asked = repr(purpose) if purpose else "no purpose"
        self.args = (
            f"cube {cube!r} is for {', '.join(purposes)}, not for {asked}: say what it is for with "
            f"as_principal({principal!r}, purpose=...)",
        )
        self.purpose, self.purposes = purpose, purposes


class QuotaExceeded(MemOSError):
    """The cube may not hold so much; nothing was written."""

    def __init__(self, cube: str, *, what: str, limit: int, wanted: int) -> None:
        super().__init__(
            f"cube {cube!r} would hold {wanted:,} {what}, and may hold {limit:,}: "
            f"forget() something, or raise the limit() as its admin"
        )
        self.cube, self.what, self.limit, self.wanted = cube, what, limit, wanted


class InvalidInput(MemOSError, ValueError):
    """An argument that cannot be accepted; the message says what would be."""


class SecretFound(InvalidInput):
    """A text holds what this store may not write. The error says which kinds, and never what."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__(
            f"the text holds what this store does not write ({', '.join(kinds)}): leave it out, "
            f"or open the store with redaction='mask'"
        )
        self.kinds = kinds


class MigrationNeeded(MemOSError):
    """The store was written by another schema, or with another embedder."""

    def __init__(self, message: str, *, found: str, wanted: str) -> None:
        super().__init__(message)
        self.found, self.wanted = found, wanted


class FormatError(MemOSError):
    """Bytes that are not what they claim to be; `line` where there is one (from 1)."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class JobLost(MemOSError):
    """A worker's lease on a job is over; nothing that it does for it counts any more."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id!r} is somebody else's by now, or was cancelled: drop what was done for it"
        )
        self.job_id = job_id


class Locked(MemOSError):
    """Another process holds this folder."""

    def __init__(self, folder: str, *, holder: str = "another process") -> None:
        super().__init__(
            f"{folder} is in use by {holder}: close it there, give this process a folder of its own, "
            f"share one MemOS handle between the agents of one process, or let several processes share a "
            f"store on servers: MemOS.open(folder, catalog='postgresql+psycopg://…', index='http://…')"
        )
        self.folder, self.holder = folder, holder


class NothingToTeach(InvalidInput):
    """A cube has no memory that an adapter could be taught."""

    def __init__(self, cube: str) -> None:
        super().__init__(f"there is nothing to teach in the cube {cube!r}: remember() something first")
        self.cube = cube


class UnderWay(MemOSError):
    """What was asked for is being done already."""

    def __init__(self, cube: str) -> None:
        super().__init__(f"the cube {cube!r} is being trained already: wait for that, or stop it first")
        self.cube = cube


class Closed(MemOSError):
    """The handle was closed; open the folder again."""

    def __init__(self) -> None:
        super().__init__("this MemOS is closed: open the folder again with MemOS.open(...)")


class BackendError(MemOSError):
    """Something beneath us failed; the cause is chained."""


class BackendUnavailable(BackendError):
    """Something beneath us does not answer now and may answer later."""
