"""Statements that cannot both hold now: the same subject and relation, another value, another time.

By rule and conservative. Sentences are read by the table that lessons are made from
(`tiers/lora/relations.py`), and only relations of which somebody has one value at a time count. Both
have to be memories of one sentence, without a word that turns or weakens them, and with values that
can exclude each other: "lives in Lisbon" and "lives in a small flat" may both be true.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from memos_core.memory import Memory
from memos_core.tiers.lora.facts import Fact, stated

_OF_PLACES: Final = frozenset({"home", "birthplace"})
_OF_NAMES: Final = frozenset({*_OF_PLACES, "spouse"})
_ONE: Final = frozenset({*_OF_NAMES, "job", "birthday"})
_ONE_OF_EACH = re.compile(
    r"^(?:(?:phone|telephone|mobile|shoe|passport|account|room|flat) (?:number|size)|"
    r"(?:home |e-?mail |work )?address|"
    r"e-?mail|age|surname|last name|full name|first name|nationality|profession|job title|boss|"
    r"manager|employer|(?:favou?rite) [a-z]+|middle name|birthday|password hint|time zone)$"
)
_WEAK = re.compile(
    r"\b(?:not|no|never|nor|without|n't|if|might|may|maybe|perhaps|probably|could|would|should|wants?|hopes?|"
    r"plans?|dreams?|used to|once|formerly|previously|sometimes|often|usually|also|both|or|and|part[- ]time|"
    r"temporarily|during|until|before|while|said|says|claims?|thinks?|almost|again)\b|n['\u2019]t\b",
    re.I,
)
_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 5


class Succession(NamedTuple):
    """A memory and an older one that it contradicts; `relation` names what of."""

    newer: Memory
    older: Memory
    relation: str


def contradictions(memories: Sequence[Memory]) -> list[Succession]:
    """Return who supersedes whom, the older first. What was stated at one time contradicts nothing.

    "I" is the speaker, or the owner where there is none. Only memories of one owner, visibility and trust
    are held against each other: nobody's words are outdated by a stranger's.
    """
    told: dict[tuple[object, ...], list[tuple[Memory, Fact]]] = defaultdict(list)
    for memory in memories:
        fact = _only(memory)
        if fact is not None:
            rules = memory.header.governance
            told[rules.owner, rules.visibility, rules.trust, fact.subject].append((memory, fact))
    found: list[Succession] = []
    for group in told.values():
        found += _successions(sorted(group, key=lambda each: each[0].at))
    return sorted(found, key=lambda each: each.newer.at)


def _only(memory: Memory) -> Fact | None:
    """Return what a memory of one sentence says, if somebody has but one such value."""
    text = memory.text.strip()
    if _WEAK.search(text):
        return None
    fact = stated(memory, speaker=memory.speaker or memory.header.governance.owner)
    if fact is None or not 0 < len(_WORD.findall(fact.value)) <= _MOST_WORDS:
        return None
    if fact.relation.name == "attribute":
        return fact if _ONE_OF_EACH.match(fact.what.casefold()) else None
    if fact.relation.name not in _ONE:
        return None
    if fact.relation.name in _OF_NAMES and not _is_name(fact.value):
        return None
    return fact


def _is_name(value: str) -> bool:
    words = _WORD.findall(value)
    return all(
        word[0].isupper() or word in ("of", "de", "da", "do", "la", "el", "am", "upon") for word in words
    )


def _successions(group: Sequence[tuple[Memory, Fact]]) -> Iterator[Succession]:
    """Yield each change of the value: the first that says the new one, over all that said the last one."""
    saying: list[tuple[Memory, Fact]] = []
    for memory, fact in group:
        if saying and _differ(saying[0][1].value, fact.value):
            if memory.at <= saying[-1][0].at:
                continue
            for older, _ in saying:
                yield Succession(newer=memory, older=older, relation=fact.relation.name)
            saying = []
        saying.append((memory, fact))


def _differ(one: str, other: str) -> bool:
    """Whether two values exclude each other: neither has all the words of the other."""
    a, b = (set(_WORD.findall(value.casefold())) for value in (one, other))
    return not (a <= b or b <= a)
