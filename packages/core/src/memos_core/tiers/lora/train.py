"""Training an adapter with PEFT, beside the model that goes on answering.

The model is copied without its tensors, so that two share one set of weights and nothing that is
done to the copy shows in the other. Every step is determined by its number and the seed: a training
that is killed and goes on comes to the same matrices, bit for bit where the arithmetic does.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from peft import LoraConfig, LoraModel

from memos_core.adapter import Recipe, written
from memos_core.errors import BackendError, InvalidInput
from memos_core.tiers.lora.distil import Lesson
from memos_core.tiers.lora.distil import cost as cost_of
from memos_core.tiers.lora.order import drawn
from memos_core.tiers.lora.passes import Passes, Row, divergence, loss
from memos_core.tiers.lora.saved import Standing, packed, unpacked
from memos_core.training import Learned, TrainingProgress, Weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")
_GAIN = 1e-3  # nats: less is no gain
_TOGETHER = 16  # rows of one pass; a larger batch is several passes
_A_MISTAKE = 100.0  # nats: a watched question less comes before every loss
_CLIP = 1.0
_LEAST = 0.1  # of the peak rate, at the last step
_NAME = "learning"  # PEFT's name of the adapter while it is trained
_FFN = ("mlp", "feed_forward", "ffn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is trained, as ids: the lessons, what is watched, neutral texts.

    `informed` are the lessons as their teacher reads them, one for each or none at all (see `distil`).
    """

    seed: int
    lessons: tuple[Row, ...]
    watched: tuple[Row, ...]
    neutral: tuple[Row, ...]
    recipe: Recipe
    base: str  # the digest of the model's weights
    informed: tuple[Row | None, ...] = ()

    @property
    def steps(self) -> int:
        """The most steps that it takes."""
        return self.recipe.steps_for(len(self.lessons))

    @property
    def digest(self) -> str:
        facts = [self.seed, self.lessons, self.watched, self.neutral, written(self.recipe), self.base]
        facts += [self.informed] if self.informed else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def taught(self) -> list[Lesson]:
        """The lessons, each with what its teacher reads."""
        told = self.informed or (None,) * len(self.lessons)
        return [Lesson(*each) for each in zip(self.lessons, told, strict=True)]


def trained(
    model: PreTrainedModel,
    job: Job,
    *,
    saved: bytes | None,
    save: Callable[[bytes], None] | None,
    progress: Callable[[TrainingProgress], None] | None,
) -> Learned:
    """Return the adapter of a job; see `Teacher.taught`."""
    if not job.lessons:
        raise InvalidInput("there is nothing to teach: no memory gave a lesson that fits the model's context")
    with _translated():
        run = _Run(model, job, saved)
        begin, done = time.perf_counter() - run.standing.seconds, run.standing.step
        started = time.perf_counter()
        while not run.finished:
            cost = run.step()
            if run.looks:
                run.look()
                run.standing.seconds = time.perf_counter() - begin
                if save is not None and not run.finished:
                    save(run.state())
            if progress is not None:
                each = (time.perf_counter() - started) / (run.standing.step - done)
                left = 0.0 if run.finished else each * (job.steps - run.standing.step)
                progress(TrainingProgress(run.standing.step, job.steps, cost, left))
        return Learned(weights=run.weights(), steps=run.standing.step, seconds=time.perf_counter() - begin)


