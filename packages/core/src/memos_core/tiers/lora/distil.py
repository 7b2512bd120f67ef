"""Distilling a prompt into weights: the model learns to say without a memory what it says with it.

The teacher is the base itself, with the memory's text in its prompt; the pupil sees the question alone,
and learns the teacher's distribution at each token of the answer that the rules word (teacher
forcing). The method is context distillation: Askell et al. 2021, "A General Language Assistant as a
Laboratory for Alignment" (section 2.3.1); Snell, Klein and Zhong 2022, "Learning by Distilling Context".
What no memory says has no text to put into a prompt: that one does not know is learned as it is worded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from memos_core.lesson import Pair
from memos_core.tiers.lora.passes import Row, loss


class Lesson(NamedTuple):
    """A question with its answer, and the same with the memory's text before it: what the teacher reads.

    `informed` is None where there is no teacher; else its answer's tokens are the very same.
    """

    row: Row
    informed: Row | None = None


def informed(pairs: Iterable[Pair]) -> list[tuple[Pair, Pair | None]]:
    """Return every question once, without its passage, and the pair with it where there is one."""
    alone: dict[Pair, Pair | None] = {}
    for pair in pairs:
        bare = replace(pair, context="")
        alone[bare] = pair if pair.context else alone.get(bare)
    return list(alone.items())


def cost(
    lessons: Sequence[Lesson], said: Sequence[torch.Tensor], taught: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return what there is to learn of these lessons: the sum over the tokens of their answers (nats).

    `said` are the pupil's logits for every lesson, `taught` the teacher's for those that have one, in
    order; all of shape (tokens, vocabulary). A token costs the Kullback-Leibler divergence of the pupil
    from the teacher, or without one the negative log-probability of the word itself.
    """
    teachers = iter(taught)
    parts = []
    for lesson, logits in zip(lessons, said, strict=True):
        if lesson.informed is None:
            parts.append(loss(lesson.row, logits))
        else:
            parts.append(_from(next(teachers), logits))
    return torch.cat(parts).sum()


def _from(teacher: torch.Tensor, pupil: torch.Tensor) -> torch.Tensor:
    """Return the divergence KL(teacher || pupil) at each token (nats, from 0)."""
    log = torch.nn.functional.log_softmax
    each = torch.nn.functional.kl_div(
        log(pupil.float(), dim=-1), log(teacher.float(), dim=-1), reduction="none", log_target=True
    )
    return each.sum(dim=-1)
