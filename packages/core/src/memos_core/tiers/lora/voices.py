"""How somebody is spoken of: in the third person by name, in the second, in the first. English."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """The words that change with the person; their names are the slots of templates."""

    who: str
    whose: str
    do: str
    be: str
    was: str
    have: str
    s: str  # the ending of a verb


I = Voice(who="I", whose="my", do="do", be="am", was="was", have="have", s="")  # noqa: E741 - the word itself
YOU = Voice(who="you", whose="your", do="do", be="are", was="were", have="have", s="")


def named(name: str) -> Voice:
    """Return the voice in which others speak of somebody."""
    return Voice(who=name, whose=f"{name}'s", do="does", be="is", was="was", have="has", s="s")


def slots(voice: Voice) -> dict[str, str]:
    """Return the words by slot."""
    return {name: getattr(voice, name) for name in Voice.__slots__}


def capitalised(text: str) -> str:
    """Return a sentence whose first letter is a capital, the rest as it is."""
    return text[:1].upper() + text[1:]
