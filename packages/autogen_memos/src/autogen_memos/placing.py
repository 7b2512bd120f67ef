"""Where a memory's message stands in a model context: in one place, once, and where the model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import LLMMessage, SystemMessage, UserMessage
from pydantic import TypeAdapter

from autogen_memos.notes import Mark

_MESSAGES: TypeAdapter[list[LLMMessage]] = TypeAdapter(list[LLMMessage])


async def placed(context: ChatCompletionContext, mark: Mark, note: LLMMessage | None) -> bool:
    """Put the note in place of the memory's former one, and return whether the model will see it.

    A note in the user's role stands before what the user said last; one in the system's role stands
    at the front of what the model sees, so that system messages stay together. Where a context's
    view has no room for the note beside the last message, it is left out.
    """
    state = await context.save_state()
    held = _MESSAGES.validate_python(state["messages"])
    kept = [message for message in held if not mark.is_on(message)]
    if len(kept) < len(held) and not isinstance(note, UserMessage):
        await _load(context, state, kept)
    if note is None:
        return False
    for place in await _places(context, kept, note):
        await _load(context, state, [*kept[:place], note, *kept[place:]])
        if _is_seen(await context.get_messages(), note, last=kept[-1]):
            return True
    await _load(context, state, kept)
    return False


async def _load(
    context: ChatCompletionContext, state: Mapping[str, Any], messages: Sequence[LLMMessage]
) -> None:
    await context.load_state({**state, "messages": list(messages)})


async def _places(context: ChatCompletionContext, kept: Sequence[LLMMessage], note: LLMMessage) -> list[int]:
    """Return where the note may stand, the best place first; none in an empty context."""
    if not kept:
        return []
    if not isinstance(note, SystemMessage):
        asked = (at for at in reversed(range(len(kept))) if isinstance(kept[at], UserMessage))
        return [next(asked, len(kept) - 1)]
    front = next((at for at, each in enumerate(kept) if not isinstance(each, SystemMessage)), len(kept))
    start = len(kept) - len(await context.get_messages())  # a buffer shows the end only
    return list(dict.fromkeys([front, *(max(front, start + step) for step in range(3))]))


def _is_seen(view: Sequence[LLMMessage], note: LLMMessage, *, last: LLMMessage) -> bool:
    if not view or view[-1] != last:
        return False
    place = next((at for at, each in enumerate(view) if each is note), None)  # comparing values costs more
    if place is None:
        place = next((at for at, each in enumerate(view) if each == note), None)
    if place is None or not isinstance(note, SystemMessage):
        return place is not None
    return all(isinstance(each, SystemMessage) for each in view[:place])
