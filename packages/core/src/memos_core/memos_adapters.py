"""A store and its adapters: what models were taught of its cubes, looked after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from memos_core import lora
from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.lora import Adapter
from memos_core.memcube import MemCube


class AdapterVerbs:
    """The verbs of `MemOS` that look after adapters; `Runtime.train` makes them."""

    _core: Core
    principal: Principal

    def adapters(self, cube: MemCube | None = None) -> Sequence[Adapter]:
        """Return the adapters of a cube, or of every cube that you may read, oldest first.

        What failed its examination is among them, with what it lacked. `Runtime.train` makes them.
        """
        self._core.check_open()
        return lora.listed(self._core, self.principal, None if cube is None else [cube.id])

    def drop_adapters(self, adapters: Iterable[Adapter]) -> int:
        """Delete adapters from RAM and disk; return how many. No memory is lost by it."""
        self._core.check_open()
        return lora.dropped(self._core, self.principal, list(adapters))

    def activate_adapter(self, adapter: Adapter) -> None:
        """Let an adapter answer for its cube on its model, whatever is trained after it.

        Without such a choice the newest that may answer does; it does again once the chosen one is
        stale, dropped or deactivated. InvalidInput where the adapter did not pass its examination,
        NotFound where it is gone or stale.
        """
        self._core.check_open()
        lora.chosen(self._core, self.principal, adapter, answers=True)

    def deactivate_adapter(self, adapter: Adapter) -> None:
        """Let an adapter answer no more, until it is activated; it is kept.

        Where no other one answers, replies name the reason in `no_adapter`. NotFound where it is gone or
        stale.
        """
        self._core.check_open()
        lora.chosen(self._core, self.principal, adapter, answers=False)

    def export_adapter(
        self, adapter: Adapter, folder: str | Path, *, gguf: str | Path | None = None
    ) -> Sequence[Path]:
        """Write an adapter as a folder in PEFT's layout, with `memos.json`; return the files.

        With `gguf`, the file of the base model in llama.cpp's format ("smollm2-135m" is the bundled
        one), `adapter.gguf` is written as well: `LlamaCppRuntime.open(model, adapter=...)` takes
        it, as llama.cpp's own `--lora` does. That is for models of the Llama kind.

        What was exported is yours to erase: forget() does not reach it. InvalidInput where the folder
        is not empty, NotFound where the adapter is gone or stale.
        """
        self._core.check_open()
        return lora.exported(self._core, self.principal, adapter, Path(folder), gguf=_gguf(gguf))


def _gguf(model: str | Path | None) -> Path | None:
    if model is None:
        return None
    from memos_core.tiers.kv.llamacpp import BUNDLED, bundled_file  # noqa: PLC0415 - only for this

    return bundled_file() if model == BUNDLED else Path(model)
