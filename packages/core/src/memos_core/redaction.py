"""What must never be written: addresses, numbers and keys are found in a text before it is kept.

Detection is by form and check digit, without a model. Phone numbers are found by `phonenumbers`
(the extra `redaction`); the other forms are a pattern and a sum each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final, NamedTuple

from memos_core.errors import BackendError, InvalidInput, SecretFound
from memos_core.memory import checked_choice, checked_name, checked_tags

KINDS: Final = ("key", "email", "iban", "card", "phone")
"""What can be found, in the order in which a stretch of text is claimed."""


class Mode(StrEnum):
    """What becomes of what is found."""

    OFF = "off"
    MASK = "mask"  # it is written as its kind: [email]
    REFUSE = "refuse"  # nothing is written: SecretFound


class Span(NamedTuple):
    """Where something was found."""

    start: int
    end: int
    kind: str


_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # Amazon
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"  # GitHub, GitLab
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bAIza[\w-]{35}"  # OpenAI, Hugging Face, Google
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Slack, Stripe
    r"|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[\w-]{50,}"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"  # a JSON web token
    r"|(?<=\bBearer )[\w.~+/-]{20,}=*"
    r"|(?i:\b(?:api[_-]?key|secret|access[_-]?token|auth[_-]?token|password|passwd)\b[\"']?\s{0,3}[:=]\s{0,3})"
    r"(?:\"(?P<quoted>[^\"\n]{4,200})\"|'(?P<single>[^'\n]{4,200})'|(?P<bare>[^\s\"']{8,}))",
    re.DOTALL,
)
_EMAIL: Final = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_CARD: Final = re.compile(r"(?<![\w-])[2-6](?:[ -]?\d){12,18}(?![\w-])")  # first digits of the card networks
_IBAN: Final = re.compile(r"(?<!\w)([A-Za-z]{2})\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_LENGTHS: Final = {  # of an IBAN by country; SWIFT's IBAN registry
    each[:2]: int(each[2:])
    for each in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ST25 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is looked for in every text before it is written or embedded, and what becomes of it.

    `region` ("PT", "US") is where phone numbers without a country code are from; without it only
    those with one are found. `patterns` are regular expressions of your own by name.
    """

    mode: Mode = Mode.MASK
    kinds: tuple[str, ...] = KINDS
    region: str | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", checked_choice(Mode, self.mode, what="redaction"))
        object.__setattr__(self, "kinds", checked_tags(self.kinds, what="kind"))
        if not set(self.kinds) <= set(KINDS):
            raise InvalidInput(f"kinds are among {', '.join(KINDS)}, not {self.kinds!r}")
        for name, pattern in self.patterns.items():
            checked_name(name, what="pattern name")
            try:
                matches_nothing = re.compile(pattern).match("") is not None
            except re.error as exc:
                raise InvalidInput(f"pattern {name!r} is no regular expression: {exc}") from exc
            if matches_nothing:
                raise InvalidInput(f"pattern {name!r} matches the empty text: it would match everywhere")
        object.__setattr__(self, "patterns", MappingProxyType(dict(self.patterns)))
        if self.mode is not Mode.OFF and "phone" in self.kinds and find_spec("phonenumbers") is None:
            raise BackendError(
                "phone numbers are found by a library that is not installed: "
                "pip install 'memos-suite-core[redaction]', or leave `phone` out of kinds"
            )

    def text(self, text: str) -> str:
        """Return the text as it may be written; raise SecretFound where nothing may be."""
        return self._masked(text, named=False)

    def name(self, name: str) -> str:
        """Return a name as it may be written; masks differ where names do, so that two stay two."""
        return self._masked(name, named=True)

    def spans(self, text: str) -> list[Span]:
        """Return what is found, from left to right; no two overlap."""
        found: list[Span] = []
        for span in self._all(text):
            if all(span.end <= other.start or span.start >= other.end for other in found):
                found.append(span)
        return sorted(found)

    def _masked(self, text: str, *, named: bool) -> str:
        if self.mode is Mode.OFF:
            return text
        spans = self.spans(text)
        if spans and self.mode is Mode.REFUSE:
            raise SecretFound(tuple(dict.fromkeys(span.kind for span in spans)))
        for start, end, kind in reversed(spans):
            digest = hashlib.sha256(text[start:end].encode()).hexdigest()[:6]
            text = (
                f"{text[:start]}[{kind} {digest}]{text[end:]}"
                if named
                else f"{text[:start]}[{kind}]{text[end:]}"
            )
        return text

    def _all(self, text: str) -> Iterator[Span]:
        for name, pattern in self.patterns.items():
            yield from (Span(*each.span(), name) for each in re.finditer(pattern, text) if each[0])
        for kind in KINDS:
            if kind in self.kinds:
                yield from self._of(kind, text)

    def _of(self, kind: str, text: str) -> Iterator[Span]:
        match kind:
            case "key":
                for each in _KEY.finditer(text):
                    yield Span(*each.span(each.lastgroup or 0), kind)
            case "email":
                yield from (Span(*each.span(), kind) for each in _EMAIL.finditer(text))
            case "iban":
                yield from _ibans(text)
            case "card":
                yield from (
                    Span(*each.span(), kind) for each in _CARD.finditer(text) if has_luhn_sum(each[0])
                )
            case _:
                yield from _phones(text, self.region)


OFF: Final = Redaction(mode=Mode.OFF)


def checked_redaction(given: Redaction | str | None) -> Redaction:
    """Return the redaction that was given; a word is a mode, None is off."""
    if given is None:
        return OFF
    return (
        given
        if isinstance(given, Redaction)
        else Redaction(mode=checked_choice(Mode, given, what="redaction"))
    )


def has_luhn_sum(number: str) -> bool:
    """Return whether the digits end in their check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(each) for each in number if each.isdigit()]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def has_iban_sum(number: str) -> bool:
    """Return whether an IBAN without spaces has its country's length and its check digits (ISO 13616)."""
    if len(number) != _LENGTHS.get(number[:2].upper()) or not number.isascii():
        return False
    return int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97 == 1


def _ibans(text: str) -> Iterator[Span]:
    """Yield IBANs; what follows one may look as if it belonged to it, so its country says where it ends."""
    for each in _IBAN.finditer(text):
        length, held, end = _LENGTHS.get(each[1].upper(), 0), "", each.start()
        while len(held) < length and end < each.end():
            held += text[end] if text[end].isalnum() else ""
            end += 1
        inside = end < len(text) and text[end].isalnum()
        if not inside and has_iban_sum(held):
            yield Span(each.start(), end, "iban")


def _phones(text: str, region: str | None) -> Iterator[Span]:
    from phonenumbers import PhoneNumberMatcher  # noqa: PLC0415 - 0.3 s, and only where redaction is on

    yield from (Span(each.start, each.end, "phone") for each in PhoneNumberMatcher(text, region))
