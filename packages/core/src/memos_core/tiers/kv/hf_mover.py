"""Moving states between the device that computes and the host's RAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from memos_core.tiers.kv.states import TensorState

_SHARE = 4  # states may take a quarter of the device's memory if nobody says otherwise

_Copy = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """Copies states from `device` to the host and back, bit by bit. Safe to call from several threads.

    Below a CUDA device the host's memory is pinned, so that a copy back goes at the full speed of
    the bus. torch rounds each pinned tensor up to a power of two, and keeps it for the next one.
    """

    device: torch.device

    @property
    def budget(self) -> int:
        """A quarter of the device's memory in bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[1]) // _SHARE
        if self.device.type == "mps":
            return int(torch.mps.recommended_max_memory()) // _SHARE
        return 0  # nobody asks what this kind has: it holds no states unless somebody says how many

    def to_host(self, state: TensorState) -> TensorState:
        """Return the state in the host's memory; when it returns, all of it is there."""
        lowered = _each(state, self._lowered)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return lowered

    def to_device(self, state: TensorState) -> TensorState:
        """Return the state on the device, itself where it is there; work queued after this sees all of it."""
        return _each(state, lambda tensor: tensor.to(self.device, non_blocking=True))

    def _lowered(self, tensor: torch.Tensor) -> torch.Tensor:
        pinned = self.device.type == "cuda"
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
        return host.copy_(tensor, non_blocking=pinned)


def mover_of(device: torch.device) -> Mover | None:
    """Return what moves states off a device, None for the CPU, whose memory is the host's."""
    return None if device.type == "cpu" else Mover(device=device)


def _each(state: TensorState, copied: _Copy) -> TensorState:
    def all_of(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(copied(tensor) for tensor in tensors)

    return TensorState(start=state.start, end=state.end, keys=all_of(state.keys), values=all_of(state.values))
