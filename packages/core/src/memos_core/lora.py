"""Looking after adapters: what there is, what each knows and from what, which one may answer, what goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from memos_core.adapter import KIND, AdapterHeader, Base, Evaluation, Recipe, foreign, from_json, unservable
from memos_core.core import Core
from memos_core.cube import CubeHeader, Principal, Right
from memos_core.errors import InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.segment import Origin
from memos_core.vault import artifacts
from memos_core.vault.artifacts import Artifact
from memos_core.vault.view import View

STANDING = "lora-training"  # of artifacts: trainings under way
CHOSEN, EXAMINED = "chosen", "examined"  # facts of an adapter's row, beside its header


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What an adapter came to when it was examined again, and what it lacked; () is passed."""

    evaluation: Evaluation
    failed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Memories of a cube that a model was taught. `size` is in bytes, `train_seconds` in seconds.

    `evaluation` and `failed` are of the examination after its training, `examined` of the last one since
    (None: there was none). Only one that lacked nothing the last time is `promoted`, and only such
    a one answers. `stale` says why it is no longer served, None where it is not stale. `chosen` is
    True where it was activated, False where it was deactivated, None where nobody chose.
    """

    key: str
    cube: str  # the cube's id
    cube_name: str
    base: Base
    recipe: Recipe
    steps: int
    evaluation: Evaluation
    failed: Sequence[str]
    size: int
    train_seconds: float
    created_at: datetime
    stale: str | None
    sources: Sequence[Origin]
    chosen: bool | None = None
    examined: Examination | None = None

    @property
    def last(self) -> Examination:
        """What it came to the last time that it was examined."""
        return self.examined or Examination(evaluation=self.evaluation, failed=self.failed)

    @property
    def promoted(self) -> bool:
        """Whether the gate let it through, the last time that it was examined."""
        return not self.last.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The adapter that answers for a cube, or `why_not` there is none."""

    artifact: Artifact | None = None
    sources: tuple[Origin, ...] = ()
    why_not: str = ""


def listed(core: Core, principal: Principal, cubes: Sequence[str] | None) -> list[Adapter]:
    """Return the adapters made from nothing hidden of these cubes (ids), or of all in sight, oldest first."""
    with core.catalog.read() as view:
        if cubes is None:
            cubes = [cube.id for cube in view.cubes_of(principal, prefix="")]
        entered = [view.enter(cube, principal, NEEDS["adapters"]) for cube in cubes]
        found = [
            adapter_of(each, cube)
            for cube in entered
            for each in artifacts.listed(view.connection, cube, kind=KIND, now=view.now)
        ]
    return sorted(found, key=lambda adapter: adapter.created_at)


def starting(adapters: Sequence[Adapter], prefix: str) -> Adapter:
    """Return the one adapter whose key starts with `prefix`."""
    found = [adapter for adapter in adapters if adapter.key.startswith(prefix)]
    if not found:
        raise NotFound("adapter", prefix)
    if len(found) > 1:
        raise InvalidInput(f"several adapters start with {prefix!r}: give more of the key")
    return found[0]


def dropped(core: Core, principal: Principal, adapters: Sequence[Adapter]) -> int:
    """Delete these adapters from RAM and disk; return how many there were."""
    keys: list[str] = []
    with core.catalog.read() as view:
        for adapter in adapters:
            keys += _known(view, principal, adapter, NEEDS["drop_adapters"])
    return core.derived.refuse(keys, reason="dropped") if keys else 0


def exported(
    core: Core, principal: Principal, adapter: Adapter, folder: Path, *, gguf: Path | None = None
) -> list[Path]:
    """Write an adapter as a folder in PEFT's layout; return its files. NotFound where it is gone or stale.

    With `gguf`, the file of a base model, it is written for llama.cpp as well.
    """
    from memos_core.tiers.lora import layout  # noqa: PLC0415 - an extra

    with core.catalog.read() as view:
        found = _known(view, principal, adapter, NEEDS["export_adapter"])
    if not found:
        raise NotFound("adapter", adapter.key)
    data = core.blobs.get(found[adapter.key].blob)
    if gguf is None:
        return layout.exported(data, folder)
    from memos_core.tiers.kv.gguf import read_header  # noqa: PLC0415 - only for this
    from memos_core.tiers.lora import gguf_out  # noqa: PLC0415 - an extra

    base, packed = read_header(gguf), layout.unpack(data)
    gguf_out.check(packed.weights, base)
    files = layout.exported(data, folder)
    return [*files, gguf_out.written(packed.weights, base, folder / gguf_out.ADAPTER)]


