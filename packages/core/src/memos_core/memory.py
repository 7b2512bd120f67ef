"""The memory unit: a frozen value with a text, a version and a header in three groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from memos_core.errors import InvalidInput

MAX_TEXT_BYTES = 1 << 20  # one MiB: a memory is a thing said, not an archive
MAX_NAME_BYTES = 1024
MAX_TTL = timedelta(days=365_000)


STATED, EXTRACTED = "stated", "extracted"
"""Origins: what somebody said was so, and what an extractor found in other memories."""

VERBATIM, STATEMENT, COPY, RECORD_TEXTS = "verbatim", "statement", "copy", "record"
IMPORT = "import:"
OWN_MAKERS = (VERBATIM, STATEMENT, COPY, RECORD_TEXTS)
"""How this store itself makes memories: a message as it was said, a statement as it was given, a copy,
the texts of a record. What an importer made begins with "import:"; anything else is an extractor."""

Choice = TypeVar("Choice", bound=StrEnum)


class State(StrEnum):
    """Where a memory stands in its life (MemOS paper, section 5.2)."""

    GENERATED = "generated"
    ACTIVATED = "activated"
    MERGED = "merged"
    ARCHIVED = "archived"
    EXPIRED = "expired"
    FROZEN = "frozen"


class Visibility(StrEnum):
    """Who besides its owner may see a memory, once they may open its cube."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


class Trust(StrEnum):
    """Whether a memory's words come from somebody whose words count, or from anywhere: a page, a tool."""

    UNTRUSTED = "untrusted"
    TRUSTED = "trusted"

    @property
    def rank(self) -> int:
        """0 for the least trust."""
        return list(Trust).index(self)


