"""Models that come inside packages: found without importing them, known by their weights' hash."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from memos_core.errors import BackendError

_MIB = 1 << 20
_HASHED_WHOLE = 32 * _MIB  # 35 ms; a larger file is known by its size and its two ends


def require(module: str, *, extra: str | None) -> None:
    """Do nothing if `module` is installed; else raise BackendError that says what to install."""
    if find_spec(module) is None:
        raise BackendError(f"this embedder needs the package {module!r}: {_remedy(extra)}")


def package_file(module: str, *parts: str, extra: str | None) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises BackendError that says what to install if the package or the file is missing.
    """
    require(module, extra=extra)
    spec = find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise BackendError(f"the package {module!r} is damaged, it has no {'/'.join(parts)}: {_remedy(extra)}")


def revision(weights: Path) -> str:
    """Return 12 hexadecimal digits that change with the weights in this file.

    The start of the sha256 of the file; above 32 MiB, of its size, first and last MiB. Raises
    BackendError if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        size = weights.stat().st_size
        with weights.open("rb") as file:
            if size <= _HASHED_WHOLE:
                digest.update(file.read())
            else:
                digest.update(str(size).encode())
                digest.update(file.read(_MIB))
                file.seek(-_MIB, 2)
                digest.update(file.read())
    except OSError as exc:
        raise BackendError(f"the weights at {weights} cannot be read: {exc}") from exc
    return digest.hexdigest()[:12]


def _remedy(extra: str | None) -> str:
    if extra is None:
        return "pip install --force-reinstall memos-suite-core"
    return f"pip install 'memos-suite-core[{extra}]'"
