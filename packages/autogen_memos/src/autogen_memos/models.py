"""The models on this machine that clients have open: clients of one model share it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from memos_core import Runtime

_CHOOSING = threading.Lock()  # one model is loaded at a time
_OPEN: dict[str, _Loaded] = {}


@dataclass(slots=True)
class _Loaded:
    runtime: Runtime
    users: int = 0


class Borrowed:
    """A share in a model by name; it is loaded with the first use, and released with the last share."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._runtime: Runtime | None = None

    @property
    def context(self) -> int | None:
        """How many tokens the model takes; None before it was loaded."""
        return None if self._runtime is None else self._runtime.engine.context

    def runtime(self) -> Runtime:
        """Return the model, loaded if need be. Blocking: that takes seconds."""
        with _CHOOSING:
            if self._runtime is None:
                if self.model not in _OPEN:
                    _OPEN[self.model] = _Loaded(Runtime.open(self.model))
                _OPEN[self.model].users += 1
                self._runtime = _OPEN[self.model].runtime
            return self._runtime

    def give_back(self) -> None:
        """Do without the model. Twice is no error."""
        with _CHOOSING:
            if self._runtime is None:
                return
            self._runtime = None
            loaded = _OPEN[self.model]
            loaded.users -= 1
            if not loaded.users:
                del _OPEN[self.model]
                loaded.runtime.close()
