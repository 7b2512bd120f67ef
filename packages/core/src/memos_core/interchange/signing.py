"""Who made a file: Ed25519 signatures over its manifest (RFC 8032)."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memos_core.errors import BackendError, FormatError, InvalidInput, NotFound
from memos_core.interchange.manifest import hexadecimal

_HEAD = "memcube-signing-key/1 "


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs files; `public` is what others verify them with, 64 hexadecimal digits.

    Keep `secret` (32 bytes) to yourself; `save` writes it to a file that only you may read.
    """

    secret: bytes = field(repr=False)
    public: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != 32:
            raise InvalidInput("a signing key is 32 bytes: make one with SigningKey.new()")
        raw = _ed25519().Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()
        object.__setattr__(self, "public", raw.hex())

    @classmethod
    def new(cls) -> SigningKey:
        """Return a key that nobody has had before."""
        return cls(os.urandom(32))

    @classmethod
    def read(cls, path: str | Path) -> SigningKey:
        """Return the key that `save` wrote."""
        try:
            text = Path(path).read_text(encoding="ascii")
        except FileNotFoundError as exc:
            raise NotFound("file", str(path)) from exc
        except (OSError, ValueError) as exc:
            raise FormatError(f"{path} cannot be read as a signing key ({exc})") from exc
        if not text.startswith(_HEAD):
            raise FormatError(f"{path} is no signing key: make one with SigningKey.new().save(path)")
        with suppress(InvalidInput):
            return cls(bytes.fromhex(hexadecimal(text.removeprefix(_HEAD).strip())))
        raise FormatError(f"{path} is a damaged signing key: restore it from a backup")

    def save(self, path: str | Path) -> None:
        """Write the key to a new file that only you may read; InvalidInput where there is one already."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            raise InvalidInput(f"{path} exists: a key is never written over another file") from exc
        except OSError as exc:
            raise BackendError(f"{path} cannot be written ({exc.strerror}): choose another place") from exc
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{_HEAD}{self.secret.hex()}\n")

    def signature(self, data: bytes) -> bytes:
        """Return the signature of these bytes, 64 bytes."""
        made: bytes = _ed25519().Ed25519PrivateKey.from_private_bytes(self.secret).sign(data)
        return made


def verify(public: str, signature: bytes, data: bytes) -> None:
    """Raise FormatError unless whoever has the secret of `public` signed these bytes."""
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it is there: see above

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, data)
    except (InvalidSignature, ValueError) as exc:
        raise FormatError("the signature does not fit: the file was changed after it was signed") from exc


def _ed25519() -> Any:
    """Return what makes and checks signatures, or raise BackendError that names the extra."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - 30 ms, and an extra
    except ImportError as exc:
        raise missing() from exc
    return ed25519


def missing() -> BackendError:
    """Return the error for an installation without `cryptography`."""
    return BackendError(
        "signatures and passphrases need a library that is not installed: "
        "pip install 'memos-suite-core[interchange]'"
    )
