"""What an agent should know now: what is new to it, and what fits the question, under one budget."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autogen_core.memory import MemoryContent

from autogen_memos.contents import content_of
from autogen_memos.notes import line_of, quoted, tokens
from autogen_memos.scopes import Scope
from memos_core import Change, Hit, MemCube, Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Lines for a prompt, the same as contents, and how far the blackboard had come."""

    lines: tuple[str, ...] = ()
    contents: tuple[MemoryContent, ...] = ()
    upto: int = 0


def briefed(
    found: Sequence[tuple[Scope, MemCube, Hit]],
    news: Sequence[Change],
    *,
    board: str,
    reader: str,
    seen: Collection[str],
    told: str,
    most: int,
    budget: int,
    upto: int,
) -> Briefing:
    """Return the newest news within half of the budget, then at most `most` hits within what is left.

    `seen` are messages of the prompt, `told` is what its other notes say: neither is said again.
    """
    lines: list[str] = []
    contents: list[MemoryContent] = []
    shown: set[str] = set()

    def said(memory: Memory, place: str, content: MemoryContent, limit: int) -> None:
        line = line_of(memory, reader=reader, place=place)
        fits = sum(map(tokens, [*lines, line])) <= limit
        if fits and memory.id not in shown and memory.text not in seen and quoted(memory) not in told:
            lines.append(line)
            contents.append(content)
            shown.add(memory.id)

    for each in reversed(news):
        content = content_of(each.memory, cube=board, scope=Scope.TEAM)
        said(each.memory, f"new on the {Scope.TEAM.place}", content, budget // 2)
    lines.reverse()
    contents.reverse()
    end = len(lines) + most
    for scope, cube, hit in found:
        if len(lines) < end:
            said(
                hit.memory, scope.place, content_of(hit.memory, cube=cube.name, hit=hit, scope=scope), budget
            )
    return Briefing(lines=tuple(lines), contents=tuple(contents), upto=upto)
