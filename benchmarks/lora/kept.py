"""A record that is written row by row, so that a run which is killed goes on with the next row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Kept:
    """The rows of a run in a JSON file. SystemExit where the file has rows of other settings.

    `note` tells what else the machine did; it goes into every row that is made.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], sections: Sequence[str], *, note: str = ""
    ) -> None:
        self._path, self._note = path, note
        self.record: dict[str, Any] = {**settings, **{name: [] for name in sections}}
        if not path.exists():
            return
        found = json.loads(path.read_text())
        plain = json.loads(json.dumps(dict(settings)))
        if other := [name for name, value in plain.items() if found.get(name) != value]:
            raise SystemExit(f"{path} has rows of other settings ({', '.join(other)}): give another --out")
        self.record |= {name: found.get(name, []) for name in sections}

    def row(self, section: str, key: Mapping[str, Any], made: Callable[[], Row]) -> Row:
        """Return the row with this key: the one that is there, or one made and written now."""
        for row in self.record[section]:
            if all(row.get(name) == value for name, value in key.items()):
                known: Row = row
                return known
        row = {**key, **made(), "note": self._note}
        self.record[section].append(row)
        self.write()
        print(json.dumps(row), flush=True)
        return row

    def write(self) -> None:
        """Write what there is, in the place of what was there."""
        self.record["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps(self.record, indent=1) + "\n")
        beside.replace(self._path)
