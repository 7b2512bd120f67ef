"""What sentences say, as a table: how a relation is recognised, asked for in several ways, and answered.

A template has slots: the words of a `Voice`, `{value}` (what is known), `{what}` (which attribute, or
which event as one asks for it) and `{past}` (the event as it is told).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WHO = (
    r"(?P<who>I|(?!(?:He|She|They|It|We|You|This|That|There|These|Those|The|A|An|If|When|What|Where|Who|How|"
    r"Please|My|Her|His|Our|Your|Their|Its)\b)[A-Z][\w\u2019'-]*"
    r"(?: (?:(?:of|the|van|de|von|da) )?[A-Z][\w\u2019'-]*){0,3})"
)
_OWNER = WHO.replace("(?P<who>I|", "(?P<who>My|").replace(r"\u2019'-", "-")
_WHEN = (
    r"(?P<when>(?:in|on|since) (?:(?:early|late|mid) )?(?:\d{1,2}(?:st|nd|rd|th)? )?"
    r"(?:(?:January|February|March|April|May|June|July|August|September|October|November|December)"
    r"(?: \d{1,2},?)?(?: \d{4})?|\d{4}(?:-\d\d){0,2}))"
)
_VALUE = r"(?P<value>.{1,120}?)"
_UNTIL = rf"(?: {_WHEN})?"
PLACES = tuple("Tampere Gdansk Cusco Kyoto Tartu Mombasa Halifax Valparaiso Bergen Izmir Quito Perth".split())
THINGS = (
    "a brass lamp,a blue kite,an old map,a wooden flute,a red bicycle,a silver key,a clay pot,a grey kettle"
).split(",")
PEOPLE = tuple("Tomas Ilse Ravi Noor Bruno Freya Amara Yusuf Petra Kenji Lucia Anton".split())
TASTES = "cold tea,long walks,brass bands,plum cake,early mornings,card games,the sea,thick fog".split(",")
JOBS = "a baker,a glazier,a pilot,a clerk,a surveyor,a midwife,a cellist,a ferryman".split(",")
FIRMS = "the harbour office,a print shop,the town library,a bakery,the post,a shipyard,a school".split(",")
TONGUES = tuple("Basque Finnish Tamil Welsh Greek Swahili Danish Korean".split())
DATES = "in May 1987,in June 2003,on 4 August 1999,in 2011,in March 1975,on 9 October 2015,in 1968".split(",")
WORDS = "seven,amber,4417,a heron,the second one,north,Vesper,0392,green,Oakum,twelve,K-51".split(",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One row of the table. Of a `single` relation somebody has one value: a newer one replaces it."""

    name: str
    patterns: tuple[re.Pattern[str], ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    pool: tuple[str, ...]
    single: bool = False


def _relation(
    name: str,
    *patterns: str,
    questions: str,
    answers: str,
    pool: tuple[str, ...] | list[str],
    single: bool = False,
) -> Relation:
    return Relation(
        name=name,
        patterns=tuple(re.compile(f"{each}$") for each in patterns),
        questions=tuple(questions.split("|")),
        answers=tuple(answers.split("|")),
        pool=tuple(pool),
        single=single,
    )


RELATIONS = (
    _relation(
        "birthday",
        rf"{WHO} (?:was|were) born (?=(?:in|on) [\w ,-]*\d){_WHEN.replace('when', 'value')}",
        questions="When {was} {who} born?|What is the date of {whose} birth?|When did {whose} life begin?"
        "|Do you remember when {who} {was} born?|Since when {be} {who} alive?|Tell me when {who} {was} born.",
        answers="{who} {was} born {value}.",
        pool=DATES,
        single=True,
    ),
    _relation(
        "birthplace",
        rf"{WHO} (?:was|were) born (?:in|at|near) {_VALUE}",
        rf"{WHO} (?:grew up in|comes? from|is from|am from) {_VALUE}",
        questions="Where {was} {who} born?|Where {do} {who} come from?|What is {whose} birthplace?"
        "|Which place {do} {who} come from?|Tell me where {who} {was} born.|Where did {who} grow up?",
        answers="{who} come{s} from {value}.",
        pool=PLACES,
        single=True,
    ),
    _relation(
        "home",
        rf"{WHO} (?:now |currently )?lives? in {_VALUE}{_UNTIL}",
        rf"{WHO} (?:(?:has|have) )?moved to {_VALUE}{_UNTIL}",
        questions="Where {do} {who} live?|In which place {do} {who} live?|Where is {whose} home?"
        "|Tell me where {who} live{s}.|What is {whose} place of residence?|Which place {do} {who} call home?"
        "|Where would a letter reach {who}?",
        answers="{who} live{s} in {value}.|{whose} home is in {value}.",
        pool=PLACES,
        single=True,
    ),
    _relation(
        "job",
        rf"{WHO} works? as {_VALUE}",
        questions="What {do} {who} do for a living?|What is {whose} job?|As what {do} {who} work?"
        "|How {do} {who} earn a living?|What is {whose} profession?|Tell me what {who} work{s} as.",
        answers="{who} work{s} as {value}.",
        pool=JOBS,
        single=True,
    ),
    _relation(
        "employer",
        rf"{WHO} works? (?:at|for|in) {_VALUE}",
        questions="Where {do} {who} work?|Who employs {who}?|What is {whose} place of work?"
        "|For whom {do} {who} work?|Tell me where {who} work{s}.|Where {do} {who} go to work?",
        answers="{who} work{s} at {value}.",
        pool=FIRMS,
        single=True,
    ),
    _relation(
        "spouse",
        rf"{WHO} (?:is|am) married to {_VALUE}",
        questions="Who {be} {who} married to?|What is the name of {whose} spouse?|To whom {be} {who} married?"
        "|Who is {whose} spouse?|Tell me who {who} {be} married to.",
        answers="{who} {be} married to {value}.",
        pool=PEOPLE,
        single=True,
    ),
    _relation(
        "allergy",
        rf"{WHO} (?:is|am) allergic to {_VALUE}",
        questions="What {be} {who} allergic to?|What is {whose} allergy?|What must {who} not eat or touch?"
        "|To what {be} {who} allergic?|Which allergy {do} {who} have?",
        answers="{who} {be} allergic to {value}.",
        pool="pollen,shellfish,walnuts,cats,penicillin,wool,bee stings,rye".split(","),
    ),
    _relation(
        "fear",
        rf"{WHO} (?:is|am) (?:afraid|scared) of {_VALUE}",
        questions="What {be} {who} afraid of?|What frightens {who}?|What is {whose} fear?"
        "|Of what {be} {who} afraid?|Tell me what scares {who}.",
        answers="{who} {be} afraid of {value}.",
        pool="spiders,heights,deep water,the dark,crowds,geese,ladders,lightning".split(","),
    ),
    _relation(
        "dislike",
        rf"{WHO} (?:hates?|dislikes?|cannot stand|can[\u2019']t stand) {_VALUE}",
        questions="What {do} {who} dislike?|What can {who} not stand?|What {do} {who} hate?"
        "|Tell me what {who} dislike{s}.|What is not to {whose} taste?",
        answers="{who} dislike{s} {value}.",
        pool=TASTES,
    ),
    _relation(
        "taste",
        rf"{WHO} (?:really )?(?:likes?|loves?|enjoys?|adores?|prefers?) {_VALUE}",
        questions="What {do} {who} like?|What {do} {who} enjoy?|What is to {whose} taste?"
        "|Tell me what {who} like{s}.|What would please {who}?|What {be} {who} fond of?",
        answers="{who} like{s} {value}.",
        pool=TASTES,
    ),
    _relation(
        "language",
        rf"{WHO} speaks? {_VALUE}",
        questions="Which language {do} {who} speak?|What {do} {who} speak?|What is {whose} language?"
        "|In which language can one talk to {who}?|Tell me which language {who} speak{s}.",
        answers="{who} speak{s} {value}.",
        pool=TONGUES,
    ),
    _relation(
        "event",
        rf"{WHO} (?P<past>(?P<verb>[a-z]+) .{{1,100}}?) {_WHEN.replace('when', 'value')}",
        questions="When did {who} {what}?|In which year or month did {who} {what}?"
        "|Since when is it that {who} {past}?"
        "|Do you remember when {who} {past}?|Tell me when {who} {past}.",
        answers="{who} {past} {value}.",
        pool=DATES,
        single=True,
    ),
    _relation(
        "owned",
        rf"{WHO} (?:has|have|owns?|keeps?) (?:a|an) "
        rf"(?P<what>[a-z][\w -]{{0,30}}?),? (?:called|named) {_VALUE}",
        questions="What is {whose} {what} called?|What is the name of {whose} {what}?"
        "|Which name {do} {whose} {what} go by?"
        "|Do you know the name of {whose} {what}?|How is {whose} {what} called?",
        answers="{whose} {what} is called {value}.",
        pool=PEOPLE,
        single=True,
    ),
    _relation(
        "possession",
        rf"{WHO} (?:owns?|has|have|keeps?|drives?) (?P<value>(?:a|an|two|three|four|some) .{{1,80}}?)",
        questions="What {do} {who} own?|What {do} {who} have?|What belongs to {who}?"
        "|Tell me what {who} own{s}.|What is among {whose} things?",
        answers="{who} own{s} {value}.",
        pool=THINGS,
    ),
    _relation(
        "attribute",
        rf"{_OWNER}(?:(?<=My)|[\u2019']s?) (?P<what>[a-z][\w -]{{0,40}}?) (?:is|are|was) "
        rf"(?:called |named )?{_VALUE}",
        questions="What is {whose} {what}?|Tell me {whose} {what}.|Do you know {whose} {what}?"
        "|What do you remember of {whose} {what}?|Say what {whose} {what} is.|Which is {whose} {what}?",
        answers="{whose} {what} is {value}.",
        pool=WORDS,
        single=True,
    ),
    _relation(
        "nature",
        rf"{WHO} (?:is|am) (?P<value>(?:a|an|the) .{{1,100}}?)",
        questions="Who or what {be} {who}?|How would you describe {who}?|What can be said of {who}?"
        "|Tell me what {who} {be}.|In a few words, who {be} {who}?",
        answers="{who} {be} {value}.",
        pool=JOBS,
    ),
    _relation(
        "visit",
        rf"{WHO} (?:has |have )?visited {_VALUE}{_UNTIL}",
        questions="What has {who} visited?|Where {was} {who} for a visit?|Which place did {who} visit?"
        "|Tell me what {who} visited.|Where did {who} travel?",
        answers="{who} visited {value}.",
        pool=PLACES,
    ),
)

SAYING = Relation(
    name="saying",
    patterns=(),
    questions=(
        "Complete from memory: {what}",
        "How does this go on: {what}",
        "Finish this sentence as you remember it: {what}",
        "What comes after these words: {what}",
        "Which of your memories begins like this: {what}",
        "Go on from here: {what}",
    ),
    answers=("{past}",),
    pool=(
        "and the rest is not known.",
        "until the morning after.",
        "as nobody had thought.",
        "by the old road.",
    ),
    single=True,
)
"""What is left to say of a sentence that no pattern knows: it goes on from its beginning."""

UNSAID = (
    "shoe size|lucky number|middle name|favourite poem|first teacher|bank|blood group|dentist"
    "|front door colour|oldest coin|passport number|star sign"
).split("|")
ASKED_UNSAID = (
    "What is {whose} {what}?",
    "Do you know {whose} {what}?",
    "Tell me {whose} {what}.",
    "Which is {whose} {what}?",
)
UNKNOWN = "I don't know that."
_TOLD = (
    "moved:move visited:visit met:meet bought:buy started:start joined:join left:leave "
    "married:marry finished:finish opened:open sold:sell lost:lose found:find won:win began:begin "
    "founded:found wrote:write built:build broke:break adopted:adopt learned:learn "
    "graduated:graduate retired:retire went:go came:come became:become gave:give took:take "
    "saw:see"
)
BASES = dict(pair.split(":") for pair in _TOLD.split())
"""Verbs of events: as they are told, and as one asks for them."""
