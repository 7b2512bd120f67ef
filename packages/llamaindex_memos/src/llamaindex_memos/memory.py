"""A ready `Memory` for chat engines and agents: what was said stays, and is found in every later session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import LLM
from llama_index.core.memory import BaseMemoryBlock, InsertMethod, Memory
from llama_index.core.memory.memory import (
    DEFAULT_MEMORY_BLOCKS_TEMPLATE,
    DEFAULT_TOKEN_LIMIT,
    generate_chat_store_key,
)
from llama_index.core.prompts import RichPromptTemplate
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore
from pydantic import PrivateAttr, model_serializer

from llamaindex_memos.block import MemOSMemoryBlock, MemOSMessagesBlock, RecallBlock
from llamaindex_memos.chat_store import BESIDE, MemOSChatStore
from llamaindex_memos.home import CUBE, Home, HomeField, home_of
from llamaindex_memos.said import Heard, said
from llamaindex_memos.words import words_of
from memos_core import InvalidInput, MemOS, Principal, Where

_ANSWER = 256  # tokens that a model keeps for its answer where it does not say how many
_BLOCKS: dict[str, type[RecallBlock[Any]]] = {
    each.__name__: each for each in (MemOSMemoryBlock, MemOSMessagesBlock)
}
_PLAIN = (
    "session_id",
    "token_limit",
    "token_flush_size",
    "chat_history_token_ratio",
    "image_token_size_estimate",
    "audio_token_size_estimate",
    "video_token_size_estimate",
    "document_token_size_estimate",
    "write",
)


class MemOSMemory(Memory):
    """LlamaIndex's `Memory` with a MemOS block and a MemOS chat store. Made by `from_defaults`.

    Whatever a host puts into it is kept at once, in the session and in the user's cube, each message
    once: restarted with the same `session_id` a conversation goes on, and every other session of the
    user recalls what was said. `write=False` recalls and adds nothing to the cube.

    Written as JSON or pickled, with an agent's `Context` for instance, it is names and figures;
    restored it finds its store again (see `Home`), and counts with LlamaIndex's own tokenizer. Copies
    are the same memory.
    """

    home: HomeField
    write: bool = True

    _heard: Heard = PrivateAttr(default_factory=Heard)

    def __init__(self, **fields: Any) -> None:
        home = home_of(fields.pop("home", {}))
        fields["memory_blocks"] = [_block_of(each) for each in fields.get("memory_blocks") or ()]
        fields["insert_method"] = InsertMethod(fields.get("insert_method", InsertMethod.USER))
        if isinstance(fields.get("memory_blocks_template"), str):
            fields["memory_blocks_template"] = RichPromptTemplate(fields["memory_blocks_template"])
        chat = fields.get("sql_store")
        if chat is None or isinstance(chat, Mapping):
            kept = home.beside(f"{home.cube_name}{BESIDE}") if chat is None else home_of(chat)
            fields["sql_store"] = MemOSChatStore(home=kept)
        super().__init__(**{"home": home, **fields})

    @classmethod
    def class_name(cls) -> str:
        """The name under which this class is written."""
        return "MemOSMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]
        cls,
        memos: MemOS,
        *,
        user: Principal | str | None = None,
        owner: Principal | str | None = None,
        cube: str = CUBE,
        session_id: str | None = None,
        chat_history: list[ChatMessage] | None = None,
        llm: LLM | None = None,
        token_limit: int | None = None,
        token_flush_size: int | None = None,
        chat_history_token_ratio: float = 0.7,
        similarity_top_k: int = 8,
        budget: int | None = None,
        scope: Literal["user", "session"] = "user",
        where: Where | None = None,
        write: bool = True,
        memory_blocks: Sequence[BaseMemoryBlock[Any]] = (),
        memory_blocks_template: RichPromptTemplate = DEFAULT_MEMORY_BLOCKS_TEMPLATE,
        insert_method: InsertMethod | str = InsertMethod.USER,
        tokenizer_fn: Callable[[str], list[Any]] | None = None,
        chat_store: AsyncDBChatStore | None = None,
    ) -> Self:
        """Return the memory of one session of a user.

        `user` is None for whoever opened `memos`; `cube`, `owner`, `similarity_top_k`, `budget`,
        `scope` and `where` are the block's (see `MemOSMemoryBlock`), `memory_blocks` stand beside it.
        `token_limit` is what history and memories may take together: what `llm` has room for, else
        30,000. Memories go into the last message of the user: as a system message they would be the
        second one beside an agent's own.
        """
        limit = token_limit or (DEFAULT_TOKEN_LIMIT if llm is None else _room(llm))
        home = Home(memos, cube=cube, user=user, owner=owner)
        spare = max(int(limit * (1 - chat_history_token_ratio)), 1)
        block = MemOSMemoryBlock(
            home=home,
            similarity_top_k=similarity_top_k,
            budget=min(1_024, spare) if budget is None else budget,
            scope=scope,
            where=where,
            accept_short_term_memory=False,  # it has heard everything already, or is to hear nothing
        )
        memory = cls(
            home=home,
            session_id=session_id or generate_chat_store_key(),
            token_limit=limit,
            token_flush_size=token_flush_size or max(limit // 10, 1),
            chat_history_token_ratio=chat_history_token_ratio,
            memory_blocks=[block, *memory_blocks],
            memory_blocks_template=memory_blocks_template,
            insert_method=insert_method,
            tokenizer_fn=tokenizer_fn,
            sql_store=chat_store,
            write=write,
        )
        if chat_history is not None:
            memory.set(chat_history)
        return memory

    # --- what is put is kept -----------------------------------------------------------------

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002 - LlamaIndex's signature
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """Return the session's messages with the memories that fit the last question."""
        question = words_of(input) if isinstance(input, ChatMessage) else input
        return await super().aget(question or None, **block_kwargs)

    async def aput(self, message: ChatMessage) -> None:
        """Keep a message in the session and in the cube."""
        await self.aput_messages([message])

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Keep messages in the session and in the cube."""
        if not self._heard.known:
            self._heard.begin(await self.aget_all())
        ids = self._heard.take(messages)
        try:
            await self._tell(messages, ids)
            await super().aput_messages(messages)
        except BaseException:  # a cancelled task, too: what is put again is the same, not another
            self._heard.give_back(messages)
            raise

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace the session's messages; in the cube those are kept that it has not heard yet."""
        await self._tell(messages, Heard().take(messages))
        await super().aset(messages)
        self._heard.begin(messages, anew=True)

    async def aclear(self) -> None:
        """Erase the session: its memories in the blocks' cubes, then its messages. Others stay.

        If a memory is frozen, IllegalTransition is raised, and its cube and the messages stay as they are.
        """
        for block in self._blocks():
            await block.aclear(self.session_id)
        await self.areset()

    def clear(self) -> None:
        """Erase the session; see `aclear`."""
        asyncio_run(self.aclear())

    def _blocks(self) -> list[RecallBlock[Any]]:
        return [block for block in self.memory_blocks if isinstance(block, RecallBlock)]

    async def _tell(self, messages: Sequence[ChatMessage], ids: Sequence[str]) -> None:
        if not self.write:
            return
        told = said(messages, user=self.home.user, ids=ids)
        for block in self._blocks():
            await block.akeep(told, session=self.session_id)

    # --- as names and figures ----------------------------------------------------------------

    @model_serializer(mode="plain")
    def _names_and_figures(self) -> dict[str, Any]:
        return {
            "class_name": self.class_name(),
            "home": self.home.names(),
            "sql_store": _told_store(self.sql_store),
            "insert_method": self.insert_method.value,
            "memory_blocks": [_told(block) for block in self.memory_blocks],
            "memory_blocks_template": self.memory_blocks_template.template_str,
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self  # a handle: there is one session


def _room(llm: LLM) -> int:
    """Return how many tokens of a prompt a model has room for."""
    told = llm.metadata
    return max(told.context_window - max(told.num_output, _ANSWER), _ANSWER)


def _told_store(store: AsyncDBChatStore) -> dict[str, str | None]:
    if not isinstance(store, MemOSChatStore):
        raise InvalidInput(
            f"a {type(store).__name__} cannot be written with MemOSMemory: leave chat_store out, "
            f"or make the memory anew after restoring it"
        )
    return store.home.names()


def _told(block: BaseMemoryBlock[Any]) -> dict[str, Any]:
    if type(block).__name__ not in _BLOCKS or not isinstance(block, RecallBlock):
        raise InvalidInput(
            f"a {type(block).__name__} cannot be written with MemOSMemory: "
            f"pickle the context, or make the memory anew after restoring it"
        )
    return {"class_name": type(block).__name__, **block.model_dump(mode="json")}


def _block_of(value: Any) -> Any:
    """Return a block from what `_told` wrote; a block is returned as it is."""
    if not isinstance(value, dict):
        return value
    fields = dict(value)
    kind = _BLOCKS.get(fields.pop("class_name", None))
    if kind is None:
        raise InvalidInput(f"there is no block {value.get('class_name')!r}: use one of {', '.join(_BLOCKS)}")
    return kind(**fields)
