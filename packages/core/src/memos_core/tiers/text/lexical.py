"""Words of a text as the lexical index sees them: folded, stopped, stemmed; CJK as bigrams."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

# Function words that carry no topic. Pronouns of question ("who", "when") are in: the answer's
# kind is a feature of its own, not a term to match.
STOP_WORDS = frozenset(
    """a about after again all also am an and any are as at be because been before being both but by
    can could did do does doing don down during each few for from further get got had has have
    having he her here hers herself him himself his how i if in into is it its itself just ll m me
    might more most my myself no nor not now of off on once only or other our ours out over own re s
    same shall she should so some such t than that the their theirs them themselves then there these
    they this those through to too under until up ve very was we were what when where which while
    who whom whose why will with would you your yours yourself""".split()
)

_CJK = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff" + (
    "\U00020000-\U0002fa1f"
)
# Vowel signs and points belong to the word that they stand in; to `re` they are no word characters.
_MARKS = "".join(
    chr(code)
    for code in (*range(0x300, 0x2000), *range(0xA600, 0xAC00))
    if unicodedata.category(chr(code)).startswith("M")
)
_LETTER = rf"[^\W_{_CJK}]"
_TOKEN = re.compile(rf"[{_CJK}]+|{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*")
_IS_CJK = re.compile(rf"[{_CJK}]")
_stemmer = snowballstemmer.stemmer("english")
_stemming = threading.Lock()  # the stemmer keeps the word it works on in itself


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    """Return the word's stem; "" for a stop word."""
    if word in STOP_WORDS:
        return ""
    if not word.isascii() or len(word) > 64:
        return word
    with _stemming:
        return str(_stemmer.stemWord(word))


def terms(text: str) -> list[str]:
    """Return the index terms of a text in order, repeats kept.

    NFKC and case folding; runs of letters and digits are words; English stop words are dropped
    and English words stemmed (Snowball); a run of Han, Kana or Hangul becomes its overlapping
    bigrams, a single character stays itself.
    """
    found: list[str] = []
    for token in _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _IS_CJK.match(token):
            found.extend(_bigrams(token))
        elif stem := _stem(token):
            found.append(stem)
    return found


def _bigrams(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]