class Relation(StrEnum):
    """What one memory is to another. Read `a RELATION b`."""

    DERIVED_FROM = "derived_from"
    SUPERSEDES = "supersedes"
    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    RELATED = "related"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptive:
    """What it is and where it came from. Times are UTC."""

    kind: str = "fact"
    tags: tuple[str, ...] = ()
    origin: str = STATED  # by remember(); "said" by ingest(), "copied", EXTRACTED
    made_by: str = STATEMENT  # what put it into these words: see `OWN_MAKERS`, or an extractor's name
    speaker: str | None = None
    role: str | None = None
    session: str | None = None
    position: int | None = None  # turn number within the session, from 0
    event_at: datetime | None = None  # when it happened or was said
    created_at: datetime  # when this store first wrote it
    updated_at: datetime  # when this store last wrote it
    imported_from: str | None = None  # the digest of the manifest of the file that it came in


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """Whose it is and how it may be used."""

    owner: str
    visibility: Visibility = Visibility.PRIVATE
    expires_at: datetime | None = None  # from then on it does not exist for any reader
    sensitivity: int = 0  # 0 (anyone's business) to 9 (nobody's)
    priority: int = 0  # -9 to 9
    trust: Trust = Trust.TRUSTED  # never above that of what it is derived from


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How it has been used."""

    hits: int = 0  # times it was returned by a recall
    last_used: datetime | None = None
    usefulness: float = 0.0  # 0 to 1
    lineage: tuple[Link, ...] = ()  # edges that start at this memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A directed edge: `source` RELATION `target`; both are memory ids."""

    source: str
    relation: Relation
    target: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Everything about a memory that is not its text, in the paper's three groups."""

    descriptive: Descriptive
    governance: Governance
    behaviour: Behaviour = field(default_factory=Behaviour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing remembered, at one version. `id` is stable, `version` counts from 1."""

    id: str
    cube: str  # the cube's id
    version: int
    text: str
    state: State
    header: Header

    @property
    def kind(self) -> str:
        return self.header.descriptive.kind

    @property
    def tags(self) -> tuple[str, ...]:
        return self.header.descriptive.tags

    @property
    def speaker(self) -> str | None:
        return self.header.descriptive.speaker

    @property
    def session(self) -> str | None:
        return self.header.descriptive.session

    @property
    def trust(self) -> Trust:
        """Whether its words may be taken at their word; what is untrusted is shown as such in prompts."""
        return self.header.governance.trust

    @property
    def at(self) -> datetime:
        """When it happened or was said; when it was written, if nobody told."""
        return self.header.descriptive.event_at or self.header.descriptive.created_at


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as it was said.

    `at` must know its time zone. `id` is the caller's own name for the message, if it has one:
    a message sent again under the same id is the same message. `made_by` says what put it into these
    words, where that was not its speaker: an importer ("import:mem0") or a model.
    """

    speaker: str
    text: str
    at: datetime | None = field(default=None, kw_only=True)
    role: str | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    made_by: str = field(default=VERBATIM, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        checked_name(self.speaker, what="speaker")
        checked_text(self.text)
        if self.made_by != VERBATIM and not str(self.made_by).startswith(IMPORT):
            checked_maker(self.made_by)
        object.__setattr__(self, "at", checked_time(self.at, what="at"))
        if self.id is not None:
            checked_name(self.id, what="message id")
        if self.role is not None:
            checked_name(self.role, what="role")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The verbatim thing a memory came from."""

    memory_id: str
    text: str
    speaker: str | None
    role: str | None
    session: str | None
    position: int | None
    event_at: datetime | None
    message_id: str | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of a memory, as history keeps it."""

    version: int
    text: str
    kind: str
    tags: tuple[str, ...]
    state: State
    event_at: datetime | None
    written_at: datetime
    written_by: str


def checked_text(text: object, *, what: str = "text") -> str:
    """Return `text` if it can be remembered: a non-blank Unicode string of at most one MiB."""
    if not isinstance(text, str):
        raise InvalidInput(f"{what} must be a str, not {type(text).__name__}")
    if not text.strip():
        raise InvalidInput(f"{what} is empty: there is nothing to keep")
    if _utf8_length(text, what) > MAX_TEXT_BYTES:
        raise InvalidInput(f"{what} is over {MAX_TEXT_BYTES:,} bytes: split it into several memories")
    return text


def checked_name(name: object, *, what: str) -> str:
    """Return `name` if it can name something: a non-blank Unicode string of at most 1,024 bytes."""
    if not isinstance(name, str):
        raise InvalidInput(f"{what} must be a str, not {type(name).__name__}")
    if not name.strip():
        raise InvalidInput(f"{what} is empty: give it a name")
    if _utf8_length(name, what) > MAX_NAME_BYTES:
        raise InvalidInput(f"{what} is over {MAX_NAME_BYTES:,} bytes: choose a shorter one")
    return name


def checked_time(at: object, *, what: str) -> datetime | None:
    """Return `at` in UTC if it knows its time zone; None stays None."""
    if at is None:
        return None
    if not isinstance(at, datetime):
        raise InvalidInput(f"{what} must be a datetime, not {type(at).__name__}")
    if at.utcoffset() is None:
        raise InvalidInput(
            f"{what}={at.isoformat()} has no time zone: say which, e.g. "
            f"{what}.replace(tzinfo=timezone.utc) or {what}.astimezone()"
        )
    try:
        return at.astimezone(UTC)
    except OverflowError as exc:
        raise InvalidInput(f"{what}={at.isoformat()} has no equal in UTC: the calendar ends there") from exc


def checked_id(memory_id: object) -> str:
    """Return `memory_id` if it could be one."""
    return checked_name(memory_id, what="memory id")


def checked_maker(name: object) -> str:
    """Return `name` if it can be that of an extractor or a model, and not one of our own words."""
    maker = checked_name(name, what="made_by")
    if maker in OWN_MAKERS or maker.startswith(IMPORT):
        raise InvalidInput(
            f"made_by={maker!r} is what the store itself writes: name the extractor or the model"
        )
    return maker


def checked_choice(kind: type[Choice], value: object, *, what: str) -> Choice:
    """Return `value` as one of the words of `kind`."""
    try:
        return kind(str(value))
    except ValueError as exc:
        raise InvalidInput(f"{what} is one of {', '.join(kind)}, not {value!r}") from exc


def checked_within(value: object, low: int, high: int, *, what: str) -> int:
    """Return `value` if it is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"{what} must be a whole number from {low} to {high}, not {value!r}")
    return value


def checked_ttl(ttl: object) -> timedelta | None:
    """Return `ttl` if it is None or a positive duration."""
    return checked_span(ttl, what="ttl", instead="use forget() to erase at once")


def checked_span(span: object, *, what: str, instead: str = "leave it out") -> timedelta | None:
    """Return `span` if it is None or a positive duration."""
    if span is None:
        return None
    if not isinstance(span, timedelta):
        raise InvalidInput(f"{what} must be a timedelta, not {type(span).__name__}")
    if span <= timedelta(0):
        raise InvalidInput(f"{what} must be positive, not {span!r}: {instead}")
    if span > MAX_TTL:
        raise InvalidInput(f"{what} is over 1,000 years: leave it out, and the memory stays")
    return span


def checked_tags(tags: object, *, what: str = "tag") -> tuple[str, ...]:
    """Return the tags (or other names) as a tuple without repeats, in order; a bare string is refused."""
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise InvalidInput(f"{what}s must be several strings, not {tags!r}: write {what}s=[...]")
    return tuple(dict.fromkeys(checked_name(tag, what=what) for tag in tags))


def _utf8_length(text: str, what: str) -> int:
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise InvalidInput(
            f"{what} is not valid Unicode (a lone surrogate at {exc.start}): decode it properly"
        ) from exc
