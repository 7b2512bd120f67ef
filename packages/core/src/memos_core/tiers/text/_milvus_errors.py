"""Milvus errors as ours: what may work again later is BackendUnavailable, the rest BackendError.

pymilvus and Milvus Lite also log each error with its traceback. Those records are dropped where
the error is raised to our caller anyway: in threads that are inside `translated()`, and in the
server threads of our own Milvus Lite. Other users of the two packages keep their logs.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from memos_core.errors import BackendError, BackendUnavailable
from memos_core.tiers.text._milvus_lite import THREADS

_UNREACHABLE = {
    "ConnectError",
    "ConnectionConfigException",
    "ConnectionNotExistException",
    "MilvusUnavailableException",
}
_BUSY = {2, 3, 4, 8}  # merr: service unavailable, out of memory, over its request limit; rate limit
_TRANSIENT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED"}  # gRPC status
_GAVE_UP = ("Retry timeout", "Retry run out")  # pymilvus repeats a call until its time is up
_NOISY = (
    "grpc._server",
    "milvus_lite.adapter.grpc.servicer",
    "pymilvus.client.connection_manager",
    "pymilvus.client.grpc_handler",
    "pymilvus.decorators",
    "pymilvus.milvus_client.milvus_client",
)

_inside: ContextVar[bool] = ContextVar("memos_milvus_inside", default=False)


class _RaisedAnyway(logging.Filter):
    """Drops what is on its way to our caller as an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (_inside.get() or (record.threadName or "").startswith(THREADS))


_raised_anyway = _RaisedAnyway()


@contextmanager
def translated() -> Generator[None]:
    """Raise errors of pymilvus and gRPC as BackendError or BackendUnavailable, with cause."""
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with pymilvus
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415 - 1.7 s, once

    for name in _NOISY:
        logging.getLogger(name).addFilter(_raised_anyway)  # adding it again changes nothing
    token = _inside.set(True)
    try:
        yield
    except MilvusException as exc:
        raise _mapped(exc, code=exc.code, message=exc.message, retriable=exc.retriable) from exc
    except grpc.RpcError as exc:
        raise _mapped(exc, code=exc.code(), message=exc.details(), retriable=False) from exc
    finally:
        _inside.reset(token)


def _mapped(exc: BaseException, *, code: object, message: object, retriable: bool) -> BackendError:
    text = f"Milvus answers: {message}"
    passing = (
        retriable
        or type(exc).__name__ in _UNREACHABLE
        or code in _BUSY
        or getattr(code, "name", "") in _TRANSIENT
        or any(phrase in text for phrase in _GAVE_UP)
    )
    return BackendUnavailable(text) if passing else BackendError(text)
