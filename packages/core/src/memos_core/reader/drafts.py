"""Messages and statements become drafts. Verbatim: no model reads them, nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from memos_core.errors import InvalidInput
from memos_core.memory import VERBATIM, Message, Trust, Visibility, checked_name
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
    if message.id is not None:
        digest = digest_of("id", session, message.id)
    else:
        digest = digest_of("said", session, message.speaker, instant(message.at), message.text)
    return Draft(
        text=message.text,
        digest=digest,
        kind="message",
        origin="said",
        made_by=VERBATIM,
        turn=True,
        speaker=message.speaker,
        role=role,
        session=session,
        message_id=message.id,
        event_at=message.at,
    )
