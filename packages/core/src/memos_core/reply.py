"""What a runtime is asked and what it answers. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memos_core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen. A `temperature` of 0 is greedy; then the rest has no effect.

    `top_p` keeps the likeliest tokens up to that probability (0 to 1), `top_k` so many of them (0:
    all). Equal `seed`s give equal texts on one machine. `stop` ends the text before any of these.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidInput(f"max_tokens must be at least 1, not {self.max_tokens!r}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InvalidInput(f"temperature must be 0 or more, not {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise InvalidInput(f"top_p must be over 0 and at most 1, not {self.top_p!r}")
        if self.top_k < 0:
            raise InvalidInput(f"top_k must be 0 or more, not {self.top_k!r}")
        if type(self.stop) is not tuple or not all(self.stop):
            raise InvalidInput(f"stop must be a tuple of texts that are not empty, not {self.stop!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """What a reply did not have to compute. `why_not` says why nothing was reused, "" where something was."""

    tokens: int  # of the prompt, attached from stored segments
    segments: int
    built: int  # segments that this reply stored for the next
    saved: float  # seconds that computing the attached segments took when they were built
    level: str = ""  # the slowest place that they came from: "device", "host", "disk", "server"
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The part of a cube's prompts that is always the same: its tokens, and how many of them are stored."""

    tokens: int
    stored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model said. `finish` is "stop", or "length" where `max_tokens` ended it."""

    text: str
    finish: str
    tokens: int  # generated
    prompt_tokens: int
    memories: tuple[str, ...]  # ids of the memories that stood in the prompt
    reuse: Reuse
    first_token: float  # seconds from the call to the first token
    took: float  # seconds in all
    adapter: str = ""  # the key of the adapter that answered, several with "+" between, "" where none did
    no_adapter: str = ""  # why none did although one was asked for
