import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.tiers.text.lexical import STOP_WORDS, terms


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("The cats are sleeping.", ["cat", "sleep"]),
        ("Mira MOVED, moving; moves", ["mira", "move", "move", "move"]),
        ("it's Ana's bike", ["ana", "bike"]),
        ("who was it that did this to you", []),
        ("snake_case and x2z", ["snake", "case", "x2z"]),
        ("8 May 2023", ["8", "may", "2023"]),
        ("Straße ＡＢＣ ﬁne ①", ["strass", "abc", "fine", "1"]),  # folded alike, however they are written
        ("Zoë café", ["zoë", "café"]),
        ("里斯本", ["里斯", "斯本"]),
        ("猫", ["猫"]),
        ("我住在Lisbon很久", ["我住", "住在", "lisbon", "很久"]),
        ("カタカナ", ["カタ", "タカ", "カナ"]),
        ("ｶﾅ", ["カナ"]),
        ("한국어", ["한국", "국어"]),
        ("😀 🏳️‍🌈 !?", []),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("nul\0inside", ["nul", "insid"]),
        ("a" * 65, ["a" * 65]),
    ],
)
def test_a_text_becomes_its_terms(text, wanted):
    assert terms(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"), [("हिन्दी भाषा", 2), ("e\u0301te\u0301 passé", 2), ("שָׁלוֹם", 1), ("தமிழ்", 1)]
)
def test_a_mark_does_not_break_the_word_that_it_stands_in(text, words):
    assert len(terms(text)) == words


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_terms_are_words_that_no_query_language_can_misread(text):
    assert [term for term in terms(text) if not term or set(term) & set(" \t\n\"'*()^:-+{}\0")] == []


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_a_text_and_its_compatibility_form_are_found_by_the_same_words(text):
    assert terms(unicodedata.normalize("NFKC", text)) == terms(text)


@given(st.lists(st.sampled_from(sorted(STOP_WORDS)), max_size=9).map(" ".join))
def test_function_words_carry_nothing(text):
    assert terms(text.upper()) == []


def test_eight_threads_stem_what_one_stems():
    texts = [f"{word}{number}ing {word}s" for number in range(60) for word in ("walk", "harbour", "nation")]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(terms, texts)) == [terms(text) for text in texts]
