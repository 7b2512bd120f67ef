"""The seam to a language model that runs here: tokens in, tokens out, and the state between them.

Two engines implement it (transformers, llama.cpp), and a twin without a model. The kit is
`memos_core.testing.EngineConformance`. An engine knows nothing of cubes, rights or storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from memos_core.reply import Sampling
from memos_core.segment import EngineIdentity, SegmentHeader


class Turn(NamedTuple):
    """One message as a chat template takes it; `role` is "user", "assistant" or "tool"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation as token ids. `cuts[i]` is how many of them end with part i of the system text.

    `cuts` is empty where the template hides the system text, so that no prefix can be told apart.
    """

    ids: tuple[int, ...]
    cuts: tuple[int, ...]


class Token(NamedTuple):
    """A generated token and the text that is certain with it ("" in the middle of a character)."""

    id: int
    text: str


class State(Protocol):
    """Attention state of the prompt's tokens `start` to `end`. It never changes once made.

    A cumulative engine's states all start at 0.
    """

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes in memory."""
        ...


S = TypeVar("S", bound=State)


class Codec(Protocol[S]):
    """Turns states of one engine into files and back; both carry the header that names them."""

    def pack(self, state: S, header: SegmentHeader) -> bytes:
        """Return the state and its header as one safetensors file (docs/formats/kv.md)."""
        ...

    def unpack(self, path: Path, header: SegmentHeader) -> S:
        """Read a file that `pack` made for this very header.

        FormatError where it is damaged, of another header, or no such file at all; NotFound where
        there is no file; BackendError where it is there and cannot be read now.
        """
        ...


class Engine(Protocol[S]):
    """A language model with its tokenizer and template. Safe to call from several threads.

    `base` is a chain of states that follow on from each other from 0 (of a cumulative engine the
    last one counts); they are of the first tokens of `ids`, and of this identity: the caller sees
    to that. Where `base` ends, computing begins; at least one token is always computed.
    """

    @property
    def identity(self) -> EngineIdentity:
        """What the states depend on, as it is now (adapters come and go)."""
        ...

    @property
    def context(self) -> int:
        """The most tokens that prompt and answer may have together."""
        ...

    @property
    def cumulative(self) -> bool:
        """Whether each state holds the whole prefix, so that one is attached and not a chain."""
        ...

    @property
    def codec(self) -> Codec[S]:
        """What writes and reads the states' files."""
        ...

    def encode(self, system: Sequence[str], turns: Sequence[Turn]) -> Prompt:
        """Return the templated ids of a conversation, ready for the model to answer.

        `system` are the parts of the system text, in order. Equal leading parts give equal leading
        ids, whatever follows them.
        """
        ...

    def prefill(self, ids: Sequence[int], base: Sequence[S]) -> S:
        """Compute all of `ids` beyond `base` and return its state, ready to follow it.

        InvalidInput if the ids are too many for the context.
        """
        ...

    def generate(self, ids: Sequence[int], base: Sequence[S], sampling: Sampling) -> Iterator[Token]:
        """Yield the answer token by token, up to `sampling.max_tokens`, the end or the context's.

        `base` may cover all of `ids` but the last token. `sampling.stop` is the caller's business.
        InvalidInput if the ids leave no room for an answer.
        """
        ...

    def close(self) -> None:
        """Release the model. Closing twice is no error."""
        ...


@runtime_checkable
class Composer(Protocol[S]):
    """An engine that can also put states together which were made apart from each other."""

    def compose(
        self,
        head: S,
        parts: Sequence[S],
        ids: Sequence[int],
        *,
        recompute: str = "first",
        amount: float = 16,
    ) -> S:
        """Return one state of everything after `head`, in the order of `parts`.

        Each part was made by `prefill` with `head` as its base and is moved to its new place. `ids`
        are the tokens of head and parts together. `recompute` is "none" (as they are), "first"
        (the first `amount` tokens of each part are computed anew: EPIC) or "deviating" (the share
        `amount` of all tokens whose keys deviate most: CacheBlend). It is near a full prefill and
        not equal to it.
        """
        ...


AnyEngine: TypeAlias = Engine[Any]
"""An engine, whatever its states are made of."""
