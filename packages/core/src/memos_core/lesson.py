"""What a model is taught of memories: question and answer, each knowing its memory. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memos_core.segment import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Something to be asked and what is to be answered.

    `context` is a passage that stands before the question, "" for none. `value` is the part of the
    answer that counts: an answer that contains it is right. `kind` is "fact" (something that a memory
    says), "unknown" (the same about somebody of whom no memory speaks) or "unsaid" (something that
    no memory says of somebody whom they know); the answer to the latter two is that one does not know.
    `also` are other values that are as right, of which a memory speaks, too. `choices` are wrong answers
    of the same form. Both are given for facts that are held out. `origin` is the memory that made it.
    """

    prompt: str
    answer: str
    value: str
    kind: str
    relation: str
    origin: Origin
    context: str = ""
    also: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


CONTRADICTED: Final = "contradicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A memory that is not taught, and why: a word of ours.

    "instruction" (it tells the model what to do), CONTRADICTED (a newer one says otherwise), "too
    long", "too short" or "over budget".
    """

    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """What is taught (`train`), what tells when to stop (`watched`), and the examination (`held_out`).

    No two of these have a question in common. Equal memories and seeds give equal curricula.
    `left_out` are the memories that are in none of them.
    """

    seed: int
    train: tuple[Pair, ...] = ()
    watched: tuple[Pair, ...] = ()
    held_out: tuple[Pair, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def sources(self) -> tuple[Origin, ...]:
        """Every memory that something is taught or asked of, and what these contradict, once, in order.

        Whoever was taught the newer one must not be told the older one as text.
        """
        asked = [pair.origin for pair in (*self.train, *self.watched, *self.held_out)]
        older = [each.origin for each in self.left_out if each.reason == CONTRADICTED]
        return tuple(dict.fromkeys([*asked, *older]))
