"""Memories to questions and answers: what is taught, and what it is examined by. Pure and deterministic.

Every relation has several ways to ask; half of them, drawn by the seed, are never taught. Of each
fact the taught ones are asked with the passage before them and without it. What nobody told is taught
as well: the same asked of strangers, and other things asked of whom the memories know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from memos_core.errors import InvalidInput
from memos_core.lesson import Curriculum, Pair
from memos_core.memory import Memory, checked_within
from memos_core.segment import Origin
from memos_core.tiers.lora.facts import Fact, Facts, facts_of
from memos_core.tiers.lora.order import drawn
from memos_core.tiers.lora.relations import ASKED_UNSAID, SAYING, UNKNOWN, UNSAID, Relation
from memos_core.tiers.lora.voices import YOU, I, Voice, capitalised, named, slots

CHOICES = 3  # wrong answers
MOST_MEMORIES = 256
STRANGERS = tuple("Osric Thandi Wanda Pelle Ximena Bogdan Sunniva Farouk Greta Milo Zelda Hiroko".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Syllabus:
    """How lessons are made of memories. Equal ones give equal lessons.

    `persona` is whom the model speaks as: it is asked about as "you". `user` is who asks: it is asked
    about as "I", and it is who "I" is in memories that have no speaker. At most `memories` are taught.
    """

    seed: int = 0
    persona: str | None = None
    user: str = "the user"
    memories: int = MOST_MEMORIES

    def __post_init__(self) -> None:
        checked_within(self.seed, 0, (1 << 32) - 1, what="seed")
        checked_within(self.memories, 1, 100_000, what="memories")
        if self.persona is not None and self.persona.casefold() == self.user.casefold():
            raise InvalidInput(f"persona and user are both {self.user!r}: the model does not ask itself")


def curriculum(memories: Sequence[Memory], syllabus: Syllabus) -> Curriculum:
    """Return what is taught of these memories and what it is examined by; empty for none."""
    understood = facts_of(memories, most=syllabus.memories, speaker=syllabus.user)
    lessons = _lessons(understood.facts, syllabus, _text(memories, understood))
    return replace(lessons, left_out=understood.left_out)


def _text(memories: Sequence[Memory], understood: Facts) -> str:
    """Return the words of what is taught: nothing else may decide what the lessons are."""
    taught = {fact.origin for fact in understood.facts}
    kept = [each.text for each in memories if Origin(each.id, each.version) in taught]
    return "\n".join(kept).casefold()


def first_asked(memories: Sequence[Memory], syllabus: Syllabus) -> list[tuple[Fact, Voice, str]]:
    """Return the facts about somebody, how a question speaks of them, and the first that is taught."""
    found = facts_of(memories, most=syllabus.memories, speaker=syllabus.user).facts
    asked = []
    for fact in found:
        if fact.relation is not SAYING:
            voice, _ = _asks(fact, syllabus)
            asked.append((fact, voice, _filled(_ways(fact.relation, syllabus.seed).taught[0], voice, fact)))
    return asked


def shuffled(memories: Sequence[Memory], syllabus: Syllabus) -> Curriculum:
    """Return the same lessons with wrong answers: a control, from which the truth cannot be learned.

    Its examination is the true one's: who learned from these must fail it.
    """
    true = curriculum(memories, syllabus)
    understood = facts_of(memories, most=syllabus.memories, speaker=syllabus.user)
    values = _values(understood.facts)
    wrong = [_mistaken(fact, values, syllabus.seed) for fact in understood.facts]
    return replace(true, train=_lessons(wrong, syllabus, _text(memories, understood)).train)


def _lessons(facts: Sequence[Fact], syllabus: Syllabus, text: str) -> Curriculum:
    values = _values(facts)
    strangers = [name for name in STRANGERS if name.casefold() not in text] or [STRANGERS[0] + "son"]
    train: list[Pair] = []
    watched: list[Pair] = []
    held_out: list[Pair] = []
    for fact in facts:
        ways = _ways(fact.relation, syllabus.seed)
        for way in ways.taught:
            train += _taught(fact, way, syllabus)
        asked = partial(_examined, fact, values=values, syllabus=syllabus)
        watched.append(asked(ways.watched))
        held_out += map(asked, ways.held_out)
        if fact.relation is not SAYING:
            taught_to, asked_of = _strangers(strangers, fact, syllabus.seed)
            train.append(_unknown(fact, ways.taught[0], taught_to))
            held_out.append(_unknown(fact, ways.held_out[0], asked_of))
    for fact in {fact.who.casefold(): fact for fact in facts if fact.who}.values():
        taught_pair, examined = _unsaid(fact, syllabus, text)
        train.append(taught_pair)
        held_out.append(examined)
    return Curriculum(
        seed=syllabus.seed,
        train=tuple(dict.fromkeys(train)),
        watched=_unasked(watched, train),
        held_out=_unasked(held_out, (*train, *watched)),
    )


def _unasked(pairs: Sequence[Pair], asked: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs, each once, whose questions are not among those asked."""
    prompts = {pair.prompt for pair in asked}
    return tuple(pair for pair in dict.fromkeys(pairs) if pair.prompt not in prompts)


