"""A slot of llama.cpp as bytes, and as a segment's file."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memos_core.errors import FormatError, InvalidInput
from memos_core.inference import State
from memos_core.segment import SegmentHeader
from memos_core.tiers.kv import container

_SLOT = "slot"
_FORM = "exact"
_MAGIC = b"qsgg"
_HEAD = 12  # bytes: magic, version, and how many words follow
_PACKED = (-1, 1)  # the first of these words; then come the number of the ids, and the ids


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotState:
    """What llama.cpp saved of a slot that held `end` tokens."""

    end: int
    data: bytes

    @property
    def start(self) -> int:
        """Always 0: a slot is saved whole."""
        return 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.data)


class SlotCodec:
    """Slots in files of docs/formats/kv.md: one tensor of bytes, as llama.cpp wrote them."""

    def pack(self, state: SlotState, header: SegmentHeader) -> bytes:
        """Return the file of a state; InvalidInput for a header of other tokens or another form."""
        data = slot(state).data
        if header.form != _FORM or slot_ids(data, state.end)[header.start :] != header.ids:
            raise InvalidInput(
                f"this header is of another form than {_FORM!r}, or of other tokens than the state"
            )
        return container.write(header, {_SLOT: np.frombuffer(data, dtype=np.uint8)})

    def unpack(self, path: Path, header: SegmentHeader) -> SlotState:
        """Read a file that `pack` made for this header; the state does not need the file any more.

        FormatError where it is damaged, of another header, or of other tokens; NotFound without it;
        BackendError where it cannot be read now.
        """
        tensors, _ = container.read(path, header)
        stored = tensors.get(_SLOT)
        if stored is None or stored.dtype != np.uint8 or stored.ndim != 1:
            raise FormatError(f"{path.name} holds no slot of llama.cpp: build it anew")
        data = stored.tobytes()
        if slot_ids(data, header.end)[header.start :] != header.ids:
            raise FormatError(f"{path.name} holds a slot of other tokens than its header says: build it anew")
        return SlotState(end=header.end, data=data)


def slot(state: State) -> SlotState:
    """Return the state if llama.cpp made it; InvalidInput if another engine did."""
    if not isinstance(state, SlotState):
        raise InvalidInput(f"a {type(state).__name__} is of another engine: attach what this one made")
    return state


def slot_ids(data: bytes, end: int) -> tuple[int, ...]:
    """Return the ids of the `end` tokens that a slot's bytes are of; FormatError where they are not."""
    words = array("i")
    count = int.from_bytes(data[8:_HEAD], "little")
    if data[:4] != _MAGIC or len(data) < _HEAD + words.itemsize * count:
        raise FormatError("these bytes are no slot of llama.cpp, or cut short: build the segment anew")
    words.frombytes(data[_HEAD : _HEAD + words.itemsize * count])
    if tuple(words[:3]) == (*_PACKED, end) and count >= end + 3:
        return tuple(words[3 : 3 + end])
    raise FormatError(f"these bytes are no slot of llama.cpp with {end} tokens: build the segment anew")
