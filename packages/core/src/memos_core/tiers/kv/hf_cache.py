"""The cache that a transformers model computes into: its room is made once, stored states are copied in.

transformers' own `DynamicCache` allocates and copies everything again with every token.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from memos_core.tiers.kv.states import TensorState


class BufferLayer(CacheLayerMixin):  # type: ignore[misc] # transformers is not followed
    """One layer's keys and values in buffers with room for `capacity` tokens, which grow when needed."""

    is_sliding = False
    keys: Any
    values: Any

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.is_initialized = False
        self.capacity = capacity
        self.used = 0

    def clear(self, capacity: int) -> None:
        """Forget everything, and have room for `capacity` tokens, in the same memory if that is enough."""
        self.used = 0
        if not self.is_initialized or self.capacity < capacity:
            self.capacity = capacity
            self.is_initialized = False
            self.keys = self.values = None  # nobody would overwrite them any more

    def wipe(self) -> None:
        """Forget everything, and overwrite the memory that it was in."""
        self.used = 0
        if self.is_initialized:
            self.keys.zero_()
            self.values.zero_()

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make room for tokens like these, shape (1, kv heads, any, head dimensions)."""
        self.keys = _room(key_states, self.capacity)
        self.values = _room(value_states, self.capacity)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; return views of everything held, shape (1, kv heads, tokens, head dimensions)."""
        end = self._roomy(key_states.shape[-2], key_states, value_states)
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def attach(self, keys: torch.Tensor, values: torch.Tensor, *, device: torch.device) -> None:
        """Append a stored state's tensors, shape (kv heads, tokens, head dimensions), from any device."""
        like = (each[None, :, :0].to(device) for each in (keys, values))
        end = self._roomy(keys.shape[1], *like)
        self.keys[0, :, self.used : end].copy_(keys, non_blocking=True)
        self.values[0, :, self.used : end].copy_(values, non_blocking=True)
        self.used = end

    def beyond(self, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return copies of what is held from slot `start` on, shape (kv heads, tokens, head dimensions)."""
        return self.keys[0, :, start : self.used].clone(), self.values[0, :, start : self.used].clone()

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many tokens attention will see, and which slot they begin at."""
        return self.used + query_length, 0

    def get_seq_length(self) -> int:
        """Return how many tokens are held."""
        return self.used

    def get_max_length(self) -> int:
        """Return -1: there is no limit."""
        return -1

    def _roomy(self, count: int, keys: torch.Tensor, values: torch.Tensor) -> int:
        """Have room for so many tokens like these after those held; return where they will end."""
        end = self.used + count
        if not self.used and not (self.is_initialized and _alike(self.keys, keys)):
            self.capacity = max(self.capacity, end)
            self.lazy_initialization(keys, values)
        elif end > self.capacity:
            self.capacity = max(end, self.capacity + self.capacity // 2)
            self.keys = _moved(self.keys, self.used, self.capacity)
            self.values = _moved(self.values, self.used, self.capacity)
        return end


class ScatterLayer(CacheLayerMixin):  # type: ignore[misc] # transformers is not followed
    """Full keys and values of one layer, in which the tokens computed anew replace those in their slots.

    `keys` and `values` have the shape (kv heads, tokens, head dimensions); they are this layer's own
    and are written to. `slots` has one index per token of the forward pass.
    """

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.slots = keys[None], values[None], slots
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: the layer is made full."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill the slots; return everything, shape (1, kv heads, tokens, head dimensions)."""
        self.keys.index_copy_(2, self.slots, key_states)
        self.values.index_copy_(2, self.slots, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - all are there
        """Return how many tokens attention will see, and which slot they begin at."""
        return self.keys.shape[-2], 0

    def get_seq_length(self) -> int:
        """Return how many tokens are held."""
        return int(self.keys.shape[-2])

    def get_max_length(self) -> int:
        """Return how many tokens can be held: as many as there are."""
        return int(self.keys.shape[-2])


class Rooms:
    """Makes the caches of one model, and uses the memory of the last ones again.

    Memory that is fresh from the system costs more to touch for the first time than to copy into.
    One cache is kept for each thread that had one at the same time, `spare` at most. What the last
    calls computed stays in them, out of reach, until it is overwritten: by the next calls, or by
    `scrub`. Safe to call from several threads.
    """

    def __init__(self, *, layers: int, spare: int = 2) -> None:
        self._layers = layers
        self._free: deque[Cache] = deque(maxlen=spare)
        self._lock = threading.RLock()  # an answer may be collected while a room is taken
        self._scrubs = 0
        self._closed = False

    @contextmanager
    def attached(
        self, base: Sequence[TensorState], *, capacity: int, device: torch.device
    ) -> Iterator[Cache]:
        """Lend a cache with a copy of a chain of states in it, and room for `capacity` tokens in all."""
        with self._lock:
            cache, scrubs = self._free.pop() if self._free else None, self._scrubs
        if cache is None:
            cache = Cache(layers=[BufferLayer(capacity) for _ in range(self._layers)])
        with torch.inference_mode():
            for layer in cache.layers:
                layer.clear(capacity)
            for state in base:
                for layer, keys, values in zip(cache.layers, state.keys, state.values, strict=True):
                    layer.attach(keys, values, device=device)
        try:
            yield cache
        finally:
            self._give_back(cache, scrubs)

    def scrub(self) -> None:
        """Overwrite what the last calls left; a cache that is lent is overwritten when it comes back."""
        with self._lock:
            self._scrubs += 1
            free = list(self._free)
            self._free.clear()
        for cache in free:
            self._give_back(cache, -1)

    def close(self) -> None:
        """Give the memory back; a cache that is lent goes when it comes back."""
        with self._lock:
            self._closed = True
            self._free.clear()

    def _give_back(self, cache: Cache, scrubs: int) -> None:
        """Keep a cache for the next call, as clean as it has to be: it is from before so many scrubs."""
        while True:
            with self._lock:
                if self._closed:
                    return
                if scrubs == self._scrubs:
                    self._free.append(cache)
                    return
                scrubs = self._scrubs
            with torch.inference_mode():
                for layer in cache.layers:
                    layer.wipe()


def detached(cache: Cache, *, slot: int, start: int, end: int) -> TensorState:
    """Return what the cache holds from slot `slot` on as the state of the tokens `start` to `end`."""
    pairs = [layer.beyond(slot) for layer in cache.layers]
    return TensorState(
        start=start,
        end=end,
        keys=tuple(keys for keys, _ in pairs),
        values=tuple(values for _, values in pairs),
    )


def _room(like: torch.Tensor, capacity: int) -> torch.Tensor:
    return like.new_empty((*like.shape[:2], capacity, like.shape[3]))


def _moved(old: torch.Tensor, used: int, capacity: int) -> torch.Tensor:
    new = _room(old, capacity)
    new[:, :, :used] = old[:, :, :used]
    return new


def _alike(held: torch.Tensor, new: torch.Tensor) -> bool:
    """Return whether tokens of the one kind can stand beside the other."""
    apart = (held.shape[1] - new.shape[1], held.shape[3] - new.shape[3])
    return held.dtype == new.dtype and held.device == new.device and apart == (0, 0)
