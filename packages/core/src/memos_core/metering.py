"""The meter of an open store: what its tiers cost on this machine, what an answer made use of."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from memos_core.activation.keeper import KIND
from memos_core.core import Core
from memos_core.cube import SYSTEM, Principal
from memos_core.governance import NEEDS
from memos_core.inference import AnyEngine, Turn
from memos_core.memory import Memory
from memos_core.scheduler.meter import SAMPLE, echoed, machine_id, of_loads, of_segments
from memos_core.scheduler.stats import Cost, Tier, refreshed
from memos_core.segment import segment_header
from memos_core.vault import artifacts, meters


def costs(core: Core) -> list[Cost]:
    """Return what each tier costs here: calibrated, and refreshed by what was measured in use."""
    with core.catalog.read() as view:
        known = {(cost.tier, cost.model): cost for cost in _stored(view.connection)}
        segments = artifacts.of_kind(view.connection, KIND)
        record = view.embedder_record()
        now = view.now.timestamp()
    seen: list[Cost | None] = []
    for engine in sorted({each.engine for each in segments}):
        of = [each for each in segments if each.engine == engine]
        calibrated = known.get((Tier.KV, engine))
        made = of_segments(
            engine,
            tokens=sum(each.facts["tokens"] for each in of),
            seconds=sum(each.build_seconds for each in of),
            size=sum(each.size for each in of),
            read=calibrated.read if calibrated else 0.0,
            at=max(each.created_at.timestamp() for each in of),
        )
        seen.append(made)
    loads = core.residents.loads
    if record is not None:
        model = record.identity
        seen.append(of_loads(model, keys=loads.keys, seconds=loads.seconds, size=loads.size, at=now))
    for each in seen:
        if each is not None:
            known[each.tier, each.model] = refreshed(known.get((each.tier, each.model)), each)
    return [known[key] for key in sorted(known)]


def _stored(connection: Any) -> list[Cost]:
    return [
        Cost(
            tier=Tier(row["tier"]),
            model=row["model"],
            unit=row["unit"],
            write=row["write"],
            read=row["read"],
            size=row["size"],
            samples=row["samples"],
            at=row["at"].timestamp(),
        )
        for row in meters.costs_of(connection, machine_id())
    ]


def calibrated(core: Core, engine: AnyEngine | None, *, given: Iterable[Cost], anew: bool) -> list[Cost]:
    """Measure what was not measured on this machine yet, write it down, and return `costs`."""
    with core.catalog.read() as view:
        known = set() if anew else {(cost.tier, cost.model) for cost in _stored(view.connection)}
    found = list(given)
    embedder = core.embedder()
    if (Tier.TEXT, embedder.identity) not in known:
        found.append(_text(core, now=_now(core)))
    if engine is not None and (Tier.KV, engine.identity.digest) not in known:
        found.append(_states(engine, now=_now(core)))
    with core.catalog.write(SYSTEM) as tx:
        for cost in found:
            meters.write_cost(tx.connection, _row(cost, tx.now))
    return costs(core)


def _now(core: Core) -> float:
    return core.catalog.clock().timestamp()


def _row(cost: Cost, now: Any) -> dict[str, Any]:
    fields = ("model", "unit", "write", "read", "size", "samples")
    told = {name: getattr(cost, name) for name in fields}
    return {"machine": machine_id(), "tier": cost.tier.value, "at": now, **told}


def _text(core: Core, *, now: float) -> Cost:
    """Return what it takes to embed a memory, and the bytes of its vector."""
    embedder = core.embedder()
    begin = time.perf_counter()
    vectors = embedder.embed(list(SAMPLE))
    seconds = time.perf_counter() - begin
    return Cost(
        tier=Tier.TEXT,
        model=embedder.identity,
        unit="memory",
        write=seconds / len(SAMPLE),
        read=0.0,
        size=2.0 * vectors.shape[1],  # float16
        samples=float(len(SAMPLE)),
        at=now,
    )


def _states(engine: AnyEngine, *, now: float) -> Cost:
    """Return what it takes to compute a token's state, and to read it from a file again."""
    prompt = engine.encode(["\n".join(SAMPLE)], [Turn("user", "?")])
    ids = prompt.ids[: prompt.cuts[-1]] if prompt.cuts else prompt.ids
    begin = time.perf_counter()
    state = engine.prefill(ids, ())
    computed = time.perf_counter() - begin
    header = segment_header(engine.identity, salt="", parent="", start=0, ids=ids, sources=[], form="exact")
    data = engine.codec.pack(state, header)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        path.write_bytes(data)
        begin = time.perf_counter()
        engine.codec.unpack(path, header)
        read = time.perf_counter() - begin
    count = len(ids)
    return Cost(
        tier=Tier.KV,
        model=engine.identity.digest,
        unit="token",
        write=computed / count,
        read=read / count,
        size=len(data) / count,
        samples=float(count),
        at=now,
    )


def credited(
    core: Core, principal: Principal, cube_id: str, ids: Sequence[str], answer: str, *, asked: str
) -> list[str]:
    """Count the memories that an answer says again; return their ids. NotFound for what is not in sight."""
    with core.reading(principal, cube_id, NEEDS["credit"]) as (view, cube):
        memories = [view.memory(cube, memory_id) for memory_id in ids]
    return credit(core, memories, answer, asked=asked)


def credit(core: Core, memories: Iterable[Memory], answer: str, *, asked: str) -> list[str]:
    """Count those of these memories, which somebody was shown, that an answer says again."""
    used = [memory.id for memory in memories if echoed(memory.text, answer, asked=asked)]
    if used:
        core.catalog.uses.answer(used)
    return used
