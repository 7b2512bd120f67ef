"""A retriever over one cube."""

from __future__ import annotations

import asyncio

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, Field

from langchain_memos.documents import document_of
from memos_core import At, MemCube, MemOS, NotFound, Where

K = 10


class MemOSRetriever(BaseRetriever):
    """Returns the memories of a cube that answer a query, best first, as documents.

    ::

        retriever = MemOSRetriever(memos=memos, cube="mira", k=5)
        retriever.invoke("Where does Mira live?")

    `user` is whose eyes it sees with; None means those of `memos`. `owner` names whose cube it is, if
    it is somebody else's. `k` (10 if None), `where` (a memos_core.Where), `session`, `budget` (tokens) and
    `at` (a snapshot's label or a moment: the cube as it was then) are those of `MemCube.recall`; each may
    be given to one call: `retriever.invoke(query, k=3)`. All but `memos` are values and can be made
    configurable fields. A cube of your own that nobody has written
    to yet has no documents; one that you may not see raises NotFound.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    memos: MemOS = Field(exclude=True, repr=False)
    cube: str
    user: str | None = None
    owner: str | None = None
    k: int | None = None
    where: Where | None = None
    session: str | None = None
    budget: int | None = None
    at: At | None = None

    def _get_ls_params(self, **_kwargs: object) -> LangSmithRetrieverParams:
        """Return what a trace says of this retriever."""
        return LangSmithRetrieverParams(ls_retriever_name="memos", ls_vector_store_provider="MemOS")

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
        k: int | None = None,
        where: Where | None = None,
        session: str | None = None,
        budget: int | None = None,
        at: At | None = None,
    ) -> list[Document]:
        return self._documents(query, k=k, where=where, session=session, budget=budget, at=at)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
        k: int | None = None,
        where: Where | None = None,
        session: str | None = None,
        budget: int | None = None,
        at: At | None = None,
    ) -> list[Document]:
        return await asyncio.to_thread(
            self._documents, query, k=k, where=where, session=session, budget=budget, at=at
        )

    def _documents(
        self,
        query: str,
        *,
        k: int | None,
        where: Where | None,
        session: str | None,
        budget: int | None,
        at: At | None,
    ) -> list[Document]:
        cube = self._opened()
        if cube is None:
            return []
        found = cube.recall(
            query,
            k=next(each for each in (k, self.k, K) if each is not None),
            where=self.where if where is None else where,
            session=self.session if session is None else session,
            budget=self.budget if budget is None else budget,
            at=self.at if at is None else at,
        )
        return [document_of(hit, cube=cube.name) for hit in found]

    def _opened(self) -> MemCube | None:
        memos = self.memos if self.user is None else self.memos.as_principal(self.user)
        try:
            return memos.cube(self.cube, owner=self.owner, create=False)
        except NotFound:
            if self.owner is not None:
                raise
            return None
