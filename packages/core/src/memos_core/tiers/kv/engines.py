"""Opening an engine by name, and the levels in RAM that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memos_core.errors import InvalidInput
from memos_core.inference import Engine, State
from memos_core.tiers.kv.levels import Levels

ENGINES = ("transformers", "llama.cpp")


def opened(name: str, model: str | Path, *, form: str, **options: Any) -> Engine:
    """Return an engine with this model; `options` are the engine's own."""
    if name == "transformers":
        from memos_core.tiers.kv.hf import HfEngine  # noqa: PLC0415 - torch, 2 s

        return HfEngine.open(model, form=form, **options)
    if form != "exact":
        raise InvalidInput(f"{name} stores its segments as they are: leave form={form!r} out")
    from memos_core.tiers.kv.llamacpp import LlamaCppEngine  # noqa: PLC0415 - an extra

    return LlamaCppEngine.open(model, **options)


def levels(engine: Engine, *, device_bytes: int | None, host_bytes: int) -> Levels[State]:
    """Return the levels for an engine: two where its states move between device and host, else one.

    `device_bytes` None is a quarter of the device's memory.
    """
    mover = getattr(engine, "mover", None)
    if mover is None:
        return Levels(device_bytes=host_bytes)
    return Levels(
        device_bytes=mover.budget if device_bytes is None else device_bytes,
        host_bytes=host_bytes,
        to_host=mover.to_host,
        to_device=mover.to_device,
    )