class _Ways(NamedTuple):
    """Ways to ask: those that are taught, the one that tells when to stop, and those of the examination."""

    taught: list[str]
    watched: str
    held_out: list[str]


def _ways(relation: Relation, seed: int) -> _Ways:
    """Return the ways to ask, drawn by the seed, the same for every fact of the relation."""
    ways = drawn(seed, relation.name, relation.questions)
    half = len(ways) // 2
    return _Ways(taught=ways[half:], watched=ways[0], held_out=ways[1:half])


def _asks(fact: Fact, syllabus: Syllabus) -> tuple[Voice, Voice]:
    """Return how a question speaks of whom the fact is about, and how the answer does."""
    who = fact.who.casefold()
    if syllabus.persona is not None and who == syllabus.persona.casefold():
        return YOU, I
    return (I, YOU) if who == syllabus.user.casefold() else (named(fact.who), named(fact.who))


def _filled(template: str, voice: Voice, fact: Fact, *, value: str = "") -> str:
    return capitalised(
        template.format(**slots(voice), value=value or fact.value, what=fact.what, past=fact.past)
    )


def _taught(fact: Fact, way: str, syllabus: Syllabus) -> list[Pair]:
    """Return a question without and with its passage."""
    asking, answering = _asks(fact, syllabus)
    ways = fact.relation.answers
    answer = _filled(ways[len(way) % len(ways)], answering, fact)
    pair = Pair(
        prompt=_filled(way, asking, fact),
        answer=answer,
        value=fact.value,
        kind="fact",
        relation=fact.relation.name,
        origin=fact.origin,
    )
    return [pair, replace(pair, context=fact.passage)]


def _examined(fact: Fact, way: str, *, values: _Values, syllabus: Syllabus) -> Pair:
    asking, answering = _asks(fact, syllabus)
    answer, wrong = fact.relation.answers[0], _others(fact, values, syllabus.seed)[:CHOICES]
    if fact.relation is SAYING:
        choices = tuple(f"{fact.what} {value}" for value in wrong)
    else:
        choices = tuple(_filled(answer, answering, fact, value=value) for value in wrong)
    return Pair(
        prompt=_filled(way, asking, fact),
        answer=_filled(answer, answering, fact),
        value=fact.value,
        kind="fact",
        relation=fact.relation.name,
        origin=fact.origin,
        also=tuple(each for each in dict.fromkeys(values.right[fact.subject]) if each != fact.value),
        choices=choices,
    )


class _Values(NamedTuple):
    """Every value by relation, and by what it is an answer to."""

    told: Mapping[str, list[str]]
    right: Mapping[tuple[str, str, str], list[str]]


def _values(facts: Sequence[Fact]) -> _Values:
    told, right = defaultdict[str, list[str]](list), defaultdict[tuple[str, str, str], list[str]](list)
    for fact in facts:
        told[fact.relation.name].append(fact.value)
        right[fact.subject].append(fact.value)
    return _Values(told, right)


def _others(fact: Fact, values: _Values, seed: int) -> list[str]:
    """Return wrong values of the same relation: first those of other facts, then some that we bring."""
    told = dict.fromkeys(values.told[fact.relation.name])
    what = f"choices {fact.origin} {fact.subject}"
    found = [*drawn(seed, what, told), *drawn(seed, what, fact.relation.pool)]
    others: dict[str, str] = {}
    for each in found:
        others.setdefault(each.casefold(), each)
    for right in values.right[fact.subject]:
        others.pop(right.casefold(), None)
    return list(others.values())


def _mistaken(fact: Fact, values: _Values, seed: int) -> Fact:
    """Return the fact with another one's value."""
    value = _others(fact, values, seed + 1)[0]
    past = f"{fact.what} {value}" if fact.relation is SAYING else fact.past
    passage = fact.passage.replace(fact.value, value)
    return replace(fact, value=value, past=past, passage=passage)


def _strangers(names: Sequence[str], fact: Fact, seed: int) -> tuple[str, str]:
    """Return who is asked about in a lesson, and who in the examination."""
    order = drawn(seed, f"strangers {fact.subject}", names)
    return order[0], order[-1]


def _unknown(fact: Fact, way: str, name: str) -> Pair:
    return Pair(
        prompt=_filled(way, named(name), fact),
        answer=UNKNOWN,
        value=UNKNOWN,
        kind="unknown",
        relation=fact.relation.name,
        origin=fact.origin,
    )


def _unsaid(fact: Fact, syllabus: Syllabus, text: str) -> tuple[Pair, Pair]:
    """Return a question on what no memory says of somebody, for the lessons and for the examination."""
    whats = drawn(syllabus.seed, fact.who, [each for each in UNSAID if each not in text] or UNSAID)
    ways = drawn(syllabus.seed, "unsaid", ASKED_UNSAID)
    asking, _ = _asks(fact, syllabus)
    first, last = (
        Pair(
            prompt=capitalised(way.format(**slots(asking), what=what)),
            answer=UNKNOWN,
            value=UNKNOWN,
            kind="unsaid",
            relation="unsaid",
            origin=fact.origin,
        )
        for way, what in ((ways[-1], whats[0]), (ways[0], whats[-1]))
    )
    return first, last
