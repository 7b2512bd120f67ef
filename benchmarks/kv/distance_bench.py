"""Ways to come by the state of some memories, and what each of them tells of a question."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from benchmarks.kv.questions import Case
from memos_core.inference import Turn
from memos_core.segment import segment_header
from memos_core.tiers.kv.codec import TensorCodec
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.hf_models import default_cache, found
from memos_core.tiers.kv.states import TensorState

HEAD = "You answer from what you remember, in a few words. What you remember:\n\n"
MODES: dict[str, tuple[str, float]] = {
    "as they are, only moved": ("none", 0),
    "first 4": ("first", 4),
    "first 8": ("first", 8),
    "first 16": ("first", 16),
    "first 32": ("first", 32),
    "deviating 10 %": ("deviating", 0.10),
    "deviating 15 %": ("deviating", 0.15),
    "deviating 25 %": ("deviating", 0.25),
}
FORMS = ("exact", "bfloat16", "int8", "sparse-50", "sparse-25", "int8+sparse-50", "int8+sparse-25")
NAIVE, FULL = "naive concatenation", "full prefill"
ANSWER = 12  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to come by the state of the memories, with what it took."""

    state: TensorState
    seconds: float = 0.0
    size: int = 0  # bytes of the file


class Bench:
    """A model, and what is asked of it."""

    def __init__(self, name: str) -> None:
        where = found(name, cache=default_cache())
        self.model: Any = AutoModelForCausalLM.from_pretrained(where.folder, dtype=torch.float32)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(where.folder)
        self.engine = HfEngine(self.model, self.tokenizer, weights=where.weights)
        self.engine.rotation()  # found once; not a cost of the first composition
        self._folder = tempfile.TemporaryDirectory(prefix="kv-distance-")  # goes with the bench

    # --- ways to a state ---------------------------------------------------------------------

    def ways(
        self, ids: Sequence[int], cuts: Sequence[int], *, forms: bool
    ) -> tuple[TensorState, dict[str, Way]]:
        """Return the head's state, and the memories' by every way there is; the full prefill first."""
        head = self.engine.prefill(ids[: cuts[0]], [])
        end = cuts[-1]
        full, seconds = _timed(lambda: self.engine.prefill(ids[:end], [head]))
        ways = {FULL: Way(state=full, seconds=seconds)}
        if forms:
            ways |= {form: self._stored(full, ids, form) for form in FORMS}
        parts = [
            self.engine.prefill([*ids[: cuts[0]], *ids[start:stop]], [head]) for start, stop in pairwise(cuts)
        ]
        ways[NAIVE] = Way(state=_concatenated(parts))
        for name, (recompute, amount) in MODES.items():
            state, seconds = _timed(
                lambda recompute=recompute, amount=amount: self.engine.compose(  # type: ignore[misc]
                    head, parts, ids[:end], recompute=recompute, amount=amount
                )
            )
            ways[name] = Way(state=state, seconds=seconds)
        return head, ways

    def _stored(self, state: TensorState, ids: Sequence[int], form: str) -> Way:
        """Return the state after it was written in a form and read again, and how long reading took."""
        codec = TensorCodec(form=form, rotation=self.engine.rotation)
        header = segment_header(
            self.engine.identity,
            salt="",
            parent="",
            start=state.start,
            ids=ids[state.start : state.end],
            sources=[],
            form=form,
        )
        path = Path(self._folder.name) / form
        path.write_bytes(codec.pack(state, header))
        read, seconds = _timed(lambda: codec.unpack(path, header))
        return Way(state=read, seconds=seconds, size=path.stat().st_size)

    # --- asking ------------------------------------------------------------------------------

    def asked(
        self, head: TensorState, states: Sequence[TensorState], question: Sequence[int]
    ) -> tuple[DynamicCache, torch.Tensor]:
        """Return a cache with a row for each state and the question after it, and the logits then.

        The states hold equally many tokens and end at the same position.
        """
        cache = _batch(head, states)
        return cache, self._advanced(cache, torch.tensor([question] * len(states)), states[0].end)[:, -1:]

    def told(self, cache: DynamicCache, first: torch.Tensor, ids: Sequence[int], place: int) -> torch.Tensor:
        """Return the log-probabilities before each of `ids`, shape (rows, ids, vocabulary).

        `first` are the logits before the first of them; the cache is left as it was.
        """
        logits, held = [first], cache.get_seq_length()
        if len(ids) > 1:
            logits.append(self._advanced(cache, torch.tensor([ids[:-1]] * len(first)), place))
            cache.crop(held - cache.get_seq_length())  # negative: so many from the end
        return torch.log_softmax(torch.cat(logits, dim=1).float(), dim=-1)

    def answered(self, cache: DynamicCache, first: torch.Tensor, place: int) -> list[list[int]]:
        """Return the tokens of each row's greedy answer; the cache grows."""
        tokens = [first.argmax(dim=-1)]
        while len(tokens) < ANSWER:
            logits = self._advanced(cache, tokens[-1], place + len(tokens) - 1)
            tokens.append(logits.argmax(dim=-1))
        return torch.cat(tokens, dim=1).tolist()  # type: ignore[no-any-return]

    def _advanced(self, cache: DynamicCache, ids: torch.Tensor, place: int) -> torch.Tensor:
        places = torch.arange(place, place + ids.shape[1]).expand(len(ids), -1)
        with torch.inference_mode():
            output = self.model(input_ids=ids, position_ids=places, past_key_values=cache)
        logits: torch.Tensor = output.logits
        return logits

    def measured(self, case: Case, *, forms: bool) -> Iterator[dict[str, Any]]:
        """Yield what each way tells of one case."""
        texts = [HEAD, *(f"{memory}\n\n" for memory in case.memories)]
        prompt = self.engine.encode(texts, [Turn("user", case.question)])
        head, ways = self.ways(prompt.ids, prompt.cuts, forms=forms)
        question = list(prompt.ids[prompt.cuts[-1] :])
        gold = self.tokenizer(case.answer, add_special_tokens=False)["input_ids"]
        place = prompt.cuts[-1] + len(question)
        cache, first = self.asked(head, [ways[FULL].state], question)
        (spoken,) = self.answered(cache, first, place)
        cache, first = self.asked(head, [ways[FULL].state], question)
        told = self.told(cache, first, spoken, place)[0]
        for names in _alike(ways):
            cache, first = self.asked(head, [ways[name].state for name in names], question)
            again = self.told(cache, first, spoken, place)
            golden = self.told(cache, first, gold, place)
            answers = self.answered(cache, first, place)
            for at, name in enumerate(names):
                likely = golden[at].gather(1, torch.tensor(gold)[:, None]).sum()
                yield {
                    "mode": name,
                    "kl": float((told.exp() * (told - again[at])).sum(dim=-1).mean()),
                    "top1": float((told.argmax(-1) == again[at].argmax(-1)).float().mean()),
                    "gold": float(likely),
                    "contains": float(case.answer.lower() in self.tokenizer.decode(answers[at]).lower()),
                    "seconds": ways[name].seconds / ways[FULL].seconds,
                    "bytes": ways[name].size / (ways[name].state.end - ways[name].state.start),
                    "tokens": ways[name].state.end - ways[name].state.start,
                }


