"""When two statements say the same: by rule, and only where no word that counts differs.

Likeness of vectors finds "red wine" and "white wine" alike, and a number, a name or a "not" weighs
little in it. What is merged is not asked for again, so this looks at words: two statements are the same
if they read the same once case, punctuation, articles, contractions and a few empty words are taken
away, equal words of a closed list are one, and a phrase of time that stands first has been moved to the
end. Order counts: who loves whom is not a matter of which words there are.
"""

from __future__ import annotations

import re
import unicodedata

_EMPTY = frozenset("a an the that really indeed actually please also".split())
_EQUAL = {
    word: group.split()[0]
    for group in (
        "begin start|begins starts|began started|big large|photo photograph|phone telephone"
        "|movie film"
        "|bike bicycle|tv television|buy purchase|buys purchases|bought purchased|child kid"
        "|children kids|loves adores"
        "|love adore"
        "|dislikes hates|dislike hate|afraid scared|colour color"
        "|favourite favorite"
        "|neighbour neighbor|grey gray|centre center|resides lives|reside live|owns has|own have"
        "|mother mom mum|father dad"
    ).split("|")
    for word in group.split()[1:]
}
_CONTRACTED = (
    (re.compile(r"\bcan(?:no|['\u2019])t\b"), "can not"),
    (re.compile(r"\bwon['\u2019]t\b"), "will not"),
    (re.compile(r"n['\u2019]t\b"), " not"),
    (re.compile(r"\bi['\u2019]m\b"), "i am"),
    (re.compile(r"\b(he|she|it)['\u2019]s\b"), r"\1 is"),
    (re.compile(r"['\u2019]re\b"), " are"),
    (re.compile(r"['\u2019]ve\b"), " have"),
)
_FRONTED = re.compile(r"^((?:in|on|since|at) [^,.;]{2,40}),\s+((?:\S+ ){0,6}\S+)$", re.I)
_MARKS = re.compile(r"[\u2019']")
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W_]+(?:'[^\W_]+)*|[%$€£+#@&<>=~^*/-]")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'-]+")


def sameness(text: str) -> tuple[str, ...]:
    """Return what two texts that say the same have in common: their words that count, in order.

    Signs that carry meaning in formulas, prices and paths count; so does a question mark. An empty tuple
    stands for a text that cannot be told by its words.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    asks = plain.endswith("?")
    moved = _FRONTED.match(plain)
    if moved is not None:
        first, rest = moved.groups()
        plain = f"{rest.rstrip('.!… ')} {first[0].lower()}{first[1:]}"
    names = tuple(sorted(set(_NAME.findall(plain))))
    folded = _MARKS.sub("'", plain.casefold())
    for pattern, spelled in _CONTRACTED:
        folded = pattern.sub(spelled, folded)
    words = [_EQUAL.get(word, word) for word in _TOKEN.findall(folded) if word not in _EMPTY]
    if not any(any(each.isalnum() for each in word) for word in words):
        return ()
    return (*words, *(f"={name}" for name in names), "?" if asks else ".")
