"""What a `.memcube` file says about itself: values, and their one form in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from memos_core.errors import FormatError, InvalidInput
from memos_core.memory import checked_name, checked_tags, checked_time, checked_within

FORMAT: Final = "memcube/1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MANIFEST_LIMIT: Final = 64 << 20  # bytes
KINDS: Final = ("memories", "versions", "sources", "links", "records")
"""The JSON Lines, in the order in which they are read; each is one part, `KIND.jsonl`."""

_HEX = re.compile("[0-9a-f]{64}")
_PATH = re.compile(r"[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]*(?:/[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file inside: where, what, how long, and the SHA-256 of its bytes. `facts` are its kind's own."""

    path: str
    kind: str
    size: int
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a file may be used: a licence (an SPDX identifier or words), by whom, and what else is asked.

    `audience` names the principals that may load it; empty is anybody who has the file. Whoever has
    the file has its text: only a passphrase keeps others from reading it.
    """

    licence: str | None = None
    audience: tuple[str, ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        for name in ("licence", "note"):
            if getattr(self, name) is not None:
                checked_name(getattr(self, name), what=name)
        object.__setattr__(self, "audience", checked_tags(self.audience, what="principal"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a file says about itself. `digest` is the SHA-256 of these bytes, in hexadecimal.

    `embedder` is what made its vectors, None where it has none. `version` counts the publications
    of a cube, None for a file that was only dumped. `signer` is the public key of whoever signed.
    """

    name: str
    cube: str  # the cube's id
    owner: str
    made_at: datetime
    made_by: str
    embedder: str | None
    dimensions: int | None
    counts: Mapping[str, int]
    parts: Sequence[Part]
    terms: Terms = field(default_factory=Terms)
    version: int | None = None
    signer: str | None = None
    digest: str = ""

    def part(self, kind: str) -> Part:
        """Return the one part of this kind."""
        found = [part for part in self.parts if part.kind == kind]
        if len(found) != 1:
            raise FormatError(f"the manifest names {len(found)} parts of the kind {kind!r}, not one")
        return found[0]

    @property
    def size(self) -> int:
        """Bytes of all parts, unpacked."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a file may unpack to: bytes in all, and times its own size once it is over `free` bytes."""

    size: int = 16 << 30
    ratio: int = 200
    free: int = 64 << 20

    def __post_init__(self) -> None:
        for name in ("size", "ratio", "free"):
            checked_within(getattr(self, name), 0, 1 << 62, what=name)


NO_TERMS: Final = Terms()
USUAL_BOUNDS: Final = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What a dump wrote: the file, its size in bytes, and its manifest."""

    path: Path
    size: int
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load did to which cube: how many of each, with KV segments and adapters; and the manifest.

    `same` were there already as they are, `skipped` gave way to what was there, `replaced` took its
    place. `expired` are those whose time was over, `forgotten` those that this store erased: both
    stay out. `withdrawn` went with an update. `embedded` got their vectors here. `renamed` tells the
    ids that could not be kept.
    """

    cube: str  # the cube's name
    cube_id: str
    owner: str
    added: int
    replaced: int
    same: int
    skipped: int
    expired: int
    forgotten: int
    withdrawn: int
    embedded: int
    links: int
    records: int
    segments: int
    adapters: int
    renamed: Mapping[str, str]
    manifest: Manifest


def to_bytes(manifest: Manifest) -> bytes:
    """Return the manifest as it stands in a file; equal manifests give equal bytes."""
    terms = {name: value for name, value in asdict(manifest.terms).items() if value}
    document = {
        "format": FORMAT,
        "made_at": manifest.made_at.isoformat(),
        "made_by": manifest.made_by,
        "cube": {"id": manifest.cube, "name": manifest.name, "owner": manifest.owner},
        "embedder": None
        if manifest.embedder is None
        else {"identity": manifest.embedder, "dimensions": manifest.dimensions},
        "terms": terms,
        "version": manifest.version,
        "signer": manifest.signer,
        "counts": dict(manifest.counts),
        "parts": [_part_document(part) for part in manifest.parts],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _part_document(part: Part) -> dict[str, Any]:
    plain = {"path": part.path, "kind": part.kind, "size": part.size, "sha256": part.sha256}
    return plain | ({"facts": dict(part.facts)} if part.facts else {})


def from_bytes(data: bytes, *, digest: str) -> Manifest:
    """Read a manifest; FormatError where it is none, of another version, or impossible."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else None
            raise FormatError(
                f"this file is {found!r}, not {FORMAT!r}: read it with the version of memos-suite-core "
                f"that wrote it, or upgrade this one"
            )
        cube, embedder = document["cube"], document["embedder"]
        manifest = Manifest(
            name=checked_name(cube["name"], what="cube name"),
            cube=checked_name(cube["id"], what="cube id"),
            owner=checked_name(cube["owner"], what="owner"),
            made_at=moment(document["made_at"]),
            made_by=checked_name(document["made_by"], what="made_by"),
            embedder=None if embedder is None else checked_name(embedder["identity"], what="embedder"),
            dimensions=None
            if embedder is None
            else checked_within(embedder["dimensions"], 1, 1 << 20, what="dimensions"),
            counts={str(name): _number(count) for name, count in document["counts"].items()},
            parts=[_part(each) for each in document["parts"]],
            terms=_terms(document.get("terms") or {}),
            version=None if document.get("version") is None else _number(document["version"]),
            signer=None if document.get("signer") is None else hexadecimal(document["signer"]),
            digest=digest,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as exc:
        raise FormatError(f"the manifest is damaged ({exc}): get the file again") from exc
    _check_parts(manifest.parts)
    return manifest


def _terms(document: Mapping[str, Any]) -> Terms:
    return Terms(
        licence=document.get("licence"),
        audience=tuple(document.get("audience", ())),
        note=document.get("note"),
    )


def _part(document: Mapping[str, Any]) -> Part:
    path = document["path"]
    if not isinstance(path, str) or len(path) > 512 or not _PATH.fullmatch(path):
        raise FormatError(f"the manifest names a part {path!r}, which is no path that a part may have")
    facts = document.get("facts", {})
    if not isinstance(facts, dict):
        raise FormatError(f"the part {path!r} has facts that are no object")
    return Part(
        path=path,
        kind=checked_name(document["kind"], what="kind"),
        size=_number(document["size"]),
        sha256=hexadecimal(document["sha256"]),
        facts=facts,
    )


def _check_parts(parts: Sequence[Part]) -> None:
    paths = [part.path for part in parts]
    if len({path.casefold() for path in paths}) != len(paths):
        raise FormatError("the manifest names a part twice")
    if {MANIFEST, SIGNATURE} & set(paths):
        raise FormatError("the manifest names itself among its parts")


def _number(value: object) -> int:
    return checked_within(value, 0, 1 << 62, what="a number")


def hexadecimal(value: object) -> str:
    """Return 64 lower-case hexadecimal digits, or raise InvalidInput."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise InvalidInput(f"{value!r} is not 64 lower-case hexadecimal digits")
    return value


def moment(text: object) -> datetime:
    """Return a time in ISO 8601 that names its zone, or raise InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(f"{text!r} is no ISO 8601 time")
    try:
        read = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(f"{text!r} is no ISO 8601 time") from exc
    return checked_time(read, what="time") or read
