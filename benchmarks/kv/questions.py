"""Questions with the memories that answer them: turns of LoCoMo where it is there, and people made up."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCOMO, PEOPLE = "LoCoMo", "people"
_LOCOMO_FILE = "locomo-dev.json"

_NAMES = "Mira Jonas Aiko Pedro Lena Omar Tess Igor Nadia Felix Ruth Samir Clara Hugo Ines Milo".split()
_FACTS = {
    "Where does {} live?": (
        "{} lives in {}.",
        "Lisbon Oslo Kyoto Nairobi Lima Prague Boston Cairo Dublin Hanoi Quito Zurich Turin Perth Seoul Riga",
    ),
    "What is {}'s dog called?": (
        "{}'s dog is called {}.",
        "Bruno Pixel Waffle Comet Biscuit Ziggy Maple Rocket Pepper Olive Cosmo Nugget Truffle Hazel "
        "Otto Gus",
    ),
    "What does {} work as?": (
        "{} works as a {}.",
        "baker pilot nurse carpenter lawyer florist plumber chemist barber farmer painter dentist "
        "tailor sailor teacher miner",
    ),
    "What does {} like to drink?": (
        "{} likes to drink {}.",
        "cider cocoa espresso lemonade kefir mead sherry chai cola horchata tonic punch milk wine stout ale",
    ),
    "What does {} play?": (
        "In the evening {} plays the {}.",
        "violin piano cello harp flute drums guitar banjo trumpet oboe tuba organ lute viola horn accordion",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question, what its answer has to contain, and the memories to answer it from, in order."""

    corpus: str
    memories: tuple[str, ...]
    question: str
    answer: str


def people(count: int, *, memories: int, seed: int) -> Iterator[Case]:
    """Yield questions about made-up people; a memory is what is known of one of them, about 50 tokens."""
    rnd = random.Random(f"{seed} {memories}")
    for _ in range(count):
        names = rnd.sample(_NAMES, memories)
        values = {ask: rnd.sample(told[1].split(), memories) for ask, told in _FACTS.items()}
        texts = tuple(
            " ".join(told[0].format(name, values[ask][at]) for ask, told in _FACTS.items())
            for at, name in enumerate(names)
        )
        at, ask = rnd.randrange(memories), rnd.choice(list(_FACTS))
        yield Case(corpus=PEOPLE, memories=texts, question=ask.format(names[at]), answer=values[ask][at])


def locomo(folder: Path, count: int, *, memories: int, seed: int) -> Iterator[Case]:
    """Yield questions whose answer stands in their one evidence; a memory is a turn with its neighbours."""
    rnd = random.Random(f"{seed} {memories}")
    found = list(_answerable(json.loads((folder / _LOCOMO_FILE).read_text(encoding="utf-8"))))
    for turns, at, question, answer in rnd.sample(found, min(count, len(found))):
        far = [other for other in range(1, len(turns) - 1) if abs(other - at) > 2]
        places = [*rnd.sample(far, memories - 1), at]
        rnd.shuffle(places)
        texts = tuple("\n".join(turns[max(0, place - 1) : place + 2]) for place in places)
        yield Case(corpus=LOCOMO, memories=texts, question=question, answer=answer)


def _answerable(talks: list[dict[str, Any]]) -> Iterator[tuple[list[str], int, str, str]]:
    """Yield each conversation's turns, the place of the one that answers, the question and its answer."""
    for talk in talks:
        said = talk["conversation"]
        sessions = sorted(
            (name for name in said if re.fullmatch(r"session_\d+", name)), key=lambda name: int(name[8:])
        )
        turns = [turn for name in sessions for turn in said[name]]
        places = {turn["dia_id"]: at for at, turn in enumerate(turns)}
        texts = [f"{turn['speaker']}: {turn['text']}" for turn in turns]
        for each in talk["qa"]:
            answer = str(each.get("answer", ""))
            at = places.get(each["evidence"][0]) if len(each["evidence"]) == 1 else None
            if at is not None and 0 < len(answer) <= 40 and answer.lower() in texts[at].lower():
                yield texts, at, str(each["question"]), answer


def missing(folder: Path) -> str:
    """Return a sentence if LoCoMo is not in this folder, else nothing."""
    path = folder / _LOCOMO_FILE
    return "" if path.exists() else f"{path} is not there: only made-up people are asked about (--data)"
