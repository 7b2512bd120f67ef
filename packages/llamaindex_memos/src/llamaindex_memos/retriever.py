"""A retriever over one cube."""

from __future__ import annotations

import asyncio

from llama_index.core.callbacks import CallbackManager
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters

from llamaindex_memos.filters import where_of
from llamaindex_memos.home import CUBE, Home
from llamaindex_memos.nodes import node_of
from memos_core import MemCube, MemOS, NotFound, Principal, Recall, Where


class MemOSRetriever(BaseRetriever):
    """Returns the memories of a cube that answer a query, best first, as nodes with scores.

    ::

        retriever = MemOSRetriever(memos, user="mira", similarity_top_k=5)
        retriever.retrieve("Where does Mira live?")

    `user` is whose eyes it sees with, None for those of `memos`; `owner` is whose cube it is, if it is
    somebody else's. `filters` are LlamaIndex's (see `where_of`) or a memos_core.Where. With a `budget`
    the core packs: what says most within so many tokens, and the turns beside it. A node's id is the
    memory's. A query without words, and a cube of your own that nobody has written to, give no nodes;
    a cube that you may not see raises NotFound. Awaited, it works in a thread.
    """

    def __init__(
        self,
        memos: MemOS,
        *,
        user: Principal | str | None = None,
        owner: Principal | str | None = None,
        cube: str = CUBE,
        similarity_top_k: int = 10,
        budget: int | None = None,
        filters: MetadataFilters | Where | None = None,
        session: str | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        self.home = Home(memos, cube=cube, user=user, owner=owner)
        self.similarity_top_k, self.budget, self.session = similarity_top_k, budget, session
        self.where = where_of(filters)
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        if not query.strip():
            return []
        try:
            found = self.home.ask(lambda cube: self._recalled(cube, query), create=False)
        except NotFound:
            if self.home.owner is not None:
                raise
            return []
        return [node_of(hit, cube=self.home.cube_name) for hit in found]

    def _recalled(self, cube: MemCube, query: str) -> Recall:
        return cube.recall(
            query, k=self.similarity_top_k, budget=self.budget, where=self.where, session=self.session
        )

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