def _timed(work: Callable[[], TensorState]) -> tuple[TensorState, float]:
    begin = time.process_time()  # of all threads; what else a machine does is not counted
    made = work()
    return made, time.process_time() - begin


def _concatenated(parts: Sequence[TensorState]) -> TensorState:
    """Return the parts one after the other with the positions that each was made for: the wrong way."""
    return TensorState(
        start=parts[0].start,
        end=parts[0].start + sum(part.end - part.start for part in parts),
        keys=tuple(torch.cat(layer, dim=1) for layer in zip(*(part.keys for part in parts), strict=True)),
        values=tuple(torch.cat(layer, dim=1) for layer in zip(*(part.values for part in parts), strict=True)),
    )


def _batch(head: TensorState, states: Sequence[TensorState]) -> DynamicCache:
    """Return a cache with a row for each state, after the same head."""
    cache = DynamicCache()
    for layer in range(len(head.keys)):
        keys = [torch.cat([head.keys[layer], state.keys[layer]], dim=1) for state in states]
        values = [torch.cat([head.values[layer], state.values[layer]], dim=1) for state in states]
        cache.update(torch.stack(keys), torch.stack(values), layer)
    return cache


def _alike(ways: dict[str, Way]) -> list[list[str]]:
    """Return the names in groups that hold equally many tokens, so that one batch takes them."""
    groups: dict[int, list[str]] = {}
    for name, way in ways.items():
        groups.setdefault(way.state.kept, []).append(name)
    return list(groups.values())
