"""Which token comes next, and which text is certain with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from memos_core.reply import Sampling

_HALF = "\N{REPLACEMENT CHARACTER}"  # what a decoder shows for bytes that are no character yet
_MOST_HALVES = 3  # a character has at most 4 bytes, so at most 3 can be waiting for the last


class Chooser:
    """Chooses tokens as `sampling` says, with random numbers of its own. For one answer, one thread."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def choose(self, logits: torch.Tensor) -> int:
        """Return the next token; `logits` has the shape (vocabulary,)."""
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        chances = likelihoods(logits, self._sampling)
        return int(torch.multinomial(chances, 1, generator=self._random))


def likelihoods(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the probability of each token, shape (vocabulary,), on the CPU; the sum is 1.

    Temperature first, then the `top_k` likeliest, then of these the likeliest that together reach
    `top_p` (nucleus sampling, Holtzman et al. 2020, section 3.1), at least one.
    """
    scaled = logits.detach().to("cpu", torch.float64) / sampling.temperature
    if sampling.top_k and sampling.top_k < scaled.numel():
        least = torch.topk(scaled, sampling.top_k).values[-1]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    chances = torch.softmax(scaled, dim=-1)
    if sampling.top_p < 1:
        likely, order = torch.sort(chances, descending=True)
        beyond = likely.cumsum(0) - likely >= sampling.top_p
        chances = chances.scatter(0, order, likely.masked_fill(beyond, 0.0))
    return chances / chances.sum()


class Speller:
    """Spells an answer token by token, and never half a character. For one answer, one thread.

    `decode` is the tokenizer's. The tokens before the last are decoded again with the next one: what
    a token is in writing depends on its neighbour.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._from = 0  # the first token that is decoded again
        self._until = 0  # the tokens whose text was complete when last looked at
        self._said = ""  # what has been given of the text from `_from` on

    def spell(self, token: int) -> str:
        """Return the text that this token makes certain, "" in the middle of a character."""
        self._ids.append(token)
        text = self._decode(self._ids[self._from :])
        certain = text[: len(text) - min(_MOST_HALVES, len(text) - len(text.rstrip(_HALF)))]
        if not certain.startswith(self._said):
            return ""  # a decoder that takes back what it showed: wait for the rest
        new = certain[len(self._said) :]
        self._said = certain
        if new and certain == text:
            self._from, self._until = self._until, len(self._ids)
            self._said = self._decode(self._ids[self._from : self._until])
        return new
