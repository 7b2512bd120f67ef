"""Archives taken apart and put together again, honestly or not."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Parts = dict[str, bytes]


def unpacked(path: Path) -> Parts:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(path: Path, parts: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return path


def retold(parts: Mapping[str, bytes]) -> Parts:
    """Return the parts with a manifest that names their true sizes and digests again."""
    manifest = json.loads(parts["manifest.json"])
    for part in manifest["parts"]:
        data = parts[part["path"]]
        part |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**parts, "manifest.json": json.dumps(manifest).encode()}


def with_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change what a file says about itself, and nothing else."""
    parts = unpacked(path)
    manifest = json.loads(parts["manifest.json"])
    change(manifest)
    return packed(path, {**parts, "manifest.json": json.dumps(manifest).encode()})


def with_lines(path: Path, part: str, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Change the lines of a part, and let the manifest say that it was always so."""
    parts = unpacked(path)
    rows = [json.loads(line) for line in parts[part].splitlines()]
    change(rows)
    parts[part] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return packed(path, retold(parts))
