"""What a memory is found by. Keys are not payloads: the turn is returned as it was said.

A key names the day and the speaker before the words (`8 May 2023: Caroline: ...`); the window of
neighbouring turns is not part of any key, it is composed when a query is scored.
"""

from __future__ import annotations

from collections.abc import Sequence

from memos_core.protocols import Embedder, checked_vectors
from memos_core.record import PASSAGE
from memos_core.tiers.text.lexical import terms
from memos_core.tiers.text.speech import ROLES
from memos_core.vault.draft import Draft, Keys

CHUNK = 900  # characters; about 200 tokens, what the small embedders read at once
_BREAKS = ("\n\n", "\n", ". ", "! ", "? ", "。", "; ", ", ", " ")


def keys_of(drafts: Sequence[Draft], embedder: Embedder) -> list[Keys]:
    """Return the keys of each draft; all their vectors are made in one call of the embedder."""
    texts: list[str] = []
    counts: list[int] = []
    for draft in drafts:
        chunks = key_texts(draft)
        texts += chunks
        counts.append(len(chunks))
    vectors = checked_vectors(embedder.embed(texts), embedder, count=len(texts))
    found: list[Keys] = []
    start = 0
    for draft, count in zip(drafts, counts, strict=True):
        found.append(
            Keys(
                terms=terms_of(draft),
                vectors=vectors[start : start + count],
                model=embedder.identity,
            )
        )
        start += count
    return found


def terms_of(draft: Draft) -> str:
    """Return the analysed words that a memory is found by: its day's and its own."""
    return " ".join(terms(f"{_day(draft)} {draft.text}"))


def key_texts(draft: Draft) -> list[str]:
    """Return the texts to embed: the memory under its day and speaker, in chunks if it is long."""
    parts = [_day(draft)]
    if draft.speaker and draft.speaker.lower() not in ROLES:
        parts.append(draft.speaker)
    prefix = "".join(f"{part}: " for part in parts if part)
    return [prefix + chunk for chunk in chunks(draft.text)]


def chunks(text: str, *, limit: int = CHUNK) -> list[str]:
    """Split a text at its best breaks into parts of at most `limit` characters; none is lost.

    A form feed, which ends a page, ends a part.
    """
    found: list[str] = []
    for passage in text.split(PASSAGE):
        rest = passage
        while len(rest) > limit:
            cut = _cut(rest, limit)
            found.append(rest[:cut])
            rest = rest[cut:]
        found.append(rest)
    return [part for part in found if part.strip()] or [text]


def _cut(text: str, limit: int) -> int:
    """Return where to cut: after the last good break in the second half of the limit."""
    for mark in _BREAKS:
        at = text.rfind(mark, limit // 2, limit)
        if at >= 0:
            return at + len(mark)
    return limit


def _day(draft: Draft) -> str:
    return f"{draft.event_at.day} {draft.event_at:%B %Y}" if draft.event_at else ""
