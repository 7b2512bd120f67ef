"""More ways to ask what is taught, in the words of a chat model: which of them are taken, by rule. Pure.

A phrasing is a question and nothing more: the answer stays the one that the rules word, and so does the
examination, which never has a question that was taught. The rules are for English, as the questions are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple

from memos_core.lesson import Curriculum
from memos_core.memory import Memory
from memos_core.segment import Origin
from memos_core.tiers.lora.curriculum import Syllabus, first_asked
from memos_core.tiers.lora.facts import Fact, is_order
from memos_core.tiers.lora.relations import RELATIONS, Relation
from memos_core.tiers.lora.voices import YOU, I, Voice

MOST_WAYS: Final = 4  # of a question
SHORTEST, LONGEST = 8, 200  # characters
_TELLING = 3  # letters: shorter words of an answer do not give it away
_NAMING = 2  # letters: shorter words say nothing about what is meant
_SLOT = re.compile(r"\{\w+\}")
_MINE = frozenset("i my mine myself".split())
_YOURS = frozenset("you your yours yourself".split())
_OURS = frozenset("we our ours".split())
_TURNING = frozenset(  # these ask for something else; "t" is the end of "doesn't"
    "not never no nobody nor without t before formerly previously earlier anymore next".split()
)
_PLAIN = frozenset(  # words of the table's questions that could be in a question about anything
    "what which who how the did does was has had have are can could would should must for from that and one"
    " you tell say said name called call please know remember give word words talk come few thing things"
    " date year month".split()
)


class Question(NamedTuple):
    """A question that is taught of a memory."""

    origin: Origin
    text: str


Said = Mapping[Question, Sequence[str]]  # what a model said, or what of it is taught


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What every phrasing of a question must have: all words of `names`, one of each set of `either`.

    And what none may have: a word of `hidden` (the answers' own, other people, what would turn the
    question), one that begins like any of `elsewhere` (what other relations are asked by), a text of
    `values` (the answers); a name or a number that the question has not.
    """

    names: frozenset[str]
    either: tuple[frozenset[str], ...]
    hidden: frozenset[str]
    elsewhere: frozenset[str]
    values: frozenset[str]


def asked_of(memories: Sequence[Memory], syllabus: Syllabus) -> dict[Question, Demands]:
    """Return of each fact about somebody the first question that is taught, and its demands.

    Where one question has several answers, in whichever memories, none of them may be in a phrasing.
    """
    found: dict[Question, Demands] = {}
    answers: dict[str, list[Fact]] = defaultdict(list)
    people: set[str] = set()
    for fact, voice, text in first_asked(memories, syllabus):
        answers[text].append(fact)
        people |= {word.casefold() for word in _words(fact.who, folded=False) if word[0].isupper()}
        found.setdefault(Question(fact.origin, text), _demands(fact, voice, text))
    return {
        asked: _hiding(demands, answers[asked.text], people - frozenset(_words(asked.text)), asked.text)
        for asked, demands in found.items()
    }


def _demands(fact: Fact, voice: Voice, text: str) -> Demands:
    asked, what = frozenset(_words(text)), _words(fact.what)
    either: list[frozenset[str]] = []
    names = frozenset[str]()
    if voice == I:
        others = _OURS | _YOURS - {"you"}  # "do you know where I live?"
        either.append(_MINE)
    elif voice == YOU:
        others = _OURS | _MINE
        either.append(_YOURS)
    else:
        others = _OURS | _MINE - {"i"} | _YOURS - {"you"}
        names = frozenset(_words(fact.who))
    if fact.past:  # an event: the verb may be as one asks or as it is told
        either.append(frozenset({what[0], _words(fact.past)[0]}))
        what = what[1:]
    return Demands(
        names=names | frozenset(word for word in what if len(word) > _NAMING) & asked,
        either=tuple(either),
        hidden=(others | _TURNING) - asked,
        elsewhere=_elsewhere(fact.relation) - asked,
        values=frozenset(),
    )


@cache
def _elsewhere(relation: Relation) -> frozenset[str]:
    """Return the words by which only other relations are asked for."""
    others = frozenset[str]().union(*map(_asking, RELATIONS))
    return others - _asking(relation)


