"""An Engine without a model: exact about states, so that a wrong one shows."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from memos_core.errors import Closed, InvalidInput
from memos_core.inference import Prompt, Token, Turn
from memos_core.reply import Sampling
from memos_core.segment import EngineIdentity, SegmentHeader
from memos_core.tiers.kv import container

_END = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedState:
    """The ids themselves: what a real state would have been computed from."""

    start: int
    ids: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + len(self.ids)

    @property
    def size(self) -> int:
        return 8 * len(self.ids)


class ScriptedEngine:
    """The Engine to test with: a token is a character, and `script` says the answer to a whole prompt.

    Without a script it answers with a hash of the prompt, so equal answers mean equal prompts. A
    state that is not of the prompt it is attached to raises AssertionError: whoever attaches it has
    a bug. `computed` counts the tokens that were not attached.
    """

    def __init__(
        self,
        script: Callable[[str], str] | None = None,
        *,
        context: int = 1 << 20,
        cumulative: bool = False,
        adapter: str = "",
    ) -> None:
        self.script = script or (lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])
        self.context, self.cumulative = context, cumulative
        self.codec = _Codec()
        self.computed = 0
        self.adapter = adapter
        self._lock = threading.Lock()
        self._closed = False

    @property
    def identity(self) -> EngineIdentity:
        """The same for every engine with the same adapter."""
        same = hashlib.sha256(b"scripted").hexdigest()
        return EngineIdentity(
            engine="scripted",
            weights=same,
            config=same,
            tokenizer=same,
            template=same,
            dtype="characters",
            attention="none",
            adapter=self.adapter,
        )

    def encode(self, system: Sequence[str], turns: Sequence[Turn]) -> Prompt:
        """Return the characters of `parts… role: text … assistant:` as ids."""
        ends = itertools.accumulate(len(part) for part in system)
        talk = "".join(f"\n{turn.role}: {turn.text}" for turn in turns)
        text = "".join(system) + talk + "\nassistant:"
        return Prompt(ids=tuple(map(ord, text)), cuts=tuple(ends))

    def prefill(self, ids: Sequence[int], base: Sequence[ScriptedState]) -> ScriptedState:
        """Return a state of what is not attached yet; of a cumulative engine, of everything."""
        start = self._attached(ids, base)
        self._count(len(ids) - start)
        begin = 0 if self.cumulative else start
        return ScriptedState(start=begin, ids=tuple(ids[begin:]))

    def generate(
        self, ids: Sequence[int], base: Sequence[ScriptedState], sampling: Sampling
    ) -> Iterator[Token]:
        """Yield the script's answer, a character at a time."""
        self._count(len(ids) - self._attached(ids, base))
        if len(ids) >= self.context:
            raise InvalidInput(f"{len(ids)} tokens leave no room in a context of {self.context}")
        answer = self.script("".join(map(chr, ids)))
        return (Token(ord(character), character) for character in answer[: sampling.max_tokens])

    def close(self) -> None:
        """Answer nothing any more."""
        self._closed = True

    def _attached(self, ids: Sequence[int], base: Sequence[ScriptedState]) -> int:
        if self._closed:
            raise Closed
        end = 0
        for state in base[-1:] if self.cumulative else base:
            assert state.start == end, f"a state of {state.start} does not follow on from {end}"
            assert tuple(ids[state.start : state.end]) == state.ids, "a state of another prompt was attached"
            end = state.end
        assert end < len(ids) or not base or end == len(ids), "a state is longer than the prompt"
        return end

    def _count(self, tokens: int) -> None:
        with self._lock:
            self.computed += tokens


class _Codec:
    """Ids as the one tensor of a segment's file."""

    def pack(self, state: ScriptedState, header: SegmentHeader) -> bytes:
        return container.write(header, {"ids": np.array(state.ids, dtype=np.int64)}, {})

    def unpack(self, path: Path, header: SegmentHeader) -> ScriptedState:
        tensors, _ = container.read(path, header)
        return ScriptedState(start=header.start, ids=tuple(int(each) for each in tensors["ids"]))


def renamed(engine: ScriptedEngine, adapter: str) -> EngineIdentity:
    """Return the identity that the engine has with another adapter on."""
    return replace(engine.identity, adapter=adapter)