class _Run:
    """A training under way, over a copy of the model that shares its tensors."""

    def __init__(self, model: PreTrainedModel, job: Job, saved: bytes | None) -> None:
        self.job, self._recipe, self._device = job, job.recipe, model.device
        self._lessons = job.taught
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=job.recipe.rank,
            lora_alpha=job.recipe.alpha,
            target_modules=targets(model, job.recipe.targets),
            lora_dropout=0.0,
            bias="none",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed)
            self._model: Any = LoraModel(_sharing(model), config, _NAME)
        self._passes = Passes(model, computing=self._model)
        self._parameters = {
            f"base_model.{name.replace(f'.{_NAME}.', '.')}": each
            for name, each in self._model.named_parameters()
            if each.requires_grad
        }
        self._optimizer = torch.optim.AdamW(self._parameters.values(), lr=job.recipe.rate, weight_decay=0.0)
        self.standing = Standing(job=job.digest)
        self._best = self._present()
        if saved is not None:
            self._resume(saved)

    @property
    def finished(self) -> bool:
        done = self.standing.step >= self.job.steps
        return done or self.standing.worse >= self._recipe.patience

    @property
    def looks(self) -> bool:
        """Whether this is a step after which one looks how far it is."""
        return self.standing.step % self._recipe.look == 0 or self.standing.step >= self.job.steps

    def step(self) -> float:
        """Learn from one batch and some neutral texts; return the batch's loss per token (nats)."""
        recipe, number = self._recipe, self.standing.step
        share = _share_of_rate(number, of=self.job.steps, warmup=recipe.warmup)
        self._optimizer.param_groups[0]["lr"] = recipe.rate * share
        lessons = self._drawn(self._lessons, "epoch", number, recipe.batch)
        beside = self._drawn(self.job.neutral, "neutral", number, recipe.texts) if recipe.replay else []
        tokens = sum(len(row.ids) - row.start for row, _ in lessons)
        total = 0.0
        for start in range(0, len(lessons), _TOGETHER):
            part = lessons[start : start + _TOGETHER]
            total += self._learned(part, tokens, beside if start == 0 else [])
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.standing.step += 1
        return total

    def _learned(self, lessons: Sequence[Lesson], tokens: int, beside: Sequence[Row]) -> float:
        """Add the gradients of these lessons, and of the divergence from the base on texts beside them."""
        said = self._passes.logits([*(lesson.row for lesson in lessons), *beside])
        read = [lesson.informed for lesson in lessons if lesson.informed is not None]
        taught = self._of_base(read) if read else []
        whole = cost = cost_of(lessons, said[: len(lessons)], taught) / tokens
        if beside:
            tuned, base = torch.cat(said[len(lessons) :]), torch.cat(self._of_base(beside))
            whole = cost + self._recipe.replay * divergence(tuned, base)
        whole.backward()
        return float(cost.detach())

    def _of_base(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Return what `Passes.logits` does, of the model as it was before it learned anything."""
        self._model.disable_adapter_layers()
        with torch.no_grad():
            logits = self._passes.logits(rows)
        self._model.enable_adapter_layers()
        return logits

    def _drawn(self, rows: Sequence[T], what: str, number: int, size: int) -> list[T]:
        """Return the rows that a step takes: each round is in another order, which the seed determines."""
        found = []
        for place in range(number * size, (number + 1) * size) if rows else ():
            epoch, at = divmod(place, len(rows))
            found.append(rows[drawn(self.job.seed, f"{what} {epoch}", range(len(rows)))[at]])
        return found

    def look(self) -> None:
        """See how many of the watched questions are answered, and how surely; remember the best."""
        if not self.job.watched:
            self._best = self._present()
            return
        losses, right = list[float](), 0
        with torch.no_grad():
            for start in range(0, len(self.job.watched), _TOGETHER):
                rows = self.job.watched[start : start + _TOGETHER]
                for row, logits in zip(rows, self._passes.logits(rows), strict=True):
                    losses.append(float(loss(row, logits).mean()))
                    right += logits.argmax(dim=-1).tolist() == list(row.ids[row.start :])
        found = _A_MISTAKE * (len(losses) - right) + sum(losses) / len(losses)
        if found < self.standing.best - _GAIN:
            self.standing.best, self.standing.worse, self._best = found, 0, self._present()
        else:
            self.standing.worse += 1

    def weights(self) -> Weights:
        """Return the best matrices so far, under PEFT's names."""
        tensors = {name: each.float().cpu().numpy().astype(np.float32) for name, each in self._best.items()}
        return Weights(tensors=tensors, rank=self._recipe.rank, alpha=self._recipe.alpha)

    def _present(self) -> dict[str, torch.Tensor]:
        return {name: each.detach().clone() for name, each in self._parameters.items()}

    def state(self) -> bytes:
        """Return all that going on takes."""
        tensors = {f"best/{name}": each for name, each in self._best.items()}
        tensors |= {f"now/{name}": each for name, each in self._present().items()}
        for name, parameter in self._parameters.items():
            tensors |= {f"{key}/{name}": each for key, each in self._optimizer.state[parameter].items()}
        return packed(self.standing, tensors)

    def _resume(self, saved: bytes) -> None:
        self.standing, tensors = unpacked(saved, job=self.standing.job)
        device = self._device

        def part(kind: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(kind): t.to(device) for n, t in tensors.items() if n.startswith(kind)}

        self._best = part("best/")
        with torch.no_grad():
            for name, each in part("now/").items():
                self._parameters[name].copy_(each)
        for name, parameter in self._parameters.items():
            moments = {key: tensors[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            self._optimizer.state[parameter] = {
                key: each if key == "step" else each.to(device) for key, each in moments.items()
            }


def _share_of_rate(number: int, *, of: int, warmup: int) -> float:
    """Return which share of the peak rate a step has: a rise, then half a cosine down to a tenth."""
    rise = min(1.0, (number + 1) / (warmup + 1))
    return rise * (_LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * number / of)) / 2)


def targets(model: PreTrainedModel, kind: str) -> list[str]:
    """Return the names of the layers that are changed; InvalidInput where the model has none such."""
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module is not head
        and (kind == "all-linear" or any(part in _FFN for part in name.split(".")))
    ]
    if not names:
        raise InvalidInput(f"the model {model.config.model_type!r} has no {kind} layers that PEFT can change")
    return names


def _sharing(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of the model that holds the very same tensors, and drops nothing by chance."""
    shared: dict[int, Any] = {id(each): each for each in model.buffers()}
    for each in model.parameters():
        shared[id(each)] = torch.nn.Parameter(each.detach(), requires_grad=False)
    copied = copy.deepcopy(model, shared)
    copied.config._attn_implementation = "sdpa"
    return copied.eval()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as exc:
        raise BackendError(f"the memory does not suffice to train ({exc}): take a smaller batch") from exc


def rows_fit(rows: Sequence[Row], *, context: int) -> tuple[Row, ...]:
    """Return the rows that the model can read whole."""
    return tuple(row for row in rows if len(row.ids) <= context)
