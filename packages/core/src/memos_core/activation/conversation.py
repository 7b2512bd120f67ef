"""What a caller says, as a chat template takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memos_core.errors import InvalidInput
from memos_core.inference import Turn
from memos_core.memory import Message, checked_text

_ROLES = ("system", "user", "assistant", "tool")


def conversation(messages: str | Sequence[Message], *, system: str | None) -> tuple[str, list[Turn]]:
    """Return the system text ("" for none) and the turns after it.

    A message's role is its `role`, else its `speaker` where that is one of system, user, assistant
    and tool, else "user". System messages come first and are joined to `system`.
    """
    said = _said(messages)
    texts = [] if system is None else [checked_text(system, what="system")]
    turns: list[Turn] = []
    for message in said:
        role = _role(message)
        if role != "system":
            turns.append(Turn(role, message.text))
        elif turns:
            raise InvalidInput("a system message has to come before all others: say it first, or as a user")
        else:
            texts.append(message.text)
    if not turns or turns[-1].role == "assistant":
        raise InvalidInput("there is nothing to answer: the last message must not be the assistant's")
    return "\n\n".join(texts), turns


def _said(messages: object) -> list[Message]:
    if isinstance(messages, str):
        return [Message("user", messages)]
    if isinstance(messages, Iterable):
        said = list(messages)
        if all(isinstance(message, Message) for message in said):
            return said
    raise InvalidInput("messages must be a text or a sequence of Message")


def question(turns: Sequence[Turn]) -> str:
    """Return what memories are recalled for: the last thing that the user said."""
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), turns[-1].text)


def _role(message: Message) -> str:
    for name in (message.role, message.speaker):
        if name is not None and name.lower() in _ROLES:
            return name.lower()
    return "user"
