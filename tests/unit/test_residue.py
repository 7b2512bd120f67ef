"""Looking for pieces of text in bytes, by many needles at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memos_core.residue import PIECE_WORDS, Form, Needles, forms, pieces

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200)


@given(texts)
def test_every_piece_is_part_of_its_text_and_every_word_is_in_a_piece(text):
    cut = pieces([text])
    assert all(piece in text for piece in cut)
    assert all(any(word[:10] in piece for piece in cut) for word in text.split())


def test_any_rest_of_five_words_holds_a_whole_piece():
    words = [f"word{n}" for n in range(20)]
    cut = pieces([" ".join(words)])
    for start in range(16):
        rest = " ".join(words[start : start + 2 * PIECE_WORDS - 1])
        assert any(piece in rest for piece in cut)


def test_a_piece_is_looked_for_as_it_may_have_been_written():
    found = {form.name: form.data for form in forms(0, 'said "ύφασμα" twice')}
    assert found["json"] == b'said \\"\\u03cd\\u03c6\\u03b1\\u03c3\\u03bc\\u03b1\\" twice'
    assert found["json of utf-8"].decode() == 'said \\"ύφασμα\\" twice'
    assert {"utf-8", "utf-16-le", "utf-16-be", "terms"} <= set(found)
    assert forms(0, "tea") == []


@given(st.lists(st.binary(min_size=8, max_size=24), max_size=8), st.lists(st.binary(max_size=40), max_size=8))
def test_needles_find_what_a_plain_search_finds(wanted, noise):
    data = b"".join(part + needle for part, needle in zip(noise, wanted, strict=False))
    needles = Needles([Form(number, "utf-8", each) for number, each in enumerate(wanted)])
    found = {(match.form.data, match.offset) for match in needles.find(data)}
    plain = {(each, at) for each in wanted for at in range(len(data)) if data.startswith(each, at)}
    assert found == plain
