"""Opening an engine by name, and the levels in RAM that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memos_core.errors import BackendError, InvalidInput
from memos_core.inference import AnyEngine, State
from memos_core.tiers.kv.levels import Levels

if TYPE_CHECKING:
    from memos_core.tiers.kv.hf import HfEngine


def opened(name: str, model: str | Path, *, form: str, **options: Any) -> AnyEngine:
    """Return an engine with this model; `options` are the engine's own."""
    if name == "transformers":
        return _transformers().open(model, form=form, **options)
    if form != "exact":
        raise InvalidInput(f"{name} stores its segments as they are: leave form={form!r} out")
    from memos_core.tiers.kv.llamacpp import LlamaCppEngine  # noqa: PLC0415 - an extra

    return LlamaCppEngine.open(model, **options)


def _transformers() -> type[HfEngine]:
    try:
        from memos_core.tiers.kv.hf import HfEngine  # noqa: PLC0415 - torch, 2 s
    except ImportError as exc:
        raise BackendError(
            f"a model on transformers needs a package that is missing ({exc.name}): "
            f"pip install 'memos-suite-core[local-llm]'"
        ) from exc
    return HfEngine


def levels(engine: AnyEngine, *, device_bytes: int | None, host_bytes: int) -> Levels[State]:
    """Return the levels for an engine: two where its states move between device and host, else one.

    `device_bytes` None is a quarter of the device's memory.
    """
    mover = getattr(engine, "mover", None)
    scrub = getattr(engine, "scrub", _nothing)
    if mover is None:
        return Levels(device_bytes=host_bytes, scrub=scrub)
    return Levels(
        device_bytes=mover.budget if device_bytes is None else device_bytes,
        host_bytes=host_bytes,
        to_host=mover.to_host,
        to_device=mover.to_device,
        scrub=scrub,
    )


def _nothing() -> None:
    """An engine without working memory of its own leaves nothing to overwrite."""
