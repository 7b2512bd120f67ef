"""A language model that has a memory: text in its prompt, and states that spare computing it anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from memos_core.activation.answer import Answerer, Place, Request, Stream
from memos_core.activation.composed import Composition
from memos_core.activation.conversation import conversation, question
from memos_core.activation.plan import Plan
from memos_core.adapter import Recipe, Thresholds
from memos_core.briefing import BUDGET, RECALLED, briefed, crediting
from memos_core.errors import Closed, InvalidInput
from memos_core.extract.phrasing import ChatPhraser
from memos_core.inference import AnyEngine, Prompt, State, Turn
from memos_core.lora import Adapter
from memos_core.lora_orders import Order
from memos_core.lora_training import can_teach, teacher_of, trained
from memos_core.memcube import MemCube
from memos_core.memory import Message, checked_within
from memos_core.query import Where
from memos_core.reciting import Claim, Rehearsal, examined, recited, rehearsed
from memos_core.reply import Prefix, Reply, Reuse, Sampling
from memos_core.telemetry import observed
from memos_core.tiers.kv import engines
from memos_core.tiers.kv.levels import Levels
from memos_core.tiers.lora.curriculum import Syllabus
from memos_core.training import Teacher, TrainingProgress
from memos_core.wearing import Blend, Wardrobe, Worn

DEFAULT_MODEL = "smollm2-135m"
HOST_BYTES, DISK_BYTES = 1 << 30, 4 << 30


class Runtime:
    """A model on this machine that answers with a cube's memories. Safe from several threads.

    ::

        with Runtime.open() as runtime:                      # a small model on transformers, on the CPU
            print(runtime.chat("Where does Mira live?", cube=mira).text)

    What is the same in every prompt (the system text and the stable memories) is computed once and
    attached from then on; the answer is the one that computing everything would give. `engine` does
    the computing. `host_bytes` bounds the states held in RAM, `device_bytes` those on an
    accelerator, `disk_bytes` the segments' files in each store.
    """

    engine_name: ClassVar[str] = "transformers"

    def __init__(
        self,
        engine: AnyEngine,
        *,
        device_bytes: int | None = None,
        host_bytes: int = HOST_BYTES,
        disk_bytes: int = DISK_BYTES,
        form: str = "exact",
    ) -> None:
        self.engine, self.form = engine, form
        checked_within(disk_bytes, 0, 1 << 62, what="disk_bytes")
        self._levels: Levels[State] = engines.levels(engine, device_bytes=device_bytes, host_bytes=host_bytes)
        self._answerer = Answerer(engine, self._levels, form=form, disk_bytes=disk_bytes)
        self._teacher: Teacher | None = None
        self._wardrobe = Wardrobe(
            engine,
            self._answerer,
            answering=lambda other: Answerer(other, self._levels, form=form, disk_bytes=disk_bytes),
            teacher=self._teaching,
        )
        self._closed = False

    @classmethod
    def open(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        form: str = "exact",
        device_bytes: int | None = None,
        host_bytes: int = HOST_BYTES,
        disk_bytes: int = DISK_BYTES,
        **options: Any,
    ) -> Self:
        """Open a model: the bundled small one, a path, or a hub id where a hub can be reached.

        `form` says how segments are stored: "exact", or at some loss (docs/howto/kv.md) "bfloat16",
        "int8", "sparse-50". `options` are the engine's own (for transformers: dtype, device,
        attention, progress). InvalidInput for a model that cannot be served exactly.
        """
        engine = engines.opened(cls.engine_name, model, form=form, **options)
        return cls(engine, device_bytes=device_bytes, host_bytes=host_bytes, disk_bytes=disk_bytes, form=form)

    @property
    def identity(self) -> str:
        """What computes the answers: two runtimes of one identity answer alike. A digest, and the form."""
        digest = self.engine.identity.digest
        return digest if self.form == "exact" else f"{digest}-{self.form}"

    @observed("chat", tier="kv")
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
        compose: Composition | None = None,
        reuse: bool = True,
        adapter: bool | Blend = False,
    ) -> Reply:
        """Return the model's answer, given the cube's memories.

        The prompt is the system text, the stable memories, what is recalled for the last thing said
        (at most `recall`, those not stable), then the conversation; memories take at most `budget`
        (estimated) tokens. Stable are those that match `stable`; without it the whole cube where it
        fits, else the kind "persona" and what has a priority, up to half of the budget.

        With `compose`, every memory is a segment of its own and none is computed in place: faster
        where memories come in ever new mixes, and near the right answer, not equal to it; InvalidInput
        where it asks for what the form cannot do. `reuse` False computes everything and stores nothing.

        With `adapter`, the cube's adapter answers (see `train`) if there is one that passed and is not
        stale: what it was taught is not said again, everything newer is. Else all is said in the
        prompt, and the reply's `no_adapter` tells why. A `Blend` puts adapters of several cubes on.

        Raises InvalidInput if the conversation does not fit the model's context, NotFound for a
        cube that the principal may not read. A segment that is damaged is made anew.
        """
        return self.stream(
            messages,
            cube,
            system=system,
            stable=stable,
            recall=recall,
            budget=budget,
            sampling=sampling,
            compose=compose,
            reuse=reuse,
            adapter=adapter,
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
        compose: Composition | None = None,
        reuse: bool = True,
        adapter: bool | Blend = False,
    ) -> Stream:
        """Like `chat`, as an iterable of texts; `finished()` reads the rest and returns the Reply."""
        begin = time.perf_counter()
        self._check_open()
        head, turns = conversation(messages, system=system)
        plan, asked = Plan(head=head), question(turns)
        blend = adapter if isinstance(adapter, Blend) else None
        worn = Worn(self._answerer)
        if compose is not None:
            compose = compose.of(self.form)
        if adapter:
            worn, reuse = self._worn(cube, asked, compose=compose, blend=blend), reuse and blend is None
        if cube is not None:
            cube._core.derived.register(self._levels)  # also where nothing is kept: buffers are scrubbed
            plan = briefed(
                cube,
                head,
                asked,
                stable=stable,
                recall=recall,
                budget=budget,
                one_each=compose is not None,
                taught=worn.sources,
            )
        request = Request(
            begin=begin,
            plan=plan,
            prompt=self._encoded(plan, turns),
            place=_place(cube) if reuse else None,
            why_not=_why_not(cube, reuse=reuse),
            sampling=sampling or Sampling(),
            compose=compose if cube is not None else None,
            adapter=worn.key,
            no_adapter=worn.why_not,
            told=None if cube is None else partial(crediting, cube, plan, asked),
        )
        return Stream(worn.answerer.answered(request))

    @observed("build", tier="kv")
    def build(
        self,
        cube: MemCube,
        *,
        system: str | None = None,
        stable: Where | None = None,
        budget: int = BUDGET,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reuse:
        """Compute and store the prefix that `chat` with these arguments will attach.

        `progress(tokens done, of)` is called now and then. Interrupted, what is done is not lost.
        """
        begin = time.perf_counter()
        self._check_open()
        request = self._prefixed(cube, begin, system=system, stable=stable, budget=budget)
        return self._answerer.built(request, progress)

    @property
    def teaches(self) -> bool:
        """Whether this model can be taught here: it is on transformers, with PEFT, and has no adapter on."""
        return can_teach(self.engine)

    @observed("train", tier="lora")
    def train(
        self,
        cube: MemCube,
        *,
        syllabus: Syllabus | None = None,
        recipe: Recipe | None = None,
        thresholds: Thresholds | None = None,
        stable: Where | None = None,
        control: bool = False,
        renew: bool | None = None,
        phraser: ChatPhraser | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
        heed: Callable[[], None] | None = None,
    ) -> Adapter:
        """Teach the model the cube's memories (those that match `stable`), examine it, keep the adapter.

        Takes minutes; chats go on meanwhile. The adapter answers only if it reaches the `thresholds`;
        its `failed` says what it lacks. Interrupted and called again with the same arguments it goes on
        where it was; what was trained already is returned at once, held to the `thresholds` that are given
        and with the `control` that it lacks. `control` trains a second one on wrong answers, which has to
        fail: twice the time. `progress` is called after every step, `heed` after
        those of the control and before every question of the examination; what they raise ends it.

        A `phraser` (`ChatPhraser`, `OpenAIPhraser`) puts the lessons' questions in other words as well. What
        it says is kept, and goes with its memory; where it fails, only its words are missing.

        With `renew`, whatever makes the adapter stale orders its training anew, in the same transaction,
        as a job of the kind "train" for `MemOS.worker(runtime=...)`; False ends that, None leaves it.

        Raises InvalidInput where there is nothing to teach, UnderWay where the cube is being trained,
        Conflict or NotFound where a memory was changed meanwhile, BackendError where memory or disk
        does not suffice. The adapter before stays in force in any of these cases.
        """
        self._check_open()
        order = Order(
            syllabus=syllabus or Syllabus(),
            recipe=recipe or Recipe(),
            thresholds=thresholds,
            stable=stable,
            control=control,
            renew=renew,
            phraser=phraser,
        )
        return trained(cube, self._teaching(), self.engine, order, progress, heed)

    def rehearse(
        self,
        cube: MemCube,
        *,
        syllabus: Syllabus | None = None,
        recipe: Recipe | None = None,
        stable: Where | None = None,
    ) -> Rehearsal:
        """Return what `train` would teach of a cube, and the time that it would take at most.

        One step is really made, and thrown away. Raises InvalidInput where there is nothing to teach.
        """
        self._check_open()
        order = Order(
            syllabus=syllabus or Syllabus(),
            recipe=recipe or Recipe(),
            stable=stable,
        )
        return rehearsed(cube, self._teaching(), order)

    def recite(self, cube: MemCube, *, blend: Blend | None = None) -> Sequence[Claim]:
        """Return what the adapter that answers for a cube says of each of its memories, as text.

        Asked in words that were not taught, with nothing in the prompt; each claim names its memory
        and whether it is right. So one sees what the weights hold, and what another model would have
        to be told. With a `blend` those of its cubes are on as well, the first ones named: what that
        costs is the difference. NotFound where no adapter may answer.
        """
        self._check_open()
        return recited(cube, self._teaching(), self.engine, blend=blend)

    def examine(
        self,
        cube: MemCube,
        adapter: Adapter | None = None,
        *,
        thresholds: Thresholds | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Adapter:
        """Examine an adapter of a cube again, on this model as it is here; keep and return what it came to.

        Without `adapter` the one that answers. From then on it answers only if it reached the
        `thresholds` (`examined.failed` says what it lacked); it may be examined again. A control is
        not trained anew. `progress(asked, of)` is called before every question; what it raises ends it.
        InvalidInput for an adapter of another cube or model, NotFound where it is gone or stale.
        """
        self._check_open()
        asked = thresholds or Thresholds()
        return examined(cube, adapter, self._teaching(), self.engine, asked, progress)

    def prefix(
        self, cube: MemCube, *, system: str | None = None, stable: Where | None = None, budget: int = BUDGET
    ) -> Prefix:
        """Return how many tokens the prefix has that `build` would make, and how many are stored.

        Nothing is computed by the model.
        """
        self._check_open()
        request = self._prefixed(cube, time.perf_counter(), system=system, stable=stable, budget=budget)
        return self._answerer.stored(request)

    def close(self) -> None:
        """Release the model and the states in RAM. Closing twice is no error."""
        if not self._closed:
            self._answerer.keep_left()
        self._closed = True
        self._levels.close()
        self._wardrobe.close()
        self._teacher = None  # it holds the model
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one call ----------------------------------------------------------------------------

    def _worn(
        self, cube: MemCube | None, asked: str | None, *, compose: Composition | None, blend: Blend | None
    ) -> Worn:
        if compose is not None:
            raise InvalidInput("an adapter's states are not composed: leave out `compose` or `adapter`")
        if cube is None:
            return Worn(self._answerer, why_not="no cube was given")
        return self._wardrobe.for_cube(cube, blend=blend, asked=asked)

    def _teaching(self) -> Teacher:
        if self._teacher is None:
            self._teacher = teacher_of(self.engine)
        return self._teacher

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def _prefixed(
        self, cube: MemCube, begin: float, *, system: str | None, stable: Where | None, budget: int
    ) -> Request:
        head, turns = conversation("?", system=system)
        plan = briefed(cube, head, None, stable=stable, recall=0, budget=budget)
        return Request(begin=begin, plan=plan, prompt=self._encoded(plan, turns), place=_place(cube))

    def _encoded(self, plan: Plan, turns: Sequence[Turn]) -> Prompt:
        prompt = self.engine.encode(plan.texts, turns)
        if len(prompt.ids) >= self.engine.context:
            raise InvalidInput(
                f"the prompt has {len(prompt.ids):,} tokens and the model's context {self.engine.context:,}: "
                f"say less, or give memories a smaller budget"
            )
        return prompt


class LlamaCppRuntime(Runtime):
    """The same on llama.cpp: GGUF models, without torch. Its segments are slots of the whole prefix."""

    engine_name = "llama.cpp"


def _place(cube: MemCube | None) -> Place | None:
    if cube is None:
        return None
    with cube._core.reading(cube._principal, cube.id) as (_view, header):
        return Place(derived=cube._core.derived, cube=header)


def _why_not(cube: MemCube | None, *, reuse: bool) -> str:
    if cube is None:
        return "no cube to keep segments in"
    return "" if reuse else "reuse is off"
