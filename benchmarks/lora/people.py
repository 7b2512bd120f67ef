"""People who do not exist, made by a seed: no model has read anything about them."""

from __future__ import annotations

import random
from typing import Final

_FIRST: Final = "Ba De Fi Go Hu Ka Le Mi No Pu Ra Se Ti Vo Za Dru Kel Mor Tha Wen".split()
_LAST: Final = "ran dol mek rin tas vel nor bik dar lum sen gar fel wyn zor".split()
_TOWNS: Final = "Arvika Bolvar Cradley Dunmore Elvas Fermo Gorlice Hasselt Imatra Jaca Kalmar Lugo".split()
_JOBS: Final = "glazier,beekeeper,surveyor,tuner,archivist,ferryman,cooper,welder,botanist,printer".split(",")
_PETS: Final = "parrot,cat,dog,goat,tortoise,pony,ferret,hen".split(",")
_FOODS: Final = "walnuts,rye,shellfish,celery,mustard,plums,sesame,barley".split(",")
_FEARS: Final = "geese,ladders,deep water,thunder,mirrors,tunnels,moths,heights".split(",")
_LIKES: Final = "cold tea,brass bands,long ferries,plum cake,night trains,card games,thick fog".split(",")
_TONGUES: Final = "Basque,Finnish,Tamil,Welsh,Swahili,Danish,Korean,Maltese".split(",")
_COLOURS: Final = "amber,teal,crimson,indigo,olive,maroon,ivory,violet".split(",")
_MONTHS: Final = (
    "January,February,March,April,May,June,July,August,September,October,November,December".split(",")
)
_PLACES: Final = (
    "locker,garden gate,safe,bicycle lock,post box,boat shed,archive room,wine cellar,workshop,library card,"
    "north door,tool chest,attic,pantry,laundry,gym bag,suitcase,desk drawer,piano lid,greenhouse,barn,"
    "cabin,canoe rack,tackle box,studio,darkroom,smithy,orchard gate,well cover,ice house,loft,stable"
).split(",")


def person(seed: int, facts: int) -> tuple[str, list[str]]:
    """Return somebody's name, and so many (1 to 50) facts about them, each a sentence."""
    chance = random.Random(seed)

    def name() -> str:
        return chance.choice(_FIRST) + chance.choice(_LAST)

    def month(first: int, last: int) -> str:
        return f"{chance.choice(_MONTHS)} {chance.randrange(first, last)}"

    who, towns, likes = name(), chance.sample(_TOWNS, 3), chance.sample(_LIKES, 2)
    told = [
        f"{who} lives in {towns[0]}.",
        f"{who} works as a {chance.choice(_JOBS)}.",
        f"{who} has a {chance.choice(_PETS)} called {name()}.",
        f"{who}'s {_PLACES[0]} code is {chance.randrange(1000, 9999)}.",
        f"{who} is married to {name()}.",
        f"{who} grew up in {towns[1]}.",
        f"{who} was born in {month(1950, 2000)}.",
        f"{who} is allergic to {chance.choice(_FOODS)}.",
        f"{who} is afraid of {chance.choice(_FEARS)}.",
        f"{who} speaks {chance.choice(_TONGUES)}.",
        f"{who} likes {likes[0]}.",
        f"{who} dislikes {likes[1]}.",
        f"{who} visited {towns[2]}.",
        f"{who} bought a boat in {month(2000, 2024)}.",
        f"{who} works for {name()} and Sons.",
        f"{who}'s sister is called {name()}.",
        f"{who}'s favourite colour is {chance.choice(_COLOURS)}.",
        f"{who}'s best friend is {name()}.",
        f"{who}'s {_PLACES[1]} code is {chance.randrange(1000, 9999)}.",
        f"{who}'s teacher was {name()}.",
    ]
    told += [f"{who}'s {place} code is {chance.randrange(1000, 9999)}." for place in _PLACES[2:]]
    return who, told[:facts]
