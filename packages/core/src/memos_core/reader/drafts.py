"""Messages and statements become drafts. Verbatim: no model reads them, nothing is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from memos_core.errors import InvalidInput
from memos_core.memory import Message, Visibility, checked_name
from memos_core.redaction import OFF, Redaction
from memos_core.tiers.text.speech import ROLES
from memos_core.vault.draft import Draft


def said(
    messages: Iterable[Message],
    *,
    session: str | None,
    visibility: Visibility = Visibility.PRIVATE,
    redaction: Redaction = OFF,
) -> list[Draft]:
    """Return one draft per message, in order.

    Two messages are the same if they agree in session and id, or, without an id, in session,
    speaker, time and text.
    """
    if isinstance(messages, Message | str) or not hasattr(messages, "__iter__"):
        raise InvalidInput(f"ingest takes several messages, not {type(messages).__name__}: write [message]")
    if session is not None:
        checked_name(session, what="session")
    return [_said(message, session, visibility, redaction) for message in messages]


def _said(message: object, session: str | None, visibility: Visibility, redaction: Redaction) -> Draft:
    if not isinstance(message, Message):
        raise InvalidInput(f"ingest takes Message(speaker, text) values, not {type(message).__name__}")
    message = replace(message, text=redaction.text(message.text), speaker=redaction.name(message.speaker))
    role = message.role or (message.speaker if message.speaker.lower() in ROLES else None)
    return Draft(
        text=message.text,
        digest=message_digest(
            message.text, session=session, speaker=message.speaker, at=message.at, message_id=message.id
        ),
        kind="message",
        origin="said",
        turn=True,
        speaker=message.speaker,
        role=role,
        session=session,
        message_id=message.id,
        event_at=message.at,
        visibility=visibility,
    )


def message_digest(
    text: str, *, session: str | None, speaker: str, at: datetime | None, message_id: str | None
) -> str:
    """Return what makes two messages of a cube the same: session and id, or else who said what when."""
    if message_id is not None:
        return _digest("id", session, message_id)
    return _digest("said", session, speaker, _instant(at), text)


def statement_digest(text: str, *, kind: str, at: datetime | None) -> str:
    """Return what makes two statements of a cube the same memory: text, kind and event time."""
    return _digest("stated", kind, _instant(at), " ".join(text.split()))


def record_digest(key: str) -> str:
    """Return what no two records of a cube share: its key."""
    return _digest("record", key)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def _digest(*parts: str | None) -> str:
    """Hash the parts so that no two lists of parts collide: each is preceded by its length."""
    hasher = hashlib.sha256()
    for part in parts:
        data = b"" if part is None else part.encode()
        hasher.update(f"{-1 if part is None else len(data)}:".encode() + data)
    return hasher.hexdigest()
