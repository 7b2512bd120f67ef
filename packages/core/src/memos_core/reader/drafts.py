"""Messages and statements become drafts. Verbatim: no model reads them, nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from memos_core.errors import InvalidInput
from memos_core.memory import Message, Trust, Visibility, checked_name
from memos_core.redaction import OFF, Redaction
from memos_core.tiers.text.speech import ROLES
from memos_core.vault.draft import Draft, digest_of, instant


def said(
    messages: Iterable[Message],
    *,
    session: str | None,
    visibility: Visibility = Visibility.PRIVATE,
    trust: Trust = Trust.TRUSTED,
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
    drafts = [_said(message, session, redaction) for message in messages]
    return [replace(draft, visibility=visibility, trust=trust) for draft in drafts]


def _said(message: object, session: str | None, redaction: Redaction) -> Draft:
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
        made_by=message.made_by,
        turn=True,
        speaker=message.speaker,
        role=role,
        session=session,
        message_id=message.id,
        event_at=message.at,
    )


def message_digest(
    text: str, *, session: str | None, speaker: str, at: datetime | None, message_id: str | None
) -> str:
    """Return what makes two messages of a cube the same: session and id, or else who said what when."""
    if message_id is not None:
        return digest_of("id", session, message_id)
    return digest_of("said", session, speaker, instant(at), text)
