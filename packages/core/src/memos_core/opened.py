"""How a store was opened, as a value, and which stores this process has open: equal settings meet again.

A framework writes an agent down and reads it back, in this process or another. What it can write down
is `Settings`; what it gets back is the store that is open already, or the store opened again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, WeakValueDictionary

from memos_core.core import Core
from memos_core.errors import InvalidInput, NotFound
from memos_core.redaction import OFF, Mode, Redaction, checked_redaction
from memos_core.vault.catalog import utc_now
from memos_core.vault.engine import holds_password

RESIDENT_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a store is opened, in JSON's own types: `dataclasses.asdict` and `Settings(**...)` round trip.

    The arguments are those of `MemOS.open`; `redaction` is a word. Nothing secret is in it.
    """

    folder: str
    catalog: str | None = None
    embedder: str | None = None
    index: str | None = None
    jobs: str | None = None
    resident_bytes: int = RESIDENT_BYTES
    redaction: str = Mode.OFF.value


@dataclass(eq=False, slots=True)
class Lease:
    """A share in a store that `connected` opened. The store closes with the last one."""

    core: Core
    is_given_back: bool = False

    def give_back(self) -> None:
        """Do without the store. Twice is no error."""
        with _CHOOSING:
            if self.is_given_back:
                return
            self.is_given_back = True
            if self.core not in _SHARES:
                return
            _SHARES[self.core] -= 1
            if not _SHARES[self.core]:
                del _SHARES[self.core]
                self.core.close()  # before somebody else may look for it


_CHOOSING = threading.RLock()
_OPEN: WeakValueDictionary[Path, Core] = WeakValueDictionary()
_SHARES: WeakKeyDictionary[Core, int] = (
    WeakKeyDictionary()
)  # cores that nobody owns; those of `open` are owned


def remembered(core: Core) -> Core:
    """Remember that this process has a folder open; return its core."""
    with _CHOOSING:
        _OPEN[core.folder.resolve()] = core
    return core


def found(folder: Path) -> Core:
    """Return what this process has open in the folder, however it was opened; NotFound where nothing is."""
    core = _OPEN.get(folder.resolve())
    if core is None or core.is_closed:
        raise NotFound("open store in", str(folder))
    return core


def connected(settings: Settings) -> Lease:
    """Return a share in the store with these settings: the one that is open here, else opened now.

    Raises InvalidInput where this process has the folder open with other settings, and what opening raises.
    """
    with _CHOOSING:
        core = _OPEN.get(Path(settings.folder).resolve())
        if core is None or core.is_closed:
            core = remembered(_opened(settings))
            _SHARES[core] = 0
        elif (present := settings_of(core)) != settings:
            raise InvalidInput(
                f"this process has the store open with other settings: {present} instead of {settings}; "
                f"open it once, and share it"
            )
        if core in _SHARES:
            _SHARES[core] += 1
        return Lease(core)


def settings_of(core: Core) -> Settings:
    """Return how a store was opened; InvalidInput if with something that cannot be written down."""
    given = core.given
    alive = [
        name
        for name, is_alive in (
            ("embedder", not (given.embedder is None or isinstance(given.embedder, str))),
            ("index", not (given.index is None or isinstance(given.index, str))),
            ("extractor", core.extraction.extractor is not None),
            ("clock", given.clock is not utc_now),
            ("redaction", core.redaction not in _WORDS.values()),
        )
        if is_alive
    ]
    if alive:
        raise InvalidInput(
            f"this store was opened with a live {' and '.join(alive)}, which cannot be written down: "
            f"open it with names only"
        )
    if given.index is not None and urlsplit(str(given.index)).password:
        raise InvalidInput("the index's URI holds a password, which must not be written down")
    if given.catalog is not None and holds_password(given.catalog):
        raise InvalidInput(
            "the catalog's URL holds a password, which must not be written down: put it into ~/.pgpass"
        )
    return Settings(
        folder=str(core.folder.resolve()),
        catalog=given.catalog,
        embedder=None if given.embedder is None else str(given.embedder),
        index=None if given.index is None else str(given.index),
        jobs=given.jobs,
        resident_bytes=core.residents.budget,
        redaction=next(word for word, redaction in _WORDS.items() if redaction == core.redaction),
    )


_WORDS: Final[dict[str, Redaction]] = {Mode.OFF.value: OFF} | {
    mode.value: checked_redaction(mode) for mode in Mode if mode is not Mode.OFF
}


def _opened(settings: Settings) -> Core:
    return Core(
        Path(settings.folder),
        catalog=settings.catalog,
        embedder=settings.embedder,
        index=settings.index,
        jobs=settings.jobs,
        resident_bytes=settings.resident_bytes,
        redaction=checked_redaction(settings.redaction),
        clock=utc_now,
    )
