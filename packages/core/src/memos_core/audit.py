"""The audit: who did what to which memory, in lines of which each seals the one before it.

A line never holds a word of a memory. Its hash covers its own fields and the hash of the former
line, so that no line can be changed, removed, put in or moved without every later hash being
wrong. What guards against one who writes the whole chain anew is a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from memos_core.errors import FormatError

GENESIS: Final = "0" * 64
"""What the first line takes for the hash of the former."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line. `detail` is a word of ours: the step taken, the right given and to whom.

    Of a cube that is not yours to administer you get `seq` and `hash` only; the rest is None.
    """

    seq: int  # from 1, without gaps
    at: datetime | None = None
    principal: str | None = None
    cube: str | None = None
    change: int | None = None
    verb: str | None = None
    memory: str | None = None
    memory_seq: int | None = None
    version: int | None = None
    detail: str | None = None
    purpose: str | None = None  # what the principal acted for, if it said so
    hash: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether nothing but the hash is told."""
        return all(getattr(self, name) is None for name in self.__slots__ if name not in ("seq", "hash"))

    def sealed_after(self, former: str) -> str:
        """Return the SHA-256 of the former hash and of this line's fields, as a JSON array in ASCII.

        The purpose stands last, and only where there is one: lines without are sealed as they always were.
        """
        at = None if self.at is None else self.at.isoformat(timespec="microseconds")
        fields = [former, self.seq, at, self.principal, self.cube, self.change, self.verb]
        fields += [self.memory, self.memory_seq, self.version, self.detail]
        fields += [] if self.purpose is None else [self.purpose]
        return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """How long the chain is, and the hash of its last line. Note it elsewhere to verify against it."""

    lines: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What a verification found: the head, and what is wrong, in words; nothing is all well.

    `blank` counts the lines of an export that have a hash only, because their cube was not the
    exporter's to govern: that they are there is checked, and not what they say.
    """

    head: AuditHead
    findings: Sequence[str]
    blank: int = 0

    @property
    def ok(self) -> bool:
        return not self.findings


def verified(lines: Iterable[AuditLine], head: AuditHead | None, *, noted: str | None = None) -> AuditCheck:
    """Check the lines, in order, against each other, the head that is kept, and one noted earlier.

    `head` is None for an export, which has none: note one, or lines cut off at the end go unseen.
    """
    findings: list[str] = []
    former, last, seen, blank = GENESIS, 0, noted in (None, GENESIS), 0
    for line in lines:
        if line.seq != last + 1:
            findings.append(f"lines {last + 1} to {line.seq - 1} are missing")
        elif line.is_blank:
            blank += 1
        elif line.sealed_after(former) != line.hash:
            findings.append(f"line {line.seq} is not what was written there")
        former, last, seen = line.hash, line.seq, seen or line.hash == noted
    if head is not None and (last, former) != (head.lines, head.hash):
        findings.append(f"the chain ends at line {last} and not as it was left, at line {head.lines}")
    if not seen:
        findings.append(f"no line has the hash {noted!r} that was noted: the chain was written anew")
    return AuditCheck(head=AuditHead(lines=last, hash=former), findings=findings, blank=blank)


def lines_in(exported: Iterable[str]) -> Iterator[AuditLine]:
    """Yield the lines of an export (JSON Lines); FormatError names the first that is none."""
    for number, text in enumerate(exported, start=1):
        try:
            facts = json.loads(text)
            at = facts.pop("at", None)
            yield AuditLine(**facts, at=None if at is None else datetime.fromisoformat(at))
        except (ValueError, TypeError, AttributeError) as exc:
            raise FormatError(f"line {number} is no line of an audit: {exc}", line=number) from exc
