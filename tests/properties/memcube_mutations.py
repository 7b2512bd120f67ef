"""Files that were once sound: changed in their bytes, their parts, their lines, or in what they claim."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Parts = dict[str, bytes]

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308),
    *("", " ", "\0", "a" * 1025, "../../x", "/etc/passwd", "\ud83d", "é"),
    *("2024-05-01T12:00:00+00:00", "0001-01-01T00:00:00+14:00", "2024-05-01"),
    "9999-12-31T23:59:59.999999-14:00",
    *([], [[]], {}, {"a": {}}, ["a", "a"]),
    *("expired", "frozen", "public", "message", "record", "supersedes", "f" * 64),
)
NAMES = (
    "../outside",
    "/outside",
    "a/../b",
    "a\\b",
    "con",
    ".hidden",
    "a//b",
    "manifest.json",
    "x" * 600,
    "ü",
    "kv/x",
)


_NOT_A_FILE_ANY_MORE = (
    *(zipfile.BadZipFile, zlib.error, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(NotImplementedError, OSError, EOFError, RuntimeError),
)


def unzipped(data: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: Parts, method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def mutated(sound: bytes, draw: random.Random) -> bytes:
    """Return a file that was changed in one of many ways, or in two."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [
        of_bytes,
        of_parts,
        of_lines,
        of_lines,
        of_manifest,
    ]
    for _ in range(draw.choice((1, 1, 1, 2))):
        try:
            sound = draw.choice(ways)(sound, draw)
        except _NOT_A_FILE_ANY_MORE:
            return of_bytes(sound, draw)  # it is no zip any more
    return sound


def of_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flip, cut, double, insert or overwrite some bytes."""
    if not data:
        return bytes(draw.randrange(256) for _ in range(draw.randrange(64)))
    at, other = sorted((draw.randrange(len(data)), draw.randrange(len(data))))
    match draw.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[at:]
        case 2:
            return data[:at] + data[other:]
        case 3:
            return data[:other] + data[at:]
        case 4:
            return data[:at] + draw.randbytes(draw.randrange(1, 9)) + data[at:]
        case 5:
            return data[:at] + draw.choice((b"\0", b"\xff")) * draw.randrange(1, 17) + data[at + 8 :]
        case _:
            changed = bytearray(data)
            for _ in range(draw.randrange(1, 6)):
                changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            return bytes(changed)


def of_parts(data: bytes, draw: random.Random) -> bytes:
    """Drop, rename, swap, add or empty a part; the manifest may be told of it."""
    parts = unzipped(data)
    name = draw.choice(list(parts))
    match draw.randrange(6):
        case 0:
            del parts[name]
        case 1:
            parts[draw.choice(NAMES)] = parts.pop(name)
        case 2:
            other = draw.choice(list(parts))
            parts[name], parts[other] = parts[other], parts[name]
        case 3:
            parts[draw.choice(NAMES)] = draw.randbytes(20)
        case 4:
            parts[name] = b""
        case _:
            parts[name] = of_bytes(parts[name], draw)
    return zipped(told(parts, draw), draw.choice((0, 8, 8, 12)))


def of_lines(data: bytes, draw: random.Random) -> bytes:
    """Change a field of a line, or the order and number of lines; then tell the manifest."""
    parts = unzipped(data)
    name = draw.choice([each for each in parts if each.endswith(".jsonl")])
    rows = [json.loads(line) for line in parts[name].splitlines()]
    for _ in range(draw.choice((1, 1, 2))):
        if not rows:
            rows.append({"id": "x"})
        row = draw.choice(rows)
        match draw.randrange(5):
            case 0:
                rows.remove(row)
            case 1:
                rows.insert(draw.randrange(len(rows) + 1), json.loads(json.dumps(row)))
            case 2:
                draw.shuffle(rows)
            case _:
                nasty(row, draw)
    parts[name] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return zipped(told(parts, draw, always=True))


def of_manifest(data: bytes, draw: random.Random) -> bytes:
    """Change what the file says about itself."""
    parts = unzipped(data)
    manifest = json.loads(parts["manifest.json"])
    nasty(manifest, draw)
    parts["manifest.json"] = json.dumps(manifest).encode()
    return zipped(parts)


def nasty(document: Any, draw: random.Random) -> None:
    """Put something nasty somewhere into a JSON document, or leave something out."""
    while isinstance(document, dict | list) and document:
        places = list(document) if isinstance(document, dict) else list(range(len(document)))
        place = draw.choice(places)
        if not isinstance(document[place], dict | list) or not document[place] or draw.random() < 0.3:
            if draw.random() < 0.2:
                del document[place]
            else:
                document[place] = draw.choice(NASTY)
            return
        document = document[place]


def told(parts: Parts, draw: random.Random, *, always: bool = False) -> Parts:
    """Let the manifest name the parts as they are now, so that what is wrong lies deeper."""
    if "manifest.json" not in parts or not (always or draw.random() < 0.6):
        return parts
    manifest = json.loads(parts["manifest.json"])
    for part in manifest["parts"]:
        data = parts.get(part["path"])
        if data is not None:
            part |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            if part["path"].endswith(".jsonl") and draw.random() < 0.9:
                manifest["counts"][part["kind"]] = data.count(b"\n")
    named = {part["path"] for part in manifest["parts"]}
    for name, data in parts.items():
        if name not in named and name not in ("manifest.json", "manifest.sig"):
            digest = hashlib.sha256(data).hexdigest()
            manifest["parts"].append({"path": name, "kind": "other", "size": len(data), "sha256": digest})
    return {**parts, "manifest.json": json.dumps(manifest).encode()}
