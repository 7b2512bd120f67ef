"""The zip of a `.memcube` file: parts go in with their digests, and nothing comes out unchecked."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from memos_core.errors import FormatError, InvalidInput, NotFound
from memos_core.interchange import sealing, signing
from memos_core.interchange.manifest import (
    MANIFEST,
    MANIFEST_LIMIT,
    SIGNATURE,
    Bounds,
    Manifest,
    Part,
    from_bytes,
    to_bytes,
)

CHUNK: Final = 1 << 18  # bytes read at once
LINE_LIMIT: Final = 16 << 20  # bytes; a text of one MiB is at most six of them in JSON

_DAY: Final = (1980, 1, 1, 0, 0, 0)  # equal contents give equal files
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # its word for a method of packing that it does not know
    OverflowError,
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
)
"""What Python's zip reader raises for bytes that are no sound zip."""


class Packer:
    """Writes parts one after the other into `file`, which is never read or moved in."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", allowZip64=True)
        self.parts: list[Part] = []

    @contextmanager
    def part(
        self, path: str, kind: str, *, packed: bool = True, facts: Mapping[str, Any] | None = None
    ) -> Generator[Callable[[bytes], None]]:
        """Begin a part; the block is given the function that adds bytes to it."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(_entry(path, packed=packed), "w", force_zip64=True) as out:

            def add(data: bytes) -> None:
                nonlocal size
                size += len(data)
                digest.update(data)
                out.write(data)

            yield add
        self.parts.append(
            Part(path=path, kind=kind, size=size, sha256=digest.hexdigest(), facts=dict(facts or {}))
        )

    def finish(self, manifest: Manifest, *, sign: signing.SigningKey | None) -> bytes:
        """Write the manifest and, with a key, its signature; return the manifest's bytes."""
        data = to_bytes(manifest)
        self._zip.writestr(_entry(MANIFEST), data)
        if sign is not None:
            self._zip.writestr(_entry(SIGNATURE, packed=False), sign.signature(data))
        self._zip.close()
        return data


def _entry(path: str, *, packed: bool = True) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _DAY)
    entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    entry.external_attr = (stat.S_IFREG | 0o600) << 16
    return entry


class Archive:
    """An open `.memcube` file whose manifest holds for every entry of the zip; a context manager.

    The manifest is checked here, the bytes of each part when they are read. Raises NotFound where
    there is no file, FormatError for whatever is wrong with one.
    """

    def __init__(
        self,
        path: Path,
        *,
        bounds: Bounds,
        passphrase: str | None = None,
        verify_key: str | None = None,
    ) -> None:
        with ExitStack() as undo:
            file = undo.enter_context(_opened(path))
            size = path.stat().st_size
            content = sealing.unsealed(file, passphrase=passphrase)
            with _understood():
                self._zip = undo.enter_context(zipfile.ZipFile(content))
            self._entries = _checked(self._zip.infolist())
            data = self._whole(MANIFEST, limit=MANIFEST_LIMIT)
            self.manifest = from_bytes(data, digest=hashlib.sha256(data).hexdigest())
            self._check_signature(data, verify_key)
            self._check_parts(size, bounds)
            self._closing = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def _whole(self, name: str, *, limit: int) -> bytes:
        entry = self._entries.get(name)
        if entry is None:
            raise FormatError(f"this zip has no {name}: it is no .memcube file")
        if entry.file_size > limit:
            raise FormatError(f"{name} is over {limit:,} bytes: no .memcube file has such a one")
        with _understood(), self._zip.open(entry) as file:
            return file.read(limit + 1)

    def _check_signature(self, data: bytes, verify_key: str | None) -> None:
        signer = self.manifest.signer
        if (signer is None) != (SIGNATURE not in self._entries):
            raise FormatError("the file was signed and the signature, or its name, is gone: do not trust it")
        if verify_key is not None and signer != verify_key:
            whose = "nobody" if signer is None else signer
            raise FormatError(f"the file is signed by {whose}, not by {verify_key}: get it from its author")
        if signer is not None:
            signing.verify(signer, self._whole(SIGNATURE, limit=64), data)

    def _check_parts(self, size: int, bounds: Bounds) -> None:
        """Raise unless the zip holds what the manifest names, of the sizes it names, within the bounds."""
        wanted = {part.path: part.size for part in self.manifest.parts}
        found = {
            name: entry.file_size
            for name, entry in self._entries.items()
            if name not in (MANIFEST, SIGNATURE)
        }
        if wanted != found:
            odd = sorted(wanted.items() ^ found.items())[0][0]
            raise FormatError(f"the manifest and the zip disagree about {odd!r}: the file was changed")
        total = sum(found.values())
        if total > bounds.size or (total > bounds.free and total > size * bounds.ratio):
            raise FormatError(
                f"the file would unpack to {total:,} bytes, {total // max(size, 1):,} times its own size: "
                f"if you trust it, load it with wider `bounds`"
            )

    def chunks(self, part: Part) -> Iterator[bytes]:
        """Yield a part's bytes; raise FormatError at the end unless they are what the manifest says."""
        digest, size = hashlib.sha256(), 0
        with _understood(), self._zip.open(self._entries[part.path]) as file:
            while data := file.read(CHUNK):
                size += len(data)
                digest.update(data)
                yield data
        if (size, digest.hexdigest()) != (part.size, part.sha256):
            raise FormatError(f"{part.path} is not what the manifest says: the file was changed or damaged")

    def lines(self, part: Part) -> Iterator[bytes]:
        """Yield a part's lines without their ends."""
        rest = b""
        for data in self.chunks(part):
            *whole, rest = (rest + data).split(b"\n")
            yield from whole
            if len(rest) > LINE_LIMIT:
                raise FormatError(f"{part.path} has a line over {LINE_LIMIT:,} bytes")
        if rest:
            raise FormatError(f"{part.path} does not end with a line's end: it was cut off")

    def read(self, part: Part, *, limit: int) -> bytes:
        """Return a part whole, if it has at most `limit` bytes."""
        if part.size > limit:
            raise FormatError(f"{part.path} is over {limit:,} bytes, which such a part may not be")
        return b"".join(self.chunks(part))


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError as exc:
        raise NotFound("file", str(path)) from exc
    except (OSError, ValueError) as exc:
        raise InvalidInput(f"{path} cannot be read ({exc}): name a .memcube file") from exc


@contextmanager
def _understood() -> Generator[None]:
    try:
        yield
    except FormatError:
        raise
    except _BROKEN as exc:
        raise FormatError(
            f"this is no sound .memcube file ({exc}): it was cut off, changed or damaged"
        ) from exc
    except OSError as exc:
        raise FormatError(f"the file cannot be read to its end ({exc})") from exc


def _checked(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name; refuse what a sound writer never writes."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.filename
        if not name:
            raise FormatError("the zip has an entry without a name, which no .memcube file has")
        if name in found:
            raise FormatError(f"the zip has two entries {name!r}: it was put together to deceive")
        if stat.S_ISLNK(entry.external_attr >> 16) or entry.is_dir():
            raise FormatError(f"the entry {name!r} is a link or a folder, which no .memcube file has")
        if entry.flag_bits & 0x1 or entry.compress_type not in _METHODS:
            raise FormatError(f"the entry {name!r} is packed in a way that no .memcube file is")
        found[name] = entry
    return found
