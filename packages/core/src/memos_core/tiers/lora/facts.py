"""Memories to facts: who, which relation, which value. By rule, without a model; English is understood.

A sentence that no rule knows, in whatever language, is a fact too: it goes on as it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memos_core.lesson import CONTRADICTED, LeftOut
from memos_core.memory import Memory
from memos_core.segment import Origin
from memos_core.tiers.lora.relations import BASES, RELATIONS, SAYING, Relation

MOST_CHARACTERS = 400  # of a sentence that is taught
_LEAST_WORDS = 4
_ENDS = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")  # noqa: RUF001 - sentences end so elsewhere
_ORDERS = (
    re.compile(
        r"\b(?:ignore|disregard|override|forget)\b.{0,40}\b(?:rules?|instructions?|prompts?|told)\b", re.I
    ),
    re.compile(
        r"^\W*(?:you (?:must|should|shall|are to|have to)|from now on|act as|pretend|always|never)\b", re.I
    ),
    re.compile(r"\b(?:system prompt|developer message)\b|<\|", re.I),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that a memory says. `who` is "" where nobody in particular is meant.

    `what` and `past` fill the slots of the same name. `passage` is the sentence itself.
    """

    origin: Origin
    relation: Relation
    who: str
    value: str
    passage: str
    what: str = ""
    past: str = ""

    @property
    def subject(self) -> tuple[str, str, str]:
        """What the value is an answer to."""
        return (self.who.casefold(), self.relation.name, self.what.casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was understood, in the order of the memories, and what is not taught."""

    facts: tuple[Fact, ...]
    left_out: tuple[LeftOut, ...]


def facts_of(memories: Sequence[Memory], *, most: int, speaker: str) -> Facts:
    """Return what memories say. At most `most` of them are read, the most useful.

    "I" is the memory's own speaker, or `speaker` where it has none. Where two disagree on what there
    is one of, the later one holds: by `at`, and among equals the one that stands later.
    """
    ranked, place = sorted(memories, key=_usefulness), {each.id: n for n, each in enumerate(memories)}
    left_out = [LeftOut(origin=_origin(each), reason="over budget") for each in ranked[most:]]
    facts: list[Fact] = []
    for memory in sorted(ranked[:most], key=lambda each: (each.at, place[each.id])):
        found, reason = _said(memory, memory.speaker or speaker)
        facts += found
        if reason:
            left_out.append(LeftOut(origin=_origin(memory), reason=reason))
    kept = _uncontradicted(facts)
    taught, read = {each.origin for each in kept}, dict.fromkeys(each.origin for each in facts)
    left_out += [LeftOut(origin=origin, reason=CONTRADICTED) for origin in read if origin not in taught]
    return Facts(facts=tuple(kept), left_out=tuple(left_out))


def stated(memory: Memory, *, speaker: str) -> Fact | None:
    """Return what a memory of one sentence states; None where it has more, or the table does not know it.

    "I" is `speaker`.
    """
    sentences = [part.strip() for part in _ENDS.split(memory.text) if part.strip()]
    if len(sentences) != 1 or len(sentences[0]) > MOST_CHARACTERS:
        return None
    bare = sentences[0].rstrip(".!… ")
    return (
        None
        if bare.endswith("?")
        else next(iter(_matched(bare, sentences[0], _origin(memory), speaker)), None)
    )


def is_order(line: str) -> bool:
    """Return whether a line tells the model what to do."""
    return any(order.search(line) for order in _ORDERS)


def _usefulness(memory: Memory) -> tuple[int, float, int, float, str]:
    header = memory.header
    uses = header.behaviour
    return (
        -header.governance.priority,
        -uses.usefulness,
        -uses.hits,
        -memory.at.timestamp(),
        memory.id,
    )


def _origin(memory: Memory) -> Origin:
    return Origin(memory.id, memory.version)


def _said(memory: Memory, speaker: str) -> tuple[list[Fact], str]:
    """Return the facts of a memory, or why there is none: what is not taught whole stays text."""
    sentences = [part.strip() for part in _ENDS.split(memory.text) if part.strip()]
    if any(map(is_order, (*memory.text.splitlines(), *sentences))):
        return [], "instruction"
    if any(len(each) > MOST_CHARACTERS for each in sentences):
        return [], "too long"
    facts = [fact for each in sentences for fact in _understood(each, _origin(memory), speaker)]
    return facts, "" if facts else "too short"


def _understood(sentence: str, origin: Origin, speaker: str) -> list[Fact]:
    bare = sentence.rstrip(".!… ")
    found = [] if bare.endswith("?") else list(_matched(bare, sentence, origin, speaker))
    return found or _saying(sentence, origin)


def _matched(bare: str, sentence: str, origin: Origin, speaker: str) -> Iterable[Fact]:
    """Yield the first relation that the sentence states, and the time that it tells besides.

    That is the time of an event, or where it is none the whole sentence.
    """
    stated = untimed = False
    for relation in RELATIONS:
        is_event = relation.name == "event"
        if stated and not is_event:
            continue
        for pattern in relation.patterns:
            match = pattern.match(bare)
            if match is None:
                continue
            groups = match.groupdict()
            what, past = groups.get("what") or "", groups.get("past") or ""
            if is_event:
                verb = groups["verb"]
                if verb not in BASES:
                    continue
                what = BASES[verb] + past.removeprefix(verb)
            yield Fact(
                origin=origin,
                relation=relation,
                who=speaker if groups["who"] in ("I", "My") else groups["who"],
                value=groups["value"].strip(),
                passage=sentence,
                what=what,
                past=past,
            )
            stated, untimed = True, not is_event and bool(groups.get("when"))
            break
    if untimed:
        yield from _saying(sentence, origin)


def _saying(sentence: str, origin: Origin) -> list[Fact]:
    """Return the sentence as its beginning and its rest; nothing where it is too short to tell them apart."""
    words = sentence.split(" ")
    joint = " "
    if len(words) < _LEAST_WORDS:
        words, joint = list(sentence), ""  # scripts without spaces
        if len(words) < 2 * _LEAST_WORDS:
            return []
    middle = (len(words) + 1) // 2
    start, rest = joint.join(words[:middle]).strip(), joint.join(words[middle:]).strip()
    return [
        Fact(origin=origin, relation=SAYING, who="", value=rest, passage=sentence, what=start, past=sentence)
    ]


def _uncontradicted(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts, oldest first, without what a later one replaces or repeats."""
    last: dict[tuple[str, ...], Fact] = {}
    for fact in facts:
        distinct = () if fact.relation.single else (fact.value.casefold(),)
        last[(*fact.subject, *distinct)] = fact
    kept = {id(fact) for fact in last.values()}
    return [fact for fact in facts if id(fact) in kept]
