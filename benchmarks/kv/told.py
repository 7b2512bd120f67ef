"""Cubes filled with the demo's talk until they take so many tokens of a prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from memos_core import MemCube, Message, demo
from memos_core.briefing import briefed
from memos_core.inference import AnyEngine, Prompt, Turn

BUDGET = 1_000_000  # estimated tokens: the whole cube stands in every prompt
_QUESTION = (
    "Which room does Ysolde sleep in, and what should not be in her cider when she comes down from it in the"
)
_WORDS = "evening of a rainy day with her maps under her arm and her boots in her hand".split()


def prompt_of(engine: AnyEngine, cube: MemCube, question: str) -> Prompt:
    """Return the prompt that the Runtime would make of the whole cube and this question."""
    plan = briefed(cube, "", None, stable=None, recall=0, budget=BUDGET)
    return engine.encode(plan.texts, [Turn("user", question)])


def filled(engine: AnyEngine, cube: MemCube, *, tokens: int, question: str) -> Prompt:
    """Have the cube remember the talk, over and over, until its prefix takes `tokens` tokens at least."""
    talk = _talk()
    prompt = prompt_of(engine, cube, question)
    while not prompt.cuts or prompt.cuts[-1] < tokens:
        lacking = tokens - (prompt.cuts[-1] if prompt.cuts else 0)
        for _ in range(1 + lacking // 100):  # a line takes fewer tokens than that
            session, message = next(talk)
            cube.ingest([message], session=session)
        prompt = prompt_of(engine, cube, question)
    return prompt


def prompted(engine: AnyEngine, cube: MemCube, *, tokens: int, query: int) -> str:
    """Fill the cube likewise; return a question that takes `query` tokens, or as near as whole words come."""
    filled(engine, cube, tokens=tokens, question=_QUESTION)
    words = [*_QUESTION.split(), *_WORDS]
    lengths = []
    for number in range(1, len(words) + 1):
        prompt = prompt_of(engine, cube, " ".join(words[:number]))
        lengths.append(abs(len(prompt.ids) - prompt.cuts[-1] - query))
    return " ".join(words[: 1 + lengths.index(min(lengths))])


def _talk() -> Iterator[tuple[str, Message]]:
    """Yield the talk's lines without end, each time as sessions of their own."""
    text = Path(demo.__file__).with_name("innkeeper.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    for time in count(1):
        for line in lines:
            yield f"{line['session']}-{time}", Message(line["speaker"], line["text"])
