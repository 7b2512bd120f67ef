"""The messages of one session, for RunnableWithMessageHistory. Legacy."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from langchain_memos.turns import said
from langchain_memos.whose import DEFAULT_CUBE
from memos_core import Entry, MemCube, MemOS, Where

_PLACE, _MESSAGE = "place", "message"  # of a message: among those added with it, and itself


def _now() -> datetime:
    return datetime.now(UTC)


class MemOSChatMessageHistory(BaseChatMessageHistory):
    """The messages of one user's session, exactly as they were, over restarts.

    Legacy: a checkpointer keeps a thread's messages, `MemOSMiddleware` what is remembered of them.

    Messages come back whole, with what they call and carry, in the order in which they were added; one
    added again under its id takes its place. What human and model said is also kept in the user's `cube`
    as turns, where every other session can recall it. `clear` erases both.
    """

    def __init__(
        self,
        memos: MemOS,
        *,
        user: str,
        session: str,
        cube: str = DEFAULT_CUBE,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._memos, self._cube, self._clock = memos.as_principal(user), cube, clock
        self.user, self.session = user, session

    def _turns(self) -> MemCube:
        return self._memos.cube(self._cube)

    def _whole(self) -> MemCube:
        """Return the cube that holds the messages themselves, of this session alone."""
        return self._memos.cube(f"{self._cube}/history/{self.session}")

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override] # as in every history of theirs
        """The session's messages, first added first."""
        kept = list(self._whole().records.list())[::-1]
        kept.sort(key=lambda record: (record.created_at, record.data[_PLACE]))
        return messages_from_dict([record.data[_MESSAGE] for record in kept])

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages; one without an id gets one. If one is over a MiB, InvalidInput: none is kept."""
        named = [
            each if each.id else each.model_copy(update={"id": f"memos-{uuid.uuid4().hex}"})
            for each in messages
        ]
        whole = self._whole().records
        before = whole.get([str(each.id) for each in named])  # a record keeps the time it was first put at
        entries = []
        for number, each in enumerate(named):
            known = before.get(str(each.id))
            place = number if known is None else known.data[_PLACE]
            entries.append(Entry(key=str(each.id), data={_PLACE: place, _MESSAGE: message_to_dict(each)}))
        turns = said(named, user=self.user, at=self._clock())
        if turns:
            self._turns().ingest(turns, session=self.session)
        whole.put(entries)

    def clear(self) -> None:
        """Erase the session: its messages, their turns, what was extracted from nothing else.

        Raises IllegalTransition, and erases nothing, where one of them is frozen.
        """
        self._turns().forget(where=Where(sessions=(self.session,)), extracted=True)
        whole = self._whole().records
        whole.put([], drop=[record.key for record in whole.list()])

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the session's messages, read in a thread."""
        return await asyncio.to_thread(lambda: self.messages)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages, in a thread."""
        await asyncio.to_thread(self.add_messages, messages)

    async def aclear(self) -> None:
        """Erase the session, in a thread."""
        await asyncio.to_thread(self.clear)
