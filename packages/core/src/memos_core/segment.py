"""What a stored attention state is: which model, which tokens, which memories. Standard library only.

A prompt's reusable prefix is cut into links. Each link's key covers the whole chain before it, so
that a key is found only where everything that the state depends on is the same.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

from memos_core.errors import FormatError

FORMAT = "memos.kv/1"


@dataclass(frozen=True, kw_only=True)
class EngineIdentity:
    """Everything about an engine that its states depend on; two digests that differ never meet.

    `weights`, `config`, `tokenizer`, `template`, `rope` and `adapter` are sha256 digests in
    hexadecimal, "" where the model has no such thing; `dtype` and `attention` are names.
    """

    engine: str
    weights: str
    config: str
    tokenizer: str
    template: str
    dtype: str
    attention: str
    rope: str = ""
    adapter: str = ""

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return _sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode())


class Origin(NamedTuple):
    """A memory that a state was made from, as it was then."""

    memory_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What stands in a segment's file beside its tensors.

    The segment holds the tokens `ids` at the positions `start` to `start + len(ids)`. `parent` is
    the key of the link before it, "" for the first. `salt` names who may read the sources. `form`
    says how the tensors are stored. `kind` is "chain" where the state was made after its whole
    prefix, and "free" where it was made after the shared head only and may be moved.
    """

    key: str
    identity: EngineIdentity
    salt: str
    parent: str
    start: int
    ids: tuple[int, ...]
    sources: tuple[Origin, ...]
    kind: str = "chain"
    form: str = "exact"

    @property
    def end(self) -> int:
        """The position after the last token."""
        return self.start + len(self.ids)


def segment_header(
    identity: EngineIdentity,
    *,
    salt: str,
    parent: str,
    start: int,
    ids: Sequence[int],
    sources: Sequence[Origin],
    kind: str = "chain",
    form: str = "exact",
) -> SegmentHeader:
    """Return the header of a segment, with the key that all of this determines."""
    facts = [FORMAT, identity.digest, salt, parent, start, [list(origin) for origin in sources], kind, form]
    key = _sha256(json.dumps(facts).encode() + b"\0" + array("q", ids).tobytes())
    return SegmentHeader(
        key=key,
        identity=identity,
        salt=salt,
        parent=parent,
        start=start,
        ids=tuple(ids),
        sources=tuple(sources),
        kind=kind,
        form=form,
    )


def to_json(header: SegmentHeader) -> str:
    """Return the header as it stands in a file."""
    return json.dumps(asdict(header), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> SegmentHeader:
    """Read a header; FormatError where it is none, or where its key is not that of what it says."""
    try:
        facts = json.loads(text)
        key = facts.pop("key")
        facts["identity"] = EngineIdentity(**facts["identity"])
        facts["sources"] = [Origin(str(memory_id), int(version)) for memory_id, version in facts["sources"]]
        header = segment_header(**facts)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise FormatError(f"this is no header of a KV segment: {exc}") from exc
    if header.key != key:
        raise FormatError("the header of this KV segment was changed: its key does not match")
    return header


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
