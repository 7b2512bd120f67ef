"""Labelled pairs of statements, drawn by a seed: they say the same, contradict each other, or neither.

The pairs are made from templates that do not know the rules under test: among what says the same are
paraphrases that no rule is expected to find, so recall is below one; what differs differs in a number, a
name, a negation, a time, an order or a colour, which is what likeness of vectors overlooks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

NAMES = "Mira Anselm Tove Ilse Ravi Noor Bruno Freya Amara Yusuf Petra Kenji Lucia Anton Odile Sven".split()
SURNAMES = "Berg Costa Dahl Evers Falk Groen Holm Ito Jansen Kovac Lund Moreau Nagy Okoye Prior Quist".split()
PLACES = "Lisbon Porto Tartu Bergen Izmir Quito Perth Kyoto Halifax Cusco Gdansk Mombasa".split()
THINGS = ["blue kite", "wooden flute", "red bicycle", "silver key", "clay pot", "grey kettle", "old map"]
JOBS = ["baker", "glazier", "pilot", "clerk", "surveyor", "midwife", "cellist", "ferryman"]
MONTHS = "January March April May June July August October November December".split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Two statements, the older first. `label` is "same", "contradicts" or "neither", `why` what differs."""

    one: str
    other: str
    label: str
    why: str


Maker = Callable[[random.Random, str], tuple[str, str]]


def _two(draw: random.Random, among: list[str]) -> tuple[str, str]:
    one, other = draw.sample(among, 2)
    return one, other


def _same(draw: random.Random) -> dict[str, tuple[str, str]]:
    who = f"{draw.choice(NAMES)} {draw.choice(SURNAMES)}"
    place, thing, job = draw.choice(PLACES), draw.choice(THINGS), draw.choice(JOBS)
    month, year = draw.choice(MONTHS), draw.randint(1990, 2025)
    return {
        "marks": (f"{who} has a {thing}.", f"{who} has a {thing}"),
        "articles": (f"{who} keeps the {thing} at home.", f"{who} keeps a {thing} at home."),
        "contraction": (f"{who} doesn't like {place}.", f"{who} does not like {place}"),
        "filler": (f"{who} really likes {place}.", f"{who} likes {place}."),
        "order of time": (
            f"In {month} {year}, {who} moved to {place}.",
            f"{who} moved to {place} in {month} {year}.",
        ),
        "synonym": (f"{who} resides in {place}.", f"{who} lives in {place}."),
        "voice": (f"{who} bought the {thing}.", f"The {thing} was bought by {who}."),
        "paraphrase": (f"{who} works as a {job}.", f"{who} earns a living as a {job}."),
    }


def _apart(draw: random.Random) -> dict[str, tuple[str, str]]:
    first, second = _two(draw, NAMES)
    family, place, thing = draw.choice(SURNAMES), draw.choice(PLACES), draw.choice(THINGS)
    one, other = (f"{first} {family}", f"{second} {family}")
    few = draw.randint(2, 60)
    month, later = _two(draw, MONTHS)
    return {
        "number": (f"{one} has {few} keys.", f"{one} has {few + 1} keys."),
        "name": (f"{one} has a {thing}.", f"{other} has a {thing}."),
        "negation": (f"{one} likes {place}.", f"{one} does not like {place}."),
        "time": (f"{one} visited {place} in {month}.", f"{one} visited {place} in {later}."),
        "who does it to whom": (f"{one} taught {other}.", f"{other} taught {one}."),
        "quality": (f"{one} has a green kite.", f"{one} has a brown kite."),
        "tense": (f"{one} works in {place}.", f"{one} worked in {place}."),
        "always": (f"{one} is always late.", f"{one} is never late."),
    }


def _contrary(draw: random.Random) -> dict[str, tuple[str, str]]:
    who = f"{draw.choice(NAMES)} {draw.choice(SURNAMES)}"
    place, other_place = _two(draw, PLACES)
    job, other_job = _two(draw, JOBS)
    spouse, other_spouse = _two(draw, NAMES)
    few = draw.randint(100, 900)
    return {
        "home": (f"{who} lives in {place}.", f"{who} lives in {other_place}."),
        "moved": (f"{who} lives in {place}.", f"{who} moved to {other_place}."),
        "job": (f"{who} works as a {job}.", f"{who} works as a {other_job}."),
        "spouse": (f"{who} is married to {spouse}.", f"{who} is married to {other_spouse}."),
        "number": (f"{who}'s phone number is {few}.", f"{who}'s phone number is {few + 7}."),
        "told otherwise": (f"{who} lives in {place}.", f"{who} has a new home: {other_place}."),
    }


def _compatible(draw: random.Random) -> dict[str, tuple[str, str]]:
    who = f"{draw.choice(NAMES)} {draw.choice(SURNAMES)}"
    place, other_place = _two(draw, PLACES)
    thing, other_thing = _two(draw, THINGS)
    return {
        "two visits": (f"{who} visited {place}.", f"{who} visited {other_place}."),
        "two things": (f"{who} has a {thing}.", f"{who} has a {other_thing}."),
        "part of it": (f"{who} lives in {place}.", f"{who} lives in a small flat."),
        "a wish": (f"{who} lives in {place}.", f"{who} wants to live in {other_place}."),
        "a doubt": (f"{who} lives in {place}.", f"{who} may live in {other_place}."),
        "two tastes": (f"{who} likes {place}.", f"{who} likes {other_place}."),
        "of somebody else": (f"{who} lives in {place}.", f"{who}'s brother lives in {other_place}."),
    }


def labelled(count: int, *, seed: int) -> list[Labelled]:
    """Return `count` draws of every kind of pair."""
    draw = random.Random(seed)
    found: list[Labelled] = []
    for _ in range(count):
        for label, make in (
            ("same", _same),
            ("neither", _apart),
            ("contradicts", _contrary),
            ("neither", _compatible),
        ):
            found += [Labelled(one=a, other=b, label=label, why=why) for why, (a, b) in make(draw).items()]
    return found
