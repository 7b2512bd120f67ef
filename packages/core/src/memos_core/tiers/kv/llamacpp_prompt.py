"""A conversation as token ids, in the model's own template and cut where the system text's parts end.

The template is rendered with a mark in place of every text. So no text meets the template's code,
and none can become a control token: what stands between the marks is read as markup, a text never.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from memos_core.errors import InvalidInput
from memos_core.inference import Prompt, Turn
from memos_core.tiers.kv.llamacpp_server import LlamaServer

_MARK = re.compile("(MEMOSTEXT[0-9]{7}Z)")
_SYSTEM = "MEMOSTEXT0000000Z"
_FENCE = -1  # no token; stands between texts that are tokenised in one call


def encoded(server: LlamaServer, system: Sequence[str], turns: Sequence[Turn], *, bos: int | None) -> Prompt:
    """Return the ids of the conversation, ready for the model's answer.

    `bos` is the id that the model may want before everything. `cuts` is empty where the template
    puts a turn before the system text, or leaves that out: then the text goes before the first
    turn's. InvalidInput if the template refuses the turns or leaves one out.
    """
    _check(system, turns)
    texts: dict[str, tuple[str, ...]] = {_turn_mark(at): (turn.text,) for at, turn in enumerate(turns)}
    pieces = _rendered(server, turns, has_system=bool(system))
    if system and _SYSTEM not in pieces:
        if not turns:
            raise InvalidInput("this model's template has no place for a system text alone: give a turn")
        pieces = _rendered(server, turns, has_system=False)
        texts[_turn_mark(0)] = (*system, "\n\n", turns[0].text)
    else:
        texts[_SYSTEM] = tuple(system)
    marks = pieces[1::2]
    _check_marks(marks, turns)
    markups = _tokenised(server, pieces[0::2], markup=True)
    words = iter(_tokenised(server, list(chain.from_iterable(texts[mark] for mark in marks)), markup=False))
    ids, cuts = _opened(server, markups[0], bos), []
    for mark, markup in zip(marks, markups[1:], strict=True):
        for _ in texts[mark]:
            ids += next(words)
            if mark == _SYSTEM and marks[0] == _SYSTEM:
                cuts.append(len(ids))
        ids += markup
    return Prompt(ids=tuple(ids), cuts=tuple(cuts))


def _check(system: Sequence[str], turns: Sequence[Turn]) -> None:
    for text in (*system, *(turn.text for turn in turns)):
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput(f"a text has half a surrogate pair and is no Unicode: {exc}") from exc


def _turn_mark(at: int) -> str:
    return f"MEMOSTEXT{at + 1:07d}Z"


def _rendered(server: LlamaServer, turns: Sequence[Turn], *, has_system: bool) -> list[str]:
    """Return markup, mark, markup, mark ... markup."""
    messages = [{"role": "system", "content": _SYSTEM}] if has_system else []
    messages += [{"role": turn.role, "content": _turn_mark(at)} for at, turn in enumerate(turns)]
    return _MARK.split(server.templated(messages))


def _check_marks(marks: Sequence[str], turns: Sequence[Turn]) -> None:
    shown = [mark for mark in marks if mark != _SYSTEM]
    if len(marks) - len(shown) > 1:
        raise InvalidInput("this model's template repeats the system text: use another model or template")
    for at, turn in enumerate(turns):
        if shown.count(_turn_mark(at)) != 1:
            raise InvalidInput(
                f"this model's template does not show turn {at} once: give it another role than {turn.role!r}"
            )
    if shown != sorted(shown):
        raise InvalidInput("this model's template puts the turns into another order: use another model")


def _tokenised(server: LlamaServer, texts: Sequence[str], *, markup: bool) -> list[list[int]]:
    """Return the ids of each text, from one call."""
    if not texts:
        return []
    content: list[str | int] = list(chain.from_iterable((text, _FENCE) for text in texts))
    found: list[list[int]] = [[]]
    for each in server.tokens(content, markup=markup):
        if each == _FENCE:
            found.append([])
        else:
            found[-1].append(each)
    return found[:-1]


def _opened(server: LlamaServer, first: list[int], bos: int | None) -> list[int]:
    """Return the first markup's ids, after the beginning that the model wants and it may lack."""
    wanted = (
        [] if bos is None else [each for each in server.tokens("", markup=True, begin=True) if each == bos]
    )
    return first if first[:1] == wanted else [*wanted, *first]
