"""Files that only a passphrase opens: scrypt (RFC 7914) and AES-256-GCM over chunks.

Every chunk is sealed under its number, and the last one under a mark of its own, so that none can be
left out, moved or cut off (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
A reader unseals the chunk that it needs: nothing is ever written to the disk unsealed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import unicodedata
from typing import IO, Any, Final

from memos_core.errors import FormatError, InvalidInput
from memos_core.interchange import signing

MAGIC: Final = b"MEMCUBE-SEALED/1\n"
CHUNK: Final = 1 << 16  # bytes of content in a chunk
TAG: Final = 16
HEAD_LIMIT: Final = 4096

_COST: Final = {"n": 1 << 15, "r": 8, "p": 1}  # 32 MiB and about 0.1 s
_DEAREST: Final = 1 << 18  # n times r: 256 MiB


class SealingWriter(io.RawIOBase):
    """Seals what is written to it and passes it on to `file`. Closing it writes the last chunk."""

    def __init__(self, file: IO[bytes], *, passphrase: str) -> None:
        super().__init__()
        head = {
            "kdf": {"name": "scrypt", **_COST, "salt": os.urandom(16).hex()},
            "cipher": "AES-256-GCM",
            "nonce": os.urandom(7).hex(),
            "chunk": CHUNK,
        }
        self._file, self._head = file, MAGIC + json.dumps(head).encode() + b"\n"
        self._box = _Box(head, self._head, passphrase)
        self._rest, self._number = bytearray(), 0
        file.write(self._head)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._rest += data
        while len(self._rest) > CHUNK:  # the last one waits: it is sealed as the last
            self._seal(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        return len(data)

    def _seal(self, data: bytes, *, last: bool) -> None:
        self._file.write(self._box.sealed(data, self._number, last=last))
        self._number += 1

    def close(self) -> None:
        if not self.closed:
            self._seal(bytes(self._rest), last=True)
        super().close()


class SealedReader(io.RawIOBase):
    """The content of a sealed file, at any place of it."""

    def __init__(self, file: IO[bytes], box: _Box, *, start: int, chunk: int) -> None:
        super().__init__()
        self._file, self._box, self._start, self._chunk = file, box, start, chunk
        sealed = file.seek(0, os.SEEK_END) - start
        self._count = -(-sealed // (chunk + TAG))
        if self._count < 1 or sealed - (self._count - 1) * (chunk + TAG) < TAG:
            raise FormatError("the sealed file is cut off")
        self._size = sealed - self._count * TAG
        self._at, self._number, self._held = 0, -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        number, offset = divmod(self._at, self._chunk)
        if number >= self._count or self._at >= self._size:
            return 0
        piece = self._unsealed(number)[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _unsealed(self, number: int) -> bytes:
        if number != self._number:
            self._file.seek(self._start + number * (self._chunk + TAG))
            data = self._file.read(self._chunk + TAG)
            self._held = self._box.opened(data, number, last=number == self._count - 1)
            self._number = number
        return self._held

    def check(self) -> None:
        """Raise FormatError unless the passphrase opens the first chunk and the file ends where it should."""
        self._unsealed(self._count - 1)
        self._unsealed(0)


class _Box:
    """Seals and opens chunks by their number."""

    def __init__(self, head: dict[str, Any], aad: bytes, passphrase: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
        except ImportError as exc:
            raise signing.missing() from exc
        self._cipher, self._prefix, self._aad = (
            AESGCM(_key(head, passphrase)),
            bytes.fromhex(head["nonce"]),
            aad,
        )

    def sealed(self, data: bytes, number: int, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(number, last=last), data, self._aad)

    def opened(self, data: bytes, number: int, *, last: bool) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - it is there: see above

        try:
            return self._cipher.decrypt(self._nonce(number, last=last), data, self._aad)
        except (InvalidTag, ValueError) as exc:
            raise FormatError("the passphrase is wrong, or the file was changed or cut off") from exc

    def _nonce(self, number: int, *, last: bool) -> bytes:
        return self._prefix + number.to_bytes(4, "big") + (b"\1" if last else b"\0")


def _key(head: dict[str, Any], passphrase: str) -> bytes:
    kdf = head["kdf"]
    return hashlib.scrypt(
        unicodedata.normalize("NFC", passphrase).encode(),
        salt=bytes.fromhex(kdf["salt"]),
        n=kdf["n"],
        r=kdf["r"],
        p=kdf["p"],
        maxmem=1 << 30,
        dklen=32,
    )


def checked_passphrase(passphrase: object) -> str:
    """Return the passphrase if it is one."""
    if not isinstance(passphrase, str) or not passphrase:
        raise InvalidInput("a passphrase must be a str that is not empty")
    try:
        passphrase.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("a passphrase must be valid Unicode") from exc
    return passphrase


def unsealed(file: IO[bytes], *, passphrase: str | None) -> IO[bytes]:
    """Return the content of a file: itself where it is not sealed.

    FormatError where it is sealed and the passphrase does not open it; InvalidInput where there is none.
    """
    start = file.read(len(MAGIC))
    if start != MAGIC:
        file.seek(0)
        return file
    if passphrase is None:
        raise InvalidInput("the file is sealed: give its passphrase")
    line = file.readline(HEAD_LIMIT)
    head = _checked_head(line)
    box = _Box(head, MAGIC + line, passphrase)
    reader = SealedReader(file, box, start=len(MAGIC) + len(line), chunk=head["chunk"])
    reader.check()
    return io.BufferedReader(reader, CHUNK)


def _checked_head(line: bytes) -> dict[str, Any]:
    try:
        head: dict[str, Any] = json.loads(line)
        kdf = head["kdf"]
        numbers = [kdf["n"], kdf["r"], kdf["p"], head["chunk"]]
        sound = (
            (kdf["name"], head["cipher"]) == ("scrypt", "AES-256-GCM")
            and all(type(number) is int and number > 0 for number in numbers)
            and kdf["n"] & (kdf["n"] - 1) == 0
            and 1 < kdf["n"] * kdf["r"] <= _DEAREST
            and kdf["p"] <= 4
            and 1 << 10 <= head["chunk"] <= 1 << 24
            and len(bytes.fromhex(head["nonce"])) == 7
            and 16 <= len(bytes.fromhex(kdf["salt"])) <= 64
        )
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise FormatError(f"the seal's header is damaged ({exc})") from exc
    if not sound:
        raise FormatError("the seal's header asks for what no .memcube file does: upgrade memos-suite-core")
    return head
