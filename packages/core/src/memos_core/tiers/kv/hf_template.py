"""Conversations to ids through a chat template, and where in them the parts of the system text end.

The template is rendered with a mark in the place of each text. So what it wrote itself and what
people wrote can be told apart, whatever people wrote.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateError

from memos_core.errors import InvalidInput
from memos_core.inference import Prompt, Turn
from memos_core.tiers.kv.hf_text import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLAIN = (  # for models that were never taught to chat
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% else %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
_SYSTEM = -1  # the number of the system text's mark; turns are counted from 0
_SPACE = "\t\n\t"  # around a mark, to see whether the template leaves white space out
_MARK = re.compile(rf"({_SPACE})?qZmemos(-?\d+)textZq({_SPACE})?")
_BETWEEN = "\n\n"  # a system text and the turn that it was folded into


class _Slot(NamedTuple):
    """A place for a text, and whether white space at the text's two ends survives there."""

    number: int
    left: bool
    right: bool


class _Form(NamedTuple):
    """A conversation of marks: its messages, what the template makes of them, and that in pieces."""

    messages: list[dict[str, str]]
    rendered: str
    pieces: tuple[str | _Slot, ...]


class ChatTemplate:
    """The chat template of a tokenizer, or a plain one where it has none. Safe in several threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Texts) -> None:
        self._tokenizer = tokenizer
        self._texts = texts
        self._template: str = tokenizer.get_chat_template() if tokenizer.chat_template else _PLAIN
        self.digest = hashlib.sha256(self._template.encode()).hexdigest()

    def encode(self, system: Sequence[str], turns: Sequence[Turn]) -> Prompt:
        """Return the ids of a conversation, ready for the answer, and where the system parts end in them.

        The parts follow on from each other with nothing between them. White space at a turn's ends is
        kept or left out as the template does it. InvalidInput where the template refuses the turns.
        """
        if not turns:
            raise InvalidInput("a conversation needs at least one turn")
        if isinstance(system, str):
            raise InvalidInput("`system` are the parts of the system text, not a text")
        parts = _without_leading_space(system) if "".join(system).strip() else []
        form = self._form(turns, with_system=bool(parts))
        return self._put_together(form, parts, self._shown(form, turns))

    def _put_together(self, form: _Form, parts: Sequence[str], said: Sequence[str]) -> Prompt:
        ids: list[int] = []
        cuts: tuple[int, ...] = ()
        first = True  # whether no turn stands before the system text
        for piece in form.pieces:
            if isinstance(piece, str):
                ids += self._texts.control(piece)
            elif piece.number != _SYSTEM:
                first = False
                ids += self._texts.literal(said[piece.number])
            else:
                apart = [self._texts.literal(part) for part in parts]
                if first:
                    cuts = tuple(accumulate(map(len, apart), initial=len(ids)))[1:]
                ids += [each for part in apart for each in part]
        return Prompt(ids=tuple(ids), cuts=cuts)

    def _form(self, turns: Sequence[Turn], *, with_system: bool) -> _Form:
        messages = [{"role": turn.role, "content": _mark(number)} for number, turn in enumerate(turns)]
        if not with_system:
            return self._tried(messages)
        try:
            form = self._tried([{"role": "system", "content": _mark(_SYSTEM)}, *messages])
        except InvalidInput:  # many a template refuses the role; if it is the turns, it will say so again
            form = None
        if form is not None and any(slot.number == _SYSTEM for slot in _slots(form)):
            return form
        into = next((each for each in messages if each["role"] == "user"), messages[0])
        into["content"] = _mark(_SYSTEM) + _BETWEEN + into["content"]
        return self._tried(messages)

    def _tried(self, messages: list[dict[str, str]]) -> _Form:
        rendered = self._rendered(messages)
        return _Form(messages, rendered, tuple(_split(rendered)))

    def _shown(self, form: _Form, turns: Sequence[Turn]) -> list[str]:
        """Return each turn's text as the template shows it.

        Some leave a part out by what the text says, such as the thoughts before an earlier answer.
        """
        said = [turn.text for turn in turns]
        for slot in _slots(form):
            if slot.number != _SYSTEM:
                said[slot.number] = _spaced(said[slot.number], slot)
        expected = _filled(form.rendered, said)
        if self._with_texts(form, dict(enumerate(turns))) == expected:
            return said
        for number, turn in enumerate(turns):
            said[number] = self._one_shown(form, number, turn, otherwise=said[number])
        return said

    def _one_shown(self, form: _Form, number: int, turn: Turn, *, otherwise: str) -> str:
        """Return what stands in one turn's place if only that turn is given to the template in words."""
        place = next((found for found in _MARK.finditer(form.rendered) if int(found[2]) == number), None)
        rendered = self._with_texts(form, {number: turn})
        if place is None or rendered is None:
            return otherwise
        before, after = form.rendered[: place.start()], form.rendered[place.end() :]
        fits = len(rendered) >= len(before) + len(after)
        if not (fits and rendered.startswith(before) and rendered.endswith(after)):
            return otherwise
        return rendered[len(before) : len(rendered) - len(after)]

    def _with_texts(self, form: _Form, turns: dict[int, Turn]) -> str | None:
        """Return the form rendered with the words of some turns, None where the template refuses them."""
        words = {_mark(number): turn.text for number, turn in turns.items()}
        messages = [{**each, "content": _replaced(each["content"], words)} for each in form.messages]
        try:
            return self._rendered(messages)
        except InvalidInput:  # for what they say; they are put into their places all the same
            return None

    def _rendered(self, messages: list[dict[str, str]]) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as exc:
            roles = ", ".join(message["role"] for message in messages)
            raise InvalidInput(f"the model's chat template refuses turns of {roles}: {exc}") from exc
        return text


def _mark(number: int) -> str:
    return f"{_SPACE}qZmemos{number}textZq{_SPACE}"


def _split(rendered: str) -> Iterator[str | _Slot]:
    end = 0
    for found in _MARK.finditer(rendered):
        if found.start() > end:
            yield rendered[end : found.start()]
        yield _Slot(int(found[2]), bool(found[1]), bool(found[3]))
        end = found.end()
    if end < len(rendered):
        yield rendered[end:]


def _slots(form: _Form) -> Iterator[_Slot]:
    return (piece for piece in form.pieces if isinstance(piece, _Slot))


def _filled(rendered: str, said: Sequence[str]) -> str:
    """Return the rendered marks with the turns in their places; the system text's mark stays."""
    return _MARK.sub(lambda mark: mark[0] if int(mark[2]) == _SYSTEM else said[int(mark[2])], rendered)


def _replaced(content: str, words: dict[str, str]) -> str:
    for mark, text in words.items():
        if content.endswith(mark):
            return content[: len(content) - len(mark)] + text
    return content


def _spaced(text: str, slot: _Slot) -> str:
    text = text if slot.left else text.lstrip()
    return text if slot.right else text.rstrip()


def _without_leading_space(system: Sequence[str]) -> list[str]:
    """Return the parts without white space at the very beginning, which many templates leave out.

    That at the end stays: the next conversation may have another part after it.
    """
    parts: list[str] = []
    begun = False
    for part in system:
        parts.append(part if begun else part.lstrip())
        begun = begun or bool(parts[-1])
    return parts
