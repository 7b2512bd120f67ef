"""The seam to whatever teaches a model: lessons in, an adapter out; and what is asked of a pupil.

`tiers.lora` implements it with PEFT on transformers, `memos_core.testing` with a twin that learns by rote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from memos_core.adapter import Recipe
from memos_core.inference import AnyEngine
from memos_core.lesson import Curriculum


class TrainingProgress(NamedTuple):
    """How far a training is; `left` are the seconds to go if it takes all its steps."""

    step: int
    of: int
    loss: float
    left: float


Tensors: TypeAlias = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """An adapter's tensors under PEFT's names, of the shapes (rank, in) and (out, rank), and their scale."""

    tensors: Tensors
    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a training came to: after `steps`, in `seconds` of this machine."""

    weights: Weights
    steps: int
    seconds: float


class Pupil(Protocol):
    """A model as it is examined, with an adapter or without. Its prompt is the question alone."""

    def likelihoods(self, prompt: str, answers: Sequence[str]) -> list[float]:
        """Return for each answer its mean log-probability per token (nats, at most 0)."""
        ...

    def said(self, prompt: str, answer: str = "") -> str:
        """Return the greedy answer, cut off after some tokens, but not before `answer` has room."""
        ...

    def surprise(self, texts: Sequence[str]) -> float:
        """Return the mean negative log-probability of the texts' tokens (nats, from 0)."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """Teaches one model. What it does changes no answer of the model's engine."""

    def taught(
        self,
        curriculum: Curriculum,
        recipe: Recipe,
        *,
        saved: bytes | None = None,
        save: Callable[[bytes], None] | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
    ) -> Learned:
        """Return the adapter that these lessons make.

        `save` is given the state of the training after every look, and what it raises ends it; with a
        `saved` one the training goes on from there, to the same end. FormatError where that state is
        of another training or damaged. BackendError where the memory does not suffice.
        """
        ...

    def pupil(self, weights: Weights | None) -> Pupil:
        """Return the model with these weights, or as it is."""
        ...

    def engine_with(self, weights: Weights, *, digest: str) -> AnyEngine:
        """Return the model's engine with these weights on, beside the one without; `digest` names them."""
        ...