def active(core: Core, principal: Principal, cube_id: str, base: Base) -> Active:
    """Return the adapter of a cube that answers on this model, if nothing in it is hidden from the principal.

    That is the one that was activated, else the newest; what is deactivated, stale, failed or
    foreign is passed over.
    """
    with core.reading(principal, cube_id) as (view, cube):
        rows = artifacts.listed(view.connection, cube, kind=KIND, now=view.now)
    return answering(rows, base)


def answering(rows: Sequence[Artifact], base: Base) -> Active:
    """Return which of a cube's adapters, oldest first, answers on a model; pure."""
    reasons = []
    newest = list(reversed(rows))
    for row in sorted(newest, key=lambda row: row.facts.get(CHOSEN) is not True):
        header = header_of(row)
        why_not = f"it is {row.stale}" if row.stale else _refused(row.facts, header, base)
        if not why_not:
            return Active(artifact=row, sources=header.sources)
        reasons.append(why_not)
    return Active(why_not=reasons[0] if reasons else "the cube has no adapter")


def _refused(facts: Mapping[str, Any], header: AdapterHeader, base: Base) -> str:
    """Return why an adapter must not answer on a model, "" where it may; its last examination counts."""
    if facts.get(CHOSEN) is False:
        return foreign(header, base) or "it was deactivated"
    again = _examined(facts)
    if again is None:
        return unservable(header, base)
    if why_not := foreign(header, base):
        return why_not
    return f"it did not pass when it was examined again: {'; '.join(again.failed)}" if again.failed else ""


def chosen(core: Core, principal: Principal, adapter: Adapter, *, answers: bool) -> None:
    """Let an adapter answer for its cube, in the place of any newer one, or let it answer no more.

    NotFound where it is gone or stale; InvalidInput where it is to answer and did not pass.
    """
    verb = "activate_adapter" if answers else "deactivate_adapter"
    with core.catalog.write(principal) as tx:
        cube = tx.enter(adapter.cube, principal, NEEDS[verb])
        row = artifacts.known(tx.connection, cube, [adapter.key], now=tx.now).get(adapter.key)
        if row is None:
            raise NotFound("adapter", adapter.key)
        header = header_of(row)
        if answers:
            _check_passed(adapter_of(row, cube))
            for other in artifacts.listed(tx.connection, cube, kind=KIND, now=tx.now):
                if other.facts.get(CHOSEN) is True and header_of(other).base == header.base:
                    artifacts.tell(tx.connection, other.key, {CHOSEN: None})
        artifacts.tell(tx.connection, row.key, {CHOSEN: answers})
        tx.note(cube, verb, detail=row.key)


def _check_passed(adapter: Adapter) -> None:
    if not adapter.promoted:
        raise InvalidInput(
            f"the adapter {adapter.key[:8]} did not pass its examination ({'; '.join(adapter.last.failed)}): "
            f"train another one, or examine it again with other thresholds"
        )


def examined_again(
    core: Core, principal: Principal, cube_id: str, key: str, examination: Examination, *, right: Right
) -> Adapter:
    """Keep what an adapter came to when it was examined again; return it. NotFound where it is gone."""
    with core.catalog.write(principal) as tx:
        cube = tx.enter(cube_id, principal, right)
        if key not in artifacts.known(tx.connection, cube, [key], now=tx.now):
            raise NotFound("adapter", key)
        artifacts.tell(tx.connection, key, {EXAMINED: asdict(examination)})
        return adapter_of(artifacts.known(tx.connection, cube, [key], now=tx.now)[key], cube)


def _examined(facts: Mapping[str, Any]) -> Examination | None:
    told = facts.get(EXAMINED)
    if told is None:
        return None
    return Examination(evaluation=Evaluation(**told["evaluation"]), failed=tuple(told["failed"]))


def header_of(artifact: Artifact) -> AdapterHeader:
    """Return the header of an adapter's row."""
    return from_json(json.dumps(artifact.facts["header"]))


def adapter_of(artifact: Artifact, cube: CubeHeader) -> Adapter:
    """Return an adapter as it is shown."""
    header = header_of(artifact)
    return Adapter(
        key=artifact.key,
        cube=cube.id,
        cube_name=cube.name,
        base=header.base,
        recipe=header.recipe,
        steps=header.steps,
        evaluation=header.evaluation,
        failed=header.failed,
        size=artifact.size,
        train_seconds=artifact.build_seconds,
        created_at=artifact.created_at,
        stale=artifact.stale,
        sources=header.sources,
        chosen=artifact.facts.get(CHOSEN),
        examined=_examined(artifact.facts),
    )


def _known(view: View, principal: Principal, adapter: Adapter, right: Right) -> dict[str, Artifact]:
    """Enter the adapter's cube; return its row by key, if it is there and is shown."""
    cube = view.enter(adapter.cube, principal, right)
    return artifacts.known(view.connection, cube, [adapter.key], now=view.now)