def _asking(relation: Relation) -> frozenset[str]:
    words = _words(" ".join(_SLOT.sub(" ", question) for question in relation.questions))
    return frozenset(word for word in words if len(word) > _NAMING) - _PLAIN


def _hiding(demands: Demands, answers: Iterable[Fact], people: Set[str], text: str) -> Demands:
    """Return the demands with other people and the answers hidden.

    Of an answer these are its long words and numbers, all its words where there is none.
    """
    asked, hidden, values = frozenset(_words(text)), demands.hidden | people, demands.values
    for fact in answers:
        words = frozenset(_words(fact.value)) - asked
        telling = frozenset(word for word in words if len(word) > _TELLING or word.isdigit())
        hidden |= telling or words
        value = _plain(fact.value)
        values |= frozenset({value} if value not in _plain(text) else ())
    return replace(demands, hidden=hidden, values=values)


def is_sound(way: str, asked: Question, demands: Demands) -> bool:
    """Return whether a phrasing can be taught: one line that asks for whom it should and holds no answer."""
    if not (SHORTEST <= len(way) <= LONGEST and way.isprintable() and way[-1] in "?."):
        return False
    words = frozenset(_words(way))
    return (
        demands.names <= words
        and all(group & words for group in demands.either)
        and not demands.hidden & words
        and not any(
            word.startswith(tuple(demands.elsewhere)) for word in words - frozenset(_words(asked.text))
        )
        and not any(value in _plain(way) for value in demands.values)
        and not _strange(way, asked.text)
        and not is_order(way)
    )


def _strange(way: str, text: str) -> frozenset[str]:
    """Return the names and numbers of a phrasing that the question has not; a first word is no name."""
    known, words = frozenset(_words(text)) | {"i"}, _words(way, folded=False)
    names = {word.casefold() for word in words[1:] if word[0].isupper()}
    numbers = {word.casefold() for word in words if any(letter.isdigit() for letter in word)}
    return frozenset(names | numbers) - known


def taught_ways(
    lessons: Curriculum, asked: Mapping[Question, Demands], said: Said
) -> dict[Question, list[str]]:
    """Return the phrasings that are taught: the first `MOST_WAYS` sound ones of each question.

    Left out is what is taught, watched or examined already, in whatever spelling, and what would be taught
    for two different questions, as it asks neither. Nothing depends on the order of the questions.
    """
    known = {_plain(pair.prompt) for pair in (*lessons.train, *lessons.watched, *lessons.held_out)}
    sound = {question: _sound(said.get(question, ()), question, asked[question]) for question in asked}
    meant: dict[str, set[str]] = defaultdict(set)
    for question, ways in sound.items():
        for plain in ways:
            meant[plain].add(question.text)
    found: dict[Question, list[str]] = {}
    for question, ways in sound.items():
        new = [way for plain, way in ways.items() if plain not in known and len(meant[plain]) == 1]
        if new:
            found[question] = new[:MOST_WAYS]
    return found


def _sound(ways: Sequence[str], asked: Question, demands: Demands) -> dict[str, str]:
    """Return the sound ones by their words alone, each once, in order."""
    found: dict[str, str] = {}
    for way in (" ".join(each.split(" ")).strip() for each in ways):
        if is_sound(way, asked, demands):
            found.setdefault(_plain(way), way)
    return found


def enriched(lessons: Curriculum, ways: Said) -> Curriculum:
    """Return the lessons with these phrasings taught as well.

    Each has the answer, the passage and the origin of the pair whose question it puts in other words.
    """
    more = [
        replace(pair, prompt=way)
        for pair in lessons.train
        if pair.kind == "fact"
        for way in ways.get(Question(pair.origin, pair.prompt), ())
    ]
    return replace(lessons, train=(*lessons.train, *more))


def _plain(text: str) -> str:
    return " ".join(_words(text))


def _words(text: str, *, folded: bool = True) -> list[str]:
    """Return the words alone, without stops and, `folded`, without capitals; an ending 's is a word."""
    kept = (letter if letter.isalnum() else " " for letter in (text.casefold() if folded else text))
    return "".join(kept).split()
