"""Ending a text before a stop text, while it streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stops:
    """Passes text on up to the first of the stop texts; what may be the beginning of one is held back."""

    texts: tuple[str, ...]
    hit: bool = False
    _held: str = field(default="", init=False)

    def passed(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the text piece by piece, none of them empty; `hit` says whether a stop text ended it."""
        for piece in pieces:
            self._held += piece
            found = [(at + len(text), at) for text in self.texts if (at := self._held.find(text)) >= 0]
            if found:
                self.hit = True
                self._held = self._held[: min(found)[1]]  # the one that was complete first
                break
            sure = len(self._held) - self._doubtful()
            if sure:
                ready, self._held = self._held[:sure], self._held[sure:]
                yield ready
        if self._held:
            yield self._held

    def _doubtful(self) -> int:
        """Return how many characters at the end may begin a stop text."""
        return max(
            (n for text in self.texts for n in range(1, len(text)) if self._held.endswith(text[:n])),
            default=0,
        )
