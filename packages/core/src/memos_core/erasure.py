"""The receipt of an erasure, and what a later check of it found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from memos_core.errors import BackendError, FormatError

FORMAT = "memos.erasure/1"


class Scope(StrEnum):
    """What was named to be erased."""

    MEMORY = "memory"
    WHERE = "where"
    CUBE = "cube"
    PRINCIPAL = "principal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A receipt: what was erased, when and by whom, and how many rows in each place.

    Copies that forks had are among `memories`, by the ids that they had there, and the forks that
    shared something are among `cubes`. `shared` are memories that a fork shares no more: nothing of them
    was erased, they live on in the cube that it was made from.

    `owed` tells how many deletions the vector index has not been told yet; the memories are out of
    reach meanwhile. `left` counts what only an admin of its cube may erase: frozen memories of a
    person who is none. The store keeps the receipt without `texts`; they are here so that you can
    look for them, and nowhere else unless you `save` them.
    """

    id: str
    scope: Scope
    by: str
    at: datetime
    cubes: tuple[str, ...]  # ids
    memories: tuple[str, ...]  # ids
    erased: Mapping[str, int]
    owed: int
    left: int = 0
    shared: tuple[str, ...] = ()  # ids
    texts: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def memory_id(self) -> str:
        """The first memory that was erased, or is shared no more; "" where there was none."""
        return next(iter((*self.memories, *self.shared)), "")

    @property
    def cube(self) -> str:
        """The id of the first cube that something was erased from, "" where there was none."""
        return self.cubes[0] if self.cubes else ""

    def facts(self) -> dict[str, Any]:
        """Return the receipt in JSON's types, without the texts."""
        return {
            "id": self.id,
            "scope": self.scope.value,
            "by": self.by,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "cubes": list(self.cubes),
            "memories": list(self.memories),
            "erased": dict(self.erased),
            "owed": self.owed,
            "left": self.left,
            "shared": list(self.shared),
        }

    def save(self, path: str | Path) -> None:
        """Write the receipt with the erased texts to a new file, which only you may read.

        Keep it outside the store, and delete it when the check was made. Raises BackendError if the
        file exists or cannot be written.
        """
        document = {"format": FORMAT, **self.facts(), "texts": list(self.texts)}
        data = json.dumps(document, ensure_ascii=False, indent=1).encode()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError as exc:
            raise BackendError(
                f"the receipt was not saved to {path} ({exc.strerror}): name a new file"
            ) from exc

    @classmethod
    def load(cls, path: str | Path) -> Erasure:
        """Read a receipt that was saved: BackendError if it cannot be read, FormatError if it is none."""
        try:
            data = Path(path).read_bytes()
        except OSError as exc:
            raise BackendError(f"{path} cannot be read ({exc.strerror}): name a saved receipt") from exc
        try:
            document = json.loads(data)
            if document.pop("format") != FORMAT:
                raise FormatError(f"{path} is a receipt of another format: upgrade memos-suite-core")
            return from_facts(document)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise FormatError(f"{path} is no receipt of an erasure") from exc


def from_facts(facts: Mapping[str, Any]) -> Erasure:
    """Return the receipt of which `Erasure.facts` are these; with "texts", those too."""
    return Erasure(
        id=str(facts["id"]),
        scope=Scope(facts["scope"]),
        by=str(facts["by"]),
        at=datetime.fromisoformat(facts["at"]),
        cubes=tuple(map(str, facts["cubes"])),
        memories=tuple(map(str, facts["memories"])),
        erased={str(place): int(count) for place, count in facts["erased"].items()},
        owed=int(facts["owed"]),
        left=int(facts["left"]),
        shared=tuple(map(str, facts.get("shared", ()))),
        texts=tuple(map(str, facts.get("texts", ()))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """Something of the erased that is still there: in which place, and in which form.

    `place` is a file under the store's folder, or a table of the catalog. `form` is how it is
    written there ("utf-8", "utf-16-le", "json", "terms"), "id" for a memory's id, "row" for a row.
    `offset` is in bytes, -1 where there is none.
    """

    place: str
    form: str
    offset: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureCheck:
    """What a check of an erasure found. It was looked for in `size` bytes of `files` files.

    `looked_for` counts the pieces of text that were looked for; 0 says that nobody gave the words,
    and that the check went by ids and rows alone. `shared` counts the pieces that living memories
    say as well, and `short` those too short to mean anything; neither was looked for. `owed` is what the
    vector index has not deleted yet, with the reason in `reason`.
    """

    erasure: Erasure
    at: datetime
    files: int
    size: int
    looked_for: int
    shared: int
    short: int
    owed: int
    reason: str
    residues: Sequence[Residue]

    @property
    def ok(self) -> bool:
        """Whether nothing is owed and nothing was found."""
        return not self.owed and not self.residues
