"""A chat store for LlamaIndex's `Memory`: every session's messages, kept over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from llamaindex_memos.home import CUBE, Home, HomeField
from llamaindex_memos.kept import Kept, entries_of, kept_of
from memos_core import InvalidInput, MemOS, NotFound, Principal, Records

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED
BESIDE = ".chat"
"""What follows a cube's name in the name of the cubes that hold its sessions."""


class MemOSChatStore(AsyncDBChatStore):
    """Keeps the messages of each session as records in a cube of the user's own.

    ::

        memory = Memory.from_defaults(session_id="s1", chat_store=MemOSChatStore(memos, user="mira"))

    Every message that is returned is a copy: nothing that a host does to it reaches the store. Each
    verb is one transaction. Messages of any size are kept whole, with their images and tool results;
    the order is that in which they came, and archiving does not change it. A session belongs to its
    user: under the same id, two users have two. A session's cube is named "memory.chat/<session>".
    """

    home: HomeField

    def __init__(
        self,
        memos: MemOS | None = None,
        *,
        user: Principal | str | None = None,
        cube: str = CUBE,
        **fields: Any,
    ) -> None:
        if "home" not in fields:
            fields["home"] = Home(memos, cube=f"{cube}{BESIDE}", user=user)
        super().__init__(**fields)

    @classmethod
    def class_name(cls) -> str:
        """The name under which this class is written."""
        return "MemOSChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return a session's messages in this state, oldest first; with None in any."""
        return await asyncio.to_thread(self._messages, key, status, limit, offset)

    async def count_messages(self, key: str, status: MessageStatus | None = ACTIVE) -> int:
        """Return how many messages a session has in this state; with None in any."""
        return len((await asyncio.to_thread(self._kept, key, status))[0])

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = ACTIVE) -> None:
        """Add a message to a session."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = ACTIVE
    ) -> None:
        """Add messages to a session, all of them or none."""
        await asyncio.to_thread(self._add, key, list(messages), status)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = ACTIVE
    ) -> None:
        """Replace everything in a session by these messages, all of them or none."""
        await asyncio.to_thread(self._set, key, list(messages), status)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at this place of a session, from 0, archived ones counted; return it."""
        return await asyncio.to_thread(self._delete_at, key, idx)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete a session's messages in this state; with None all."""
        await asyncio.to_thread(self._delete, key, status, None)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest `n` active messages; return them."""
        return await asyncio.to_thread(self._delete, key, ACTIVE, max(n, 0))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest `n` active messages; return them."""
        return await asyncio.to_thread(self._archive, key, max(n, 0))

    async def get_keys(self) -> list[str]:
        """Return the sessions in which there are messages, the oldest first."""
        return await asyncio.to_thread(self._sessions)

    # --- the same, blocking ------------------------------------------------------------------

    def _name(self, key: str) -> str:
        if not isinstance(key, str) or not key:
            raise InvalidInput(f"a session's key must be a str that is not empty, not {key!r}")
        return f"{self.home.cube_name}/{key}"

    def _opened(self, key: str) -> Records:
        return self.home.memos().cube(self._name(key)).records

    def _kept(self, key: str, status: MessageStatus | None) -> tuple[list[Kept], dict[str, str]]:
        try:
            records = self.home.memos().cube(self._name(key), create=False).records.list()
        except NotFound:
            records = []  # nothing has been said in this session yet
        kept, texts = kept_of(records)
        return [each for each in kept if status is None or each.status is status], texts

    def _messages(
        self, key: str, status: MessageStatus | None, limit: int | None, offset: int | None
    ) -> list[ChatMessage]:
        kept, texts = self._kept(key, status)
        kept = kept[max(offset or 0, 0) :]
        return [each.message(texts) for each in kept[: None if limit is None else max(limit, 0)]]

    def _add(self, key: str, messages: Sequence[ChatMessage], status: MessageStatus) -> None:
        entries = entries_of(messages, status)
        if entries:
            self._opened(key).put(entries)

    def _set(self, key: str, messages: Sequence[ChatMessage], status: MessageStatus) -> None:
        entries = entries_of(messages, status)
        former = [name for each in self._kept(key, None)[0] for name in each.keys]
        if entries or former:
            self._opened(key).put(entries, drop=former)

    def _delete_at(self, key: str, idx: int) -> ChatMessage | None:
        kept, texts = self._kept(key, None)
        if not 0 <= idx < len(kept):
            return None
        self._opened(key).put([], drop=kept[idx].keys)
        return kept[idx].message(texts)

    def _delete(self, key: str, status: MessageStatus | None, n: int | None) -> list[ChatMessage]:
        kept, texts = self._kept(key, status)
        gone = kept[:n]
        if gone:
            self._opened(key).put([], drop=[name for each in gone for name in each.keys])
        return [each.message(texts) for each in gone]

    def _archive(self, key: str, n: int) -> list[ChatMessage]:
        kept, texts = self._kept(key, ACTIVE)
        old = kept[:n]
        if old:
            self._opened(key).put([each.entry(ARCHIVED) for each in old])
        return [each.message(texts) for each in old]

    def _sessions(self) -> list[str]:
        prefix = f"{self.home.cube_name}/"
        found = self.home.memos().cubes(prefix=prefix, with_records=True)
        return [cube.name.removeprefix(prefix) for cube in found if cube.owner == self.home.user]
