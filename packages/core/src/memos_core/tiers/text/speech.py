"""What a sentence gives away about who speaks: flags of a turn, and whom a query means."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIRST = re.compile(r"\b(?:I|I'm|I've|I'll|I'd|[Mm]y|[Ww]e|[Oo]ur|[Ww]e're|[Ww]e've)\b")
_ME = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our)\b")
_YOU = re.compile(
    r"\byou(?: had| have|'d|'ve)? (?:\w+ )?(?:advise|describe|explain|gave|give|help|list|mention|"
    r"offer|propose|provide|recommend|said|share|suggest|told|write|wrote)"
    r"|\byour (?:advice|answer|explanation|list|recommendation|suggestion)"
    r"|\bremind me\b|\bwe (?:discussed|spoke|talked)|\bour (?:\w+ )?(?:chat|conversation|discussion)"
)
ROLES = frozenset({"user", "assistant", "system", "tool", "developer", "function", "human", "ai"})
"""What a speaker is called who has no name."""

_MACHINES = frozenset({"assistant", "ai", "bot", "model"})
_ASKING = "?\uff1f\u061f"  # Latin, full-width, Arabic
_OPENING = 300  # characters; a long text shows early who speaks
_ENDING = 40
_TAIL = 1000  # of a long text; a longer note is no note


def is_question(text: str) -> bool:
    """Tell whether the text ends by asking; a note in brackets after it does not count."""
    end = text[-_TAIL:].rstrip()
    if end.endswith("]"):
        start = end.find("[", end.rfind("]", 0, -1) + 1)
        end = end[:start].rstrip() if start >= 0 else end
    return any(mark in end[-_ENDING:] for mark in _ASKING)


def is_assistant(speaker: str | None) -> bool:
    """Tell whether a machine is speaking, by its role."""
    return speaker is not None and speaker.casefold() in _MACHINES


def is_first_person(text: str) -> bool:
    """Tell whether an English text speaks of "I" or "we" in its opening; False elsewhere."""
    return _FIRST.search(text[:_OPENING]) is not None


def speakers_meant(query: str, names: Mapping[str, int]) -> frozenset[int]:
    """Return the codes of the speakers of whom the query speaks.

    `names` maps a speaker's name or role to its code. A name is meant where it stands in the
    query; the role "assistant" by "you said" and its like, else "user" by "I" or "my".
    """
    folded = query.casefold().replace("\u2019", "'")
    roles = {"user": bool(_ME.search(folded)), "assistant": bool(_YOU.search(folded))}
    roles["user"] = roles["user"] and not roles["assistant"]
    return frozenset(
        code
        for name, code in names.items()
        if (roles[name] if name in roles else _stands_in(name.casefold(), folded))
    )


def _stands_in(name: str, folded: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded) is not None if name else False
