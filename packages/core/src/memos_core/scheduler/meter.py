"""What is measured: which machine this is, what an answer made use of, what a tier costs here."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from memos_core.scheduler.stats import Cost, Tier
from memos_core.tiers.text.lexical import terms

ECHO: Final = 0.5
"""Share of a memory's own words that an answer has to repeat to have made use of it."""


@cache
def machine_id() -> str:
    """Return a digest of the kind of machine this is, 16 hexadecimal digits: no name, no address.

    Machines with the same processor and as many cores have the same, and share measured costs.
    """
    facts = [platform.system(), platform.machine(), _processor(), os.cpu_count()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def echoed(text: str, answer: str, *, asked: str = "") -> bool:
    """Return whether an answer says what a memory says.

    That is where it repeats half of the words that the memory has and the question has not. It is a
    guess from words: an answer in others is missed.
    """
    own = set(terms(text)) - set(terms(asked))
    return bool(own) and len(own & set(terms(answer))) >= ECHO * len(own)


def of_segments(model: str, *, tokens: int, seconds: float, size: int, read: float, at: float) -> Cost | None:
    """Return what stored states cost, as they were made in use; None where none were."""
    if tokens <= 0:
        return None
    return Cost(
        tier=Tier.KV,
        model=model,
        unit="token",
        write=seconds / tokens,
        read=read,
        size=size / tokens,
        samples=float(tokens),
        at=at,
    )


def of_loads(model: str, *, keys: int, seconds: float, size: int, at: float) -> Cost | None:
    """Return what keys in RAM cost, as cubes became resident; None where none did."""
    if keys <= 0:
        return None
    return Cost(
        tier=Tier.RESIDENT,
        model=model,
        unit="memory",
        write=seconds / keys,
        read=0.0,
        size=size / keys,
        samples=float(keys),
        at=at,
    )


SAMPLE: Final[Sequence[str]] = tuple(
    f"On the {day}. of May the ferry left at {hour} o'clock with {day * 3} people and a crate of {what}."
    for day, hour, what in zip(
        range(1, 25),
        (7, 9, 12, 18) * 6,
        ("oranges", "letters", "salt", "books", "wine", "rope") * 4,
        strict=True,
    )
)
"""Texts to calibrate with: some 500 tokens."""
