"""Content-addressed bytes on disk: a blob's name is the sha256 of what it holds."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from memos_core.errors import BackendError, FormatError, InvalidInput, NotFound

GRACE = 3600.0  # seconds an unreferenced blob lives, so that a writer may commit its row after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep removed."""

    files: int
    size: int  # bytes


class Blobs:
    """Bytes under `folder`, written once and never changed.

    A blob is complete or absent, also after a crash: it is written to a temporary file, synced, and
    renamed; then the folder is synced. Safe from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise BackendError(f"{folder} cannot be made ({exc}): choose another folder") from exc

    def put(self, data: bytes) -> str:
        """Store `data` durably and return its name, 64 hexadecimal digits.

        What is there already is kept, and mended where it is damaged.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        try:
            if path.exists() and path.read_bytes() == data:
                os.utime(path)  # young again: a sweep must not take it from under its new owner
                return name
            self._write(path, data)
        except OSError as exc:
            raise BackendError(f"the blob was not written ({exc}): free some space and try again") from exc
        return name

    def _write(self, path: Path, data: bytes) -> None:
        is_new = not path.parent.exists()
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        if is_new:
            _sync_folder(self._folder)

    def get(self, name: str) -> bytes:
        """Return a blob's bytes.

        Raises NotFound where it is missing, FormatError where it is damaged, BackendError where it
        cannot be read now.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError as exc:
            raise NotFound("blob", name) from exc
        except OSError as exc:
            raise BackendError(f"blob {name} cannot be read now ({exc}): see to that and ask again") from exc
        if hashlib.sha256(data).hexdigest() != name:
            raise FormatError(f"blob {name} is damaged: its bytes do not match its name")
        return data

    def path(self, name: str) -> Path:
        """Return where a blob's file is, or would be; whoever reads it there checks its bytes."""
        return self._path(name)

    def delete(self, name: str) -> bool:
        """Remove a blob; return whether it was there."""
        path = self._path(name)
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def sweep(self, keep: Collection[str], *, grace: float = GRACE) -> Sweep:
        """Remove what is older than `grace` seconds and not in `keep`, half-written files as well."""
        files = size = 0
        horizon = time.time() - grace
        for path in self._files():
            status = path.stat()
            if path.name not in keep and status.st_mtime < horizon:
                path.unlink(missing_ok=True)
                files += 1
                size += status.st_size
        return Sweep(files=files, size=size)

    def damaged(self) -> Iterator[str]:
        """Yield the names of blobs whose bytes do not match them."""
        for path in self._files():
            if path.suffix != ".tmp" and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                yield path.name

    def size(self) -> int:
        """Return the bytes that all blobs take."""
        return sum(path.stat().st_size for path in self._files())

    def _files(self) -> Iterator[Path]:
        return (path for path in sorted(self._folder.glob("??/*")) if path.is_file())

    def _path(self, name: str) -> Path:
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise InvalidInput(f"{name!r} is no blob name: it has 64 hexadecimal digits")
        return self._folder / name[:2] / name


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable (POSIX; Windows needs and has no such call)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
