"""A model behind an OpenAI-compatible server, given the same prompt in the same order."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from memos_core.activation.answer import Stream
from memos_core.activation.conversation import conversation, question
from memos_core.activation.plan import Plan
from memos_core.briefing import BUDGET, RECALLED, briefed
from memos_core.errors import Closed
from memos_core.inference import Turn
from memos_core.memcube import MemCube
from memos_core.memory import Message
from memos_core.query import Where
from memos_core.reply import Reply, Reuse, Sampling

if TYPE_CHECKING:
    from memos_core.tiers.kv.remote import RemoteAnswer, RemoteModel


class RemoteRuntime:
    """Answers with a cube's memories on a model behind a server (vLLM, SGLang, llama.cpp, a provider).

    ::

        runtime = RemoteRuntime.open("http://localhost:8000/v1", "my-model")
        print(runtime.chat("Where does Mira live?", mira).text)

    Nothing is stored on this side. The stable memories come first and in the same order every time,
    so that the server's own prefix cache can reuse them, and each group of readers has a salt of its
    own, so that the cache tells nobody what others asked. Safe from several threads.
    """

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        self._closed = False

    @classmethod
    def open(
        cls, base_url: str, model: str, *, api_key: str | None = None, salted: str = "field"
    ) -> RemoteRuntime:
        """Return a runtime for a server's model; nothing is sent yet.

        `salted` says how groups of readers are kept apart in the server's cache: "field" (vLLM and
        SGLang), "text" (a line before the system text, for any server) or "no".
        """
        from memos_core.tiers.kv.remote import RemoteModel  # noqa: PLC0415 - an extra

        return cls(RemoteModel(model=model, base_url=base_url, api_key=api_key, salted=salted))

    @property
    def identity(self) -> str:
        """Which model of which server answers: its name, and a digest of the address."""
        return self._model.identity

    def chat(
        self,
        messages: str | Sequence[Message],
        cube: MemCube | None = None,
        *,
        system: str | None = None,
        stable: Where | None = None,
        recall: int = RECALLED,
        budget: int = BUDGET,
        sampling: Sampling | None = None,
    ) -> Reply:
        """Return the model's answer, given the cube's memories; see `Runtime.chat`.

        In its `reuse`, `tokens` are what the server says it had cached. Raises BackendUnavailable
        if the server does not answer, BackendError if it refuses.
        """
        return self.stream(
            messages, cube, system=system, stable=stable, recall=recall, budget=budget, sampling=sampling
        ).finished()

    def stream(
        self,
        messages: str | Sequence[Message],
        cube: MemCube | None = None,
        *,
        system: str | None = None,
        stable: Where | None = None,
        recall: int = RECALLED,
        budget: int = BUDGET,
        sampling: Sampling | None = None,
    ) -> Stream:
        """Like `chat`, as an iterable of texts; `finished()` reads the rest and returns the Reply."""
        begin = time.perf_counter()
        if self._closed:
            raise Closed
        head, turns = conversation(messages, system=system)
        plan = Plan(head=head)
        if cube is not None:
            plan = briefed(cube, head, question(turns), stable=stable, recall=recall, budget=budget)
        return Stream(self._answered(begin, plan, turns, sampling or Sampling()))

    def close(self) -> None:
        """Close the connections. Closing twice is no error."""
        self._closed = True
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answered(
        self, begin: float, plan: Plan, turns: Sequence[Turn], sampling: Sampling
    ) -> Generator[str, None, Reply]:
        texts: list[str] = []
        first = 0.0
        with self._model.complete(plan.texts, turns, sampling, cache_salt=plan.group) as answer:
            for text in answer:
                first = first or time.perf_counter() - begin
                texts.append(text)
                yield text
        return Reply(
            text="".join(texts),
            finish=answer.finish,
            tokens=answer.tokens or 0,
            prompt_tokens=answer.prompt_tokens or 0,
            memories=plan.memory_ids,
            reuse=_reuse(answer),
            first_token=first,
            took=time.perf_counter() - begin,
        )


def _reuse(answer: RemoteAnswer) -> Reuse:
    cached = answer.cached_tokens
    why_not = "" if cached else "the server does not tell" if cached is None else "nothing was cached there"
    return Reuse(
        tokens=cached or 0,
        segments=0,
        built=0,
        saved=0.0,
        level="server" if cached else "",
        why_not=why_not,
    )
