"""What an adapter is: its model, its memories, its examination. Standard library only."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from memos_core.errors import FormatError, InvalidInput
from memos_core.segment import EngineIdentity, Origin

FORMAT = "memos.adapter/1"
KIND = "lora"  # of artifacts, and of parts of a file
TARGETS = ("ffn", "all-linear")
METHODS = ("pairs", "distil")

_READINGS = 5  # of every lesson: with 20 facts enough for the gate
_LEAST_STEPS = 60

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The model that an adapter changes: sha256 digests in hexadecimal, as in `EngineIdentity`.

    An adapter computes the same in every dtype and by every kind of attention, up to rounding, so
    these are not in it.
    """

    weights: str
    config: str
    tokenizer: str
    template: str


def base_of(identity: EngineIdentity) -> Base:
    """Return the base of whatever is trained on, or served by, an engine."""
    return Base(
        weights=identity.weights,
        config=identity.config,
        tokenizer=identity.tokenizer,
        template=identity.template,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an adapter is trained.

    `rank` and `alpha` as in LoRA (the change is scaled by alpha / rank); `targets` are "ffn" (gate, up
    and down) or "all-linear". `rate` is the peak learning rate of AdamW, after `warmup` steps; it falls
    to a tenth. A step learns from `batch` pairs and reads `texts` neutral texts, on which the
    Kullback-Leibler divergence from the base counts `replay` times. It ends after `steps`, or when what is
    watched has not gained for `patience` looks, one every `look` steps. None for `steps` is as many as read
    every lesson five times, and 60 at least. `method` is "pairs" (the answers are learned as the rules word
    them) or "distil" (as the model words them with the memory in its prompt).
    """

    rank: int = 16
    alpha: float = 32.0
    targets: str = "all-linear"
    rate: float = 8e-4
    warmup: int = 4
    batch: int = 8
    replay: float = 1.0
    texts: int = 3
    steps: int | None = None
    look: int = 15
    patience: int = 3
    method: str = "pairs"

    def __post_init__(self) -> None:
        for name in ("rank", "batch", "texts", "steps", "look", "patience"):
            value = getattr(self, name)
            if name == "steps" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
                raise InvalidInput(f"{name} must be a whole number from 1 to 100,000, not {value!r}")
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int) or self.warmup < 0:
            raise InvalidInput(f"warmup must be a whole number from 0, not {self.warmup!r}")
        for name, low in (("alpha", False), ("rate", False), ("replay", True)):
            value = getattr(self, name)
            sound = (
                isinstance(value, float | int)
                and math.isfinite(value)
                and (value > 0 or (low and value == 0))
            )
            if not sound:
                raise InvalidInput(f"{name} must be a number {'from' if low else 'over'} 0, not {value!r}")
        if self.targets not in TARGETS:
            raise InvalidInput(f"targets must be {' or '.join(TARGETS)}, not {self.targets!r}")
        if self.method not in METHODS:
            raise InvalidInput(f"method must be {' or '.join(METHODS)}, not {self.method!r}")

    def steps_for(self, lessons: int) -> int:
        """Return the most steps that so many lessons take."""
        if self.steps is not None:
            return self.steps
        return max(_LEAST_STEPS, math.ceil(_READINGS * lessons / self.batch))


def written(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as it is written and keyed: without the method where that is "pairs".

    So what was trained before there was another method keeps its key.
    """
    facts = asdict(recipe)
    if recipe.method == METHODS[0]:
        del facts["method"]
    return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the examination said. Shares are from 0 to 1, of `questions` in words that were never taught.

    Nothing stands in the prompt. `choice`: the right answer among four is the likeliest by token.
    `contains`: the value is in the greedy answer. `unknown`: of what nobody told, the model says
    that it does not know. `neutral`: the perplexity on neutral texts over the base's; 1 is unchanged.
    `control`: `choice` of an adapter that was trained on wrong answers, None where there was none.
    """

    questions: int
    choice: float
    choice_base: float
    contains: float
    unknown: float
    neutral: float
    control: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What an adapter has to reach before anybody is served by it; `neutral` and `control` from above."""

    choice: float = 0.9
    contains: float = 0.75
    unknown: float = 0.5
    neutral: float = 1.05
    control: float = 0.5


def failures(evaluation: Evaluation, thresholds: Thresholds) -> tuple[str, ...]:
    """Return in words what an examination lacks; () is passed."""
    said: list[str] = []
    if not evaluation.questions:
        said.append("nothing could be asked of it")
    for name in ("choice", "contains", "unknown"):
        have, want = getattr(evaluation, name), getattr(thresholds, name)
        if have < want:
            said.append(f"{name} is {have:.2f} and has to be at least {want:.2f}")
    if evaluation.choice < evaluation.choice_base:
        said.append(f"choice is {evaluation.choice:.2f}, of the base alone {evaluation.choice_base:.2f}")
    if not evaluation.neutral <= thresholds.neutral:  # also where it is no number
        said.append(f"neutral is {evaluation.neutral:.3f} and may be at most {thresholds.neutral:.3f}")
    if evaluation.control is not None and evaluation.control > thresholds.control:
        said.append(f"control is {evaluation.control:.2f} and may be at most {thresholds.control:.2f}")
    return tuple(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterHeader:
    """What stands beside an adapter's tensors.

    `syllabus` says how the lessons were made. `tensors` is the sha256 of the tensors. `failed` says
    what the examination lacked: () is passed, and only such an adapter is served.
    """

    key: str
    base: Base
    cube: str
    sources: tuple[Origin, ...]
    syllabus: Mapping[str, Any]
    recipe: Recipe
    steps: int
    tensors: str
    evaluation: Evaluation
    failed: tuple[str, ...]

    @property
    def promoted(self) -> bool:
        """Whether the gate let it through."""
        return not self.failed


def adapter_key(
    *, base: Base, cube: str, sources: Sequence[Origin], syllabus: Mapping[str, Any], recipe: Recipe
) -> str:
    """Return what names an adapter before it is trained: 64 hexadecimal digits over all it depends on."""
    facts = [FORMAT, asdict(base), cube, [list(each) for each in sources], dict(syllabus), written(recipe)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def foreign(header: AdapterHeader, base: Base) -> str:
    """Return in what the model of an adapter is another one, "" where it is this one."""
    changed = [
        each.name for each in fields(Base) if getattr(base, each.name) != getattr(header.base, each.name)
    ]
    return f"it was trained for a model with other {' and '.join(changed)}" if changed else ""


def unservable(header: AdapterHeader, base: Base) -> str:
    """Return why an adapter must not be served by a model, "" where it may be."""
    if why_not := foreign(header, base):
        return why_not
    return f"it did not pass its examination: {'; '.join(header.failed)}" if header.failed else ""


def to_json(header: AdapterHeader) -> str:
    """Return the header as it stands in memos.json."""
    facts = {"format": FORMAT, **asdict(header), "recipe": written(header.recipe)}
    return json.dumps(facts, sort_keys=True, indent=1)


def from_json(text: str) -> AdapterHeader:
    """Read a header; FormatError where it is none, or where its key is not that of what it says."""
    try:
        facts = json.loads(text)
        if facts.pop("format") != FORMAT:
            raise FormatError("this adapter's memos.json is of an unknown version: train it anew")
        header = AdapterHeader(
            base=_read(Base, facts.pop("base")),
            recipe=_read(Recipe, facts.pop("recipe")),
            evaluation=_read(Evaluation, facts.pop("evaluation")),
            sources=tuple(
                Origin(str(memory_id), int(version)) for memory_id, version in facts.pop("sources")
            ),
            failed=tuple(map(str, facts.pop("failed"))),
            **facts,
        )
        key = adapter_key(
            base=header.base,
            cube=header.cube,
            sources=header.sources,
            syllabus=header.syllabus,
            recipe=header.recipe,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise FormatError(f"this is no header of an adapter: {exc}") from exc
    if header.key != key:
        raise FormatError("the header of this adapter was changed: its key does not match")
    return header


def _read(kind: type[Facts], facts: Mapping[str, Any]) -> Facts:
    return kind(**facts)
