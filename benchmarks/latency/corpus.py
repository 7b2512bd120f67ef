"""Text-like talk, made from a seed: words with Zipf frequencies, sessions, speakers, dates.

The words are those of the embedder's own vocabulary, the most frequent first as it lists them, so
that a sentence of twenty words costs the embedder what a sentence of twenty words costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np

from memos_core import Message
from memos_core.tiers.text.lexical import STOP_WORDS

TURNS = 20  # in a session
_NAMES = "Ada Bruno Chiara Dmitri Elif Farid Greta Hana Igor Jonas".split()
_MONTHS = "January February March April May June July August September October November December".split()
_WORDS, _SPREAD = 20, 6  # of a message: mean, and how far it may be off
_BEGIN = datetime(2024, 1, 1, 9, tzinfo=UTC)
_ASKED = 5  # content words in a question


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation of two speakers."""

    name: str
    messages: list[Message]


class Corpus:
    """Sessions, statements and questions; equal seeds give equal texts."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._words = np.array(vocabulary())
        weights = 1.0 / (np.arange(len(self._words)) + 2.7)  # Mandelbrot's shift, as English has it
        self._rising = np.cumsum(weights) / weights.sum()

    def sessions(self, memories: int) -> list[Session]:
        """Return so many messages in sessions of `TURNS`."""
        random = np.random.default_rng([self._seed, 1])
        found: list[Session] = []
        for number, start in enumerate(range(0, memories, TURNS)):
            speakers = random.choice(_NAMES, size=2, replace=False).tolist()
            begin = _BEGIN + timedelta(hours=3 * number)
            found.append(
                Session(
                    f"session {number}",
                    [
                        Message(
                            speakers[turn % 2], self._sentence(random), at=begin + timedelta(minutes=turn)
                        )
                        for turn in range(min(TURNS, memories - start))
                    ],
                )
            )
        return found

    def statements(self, count: int, *, stream: int) -> list[str]:
        """Return sentences; another stream has other ones."""
        random = np.random.default_rng([self._seed, 2, stream])
        return [self._sentence(random) for _ in range(count)]

    def questions(self, count: int, *, stream: int) -> list[str]:
        """Return questions of five content words; half name a speaker, a quarter a month."""
        random = np.random.default_rng([self._seed, 3, stream])
        return [self._question(random) for _ in range(count)]

    def _question(self, random: np.random.Generator) -> str:
        found: list[str] = []
        while len(found) < _ASKED:
            word = str(self._words[np.searchsorted(self._rising, random.random())])
            if word not in STOP_WORDS and word not in found:
                found.append(word)
        who = random.choice(_NAMES) if random.random() < 0.5 else "they"
        when = f" in {random.choice(_MONTHS)} 2024" if random.random() < 0.25 else ""
        return f"What did {who} say about the {' '.join(found[:-1])} and {found[-1]}{when}?"

    def _sentence(self, random: np.random.Generator) -> str:
        length = int(random.integers(_WORDS - _SPREAD, _WORDS + _SPREAD + 1))
        words = self._words[np.searchsorted(self._rising, random.random(length))].tolist()
        if random.random() < 0.3:
            words[0] = "I"
        text = " ".join(words)
        return text[0].upper() + text[1:] + ("?" if random.random() < 0.15 else ".")


def vocabulary() -> list[str]:
    """Return the whole English words that MiniLM knows as one token, as its vocabulary lists them."""
    lines = (files("memos_core.embed") / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return [word for word in lines if word.isascii() and word.isalpha() and (len(word) > 1 or word in "ai")]
