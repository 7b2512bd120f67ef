from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.reader.keys import CHUNK, chunks, key_texts, keys_of
from memos_core.testing import HashEmbedder
from memos_core.vault.draft import Draft, unpacked

MAY = datetime(2023, 5, 8, 23, 30, tzinfo=UTC)
texts = st.text(st.sampled_from("ab. !?。;,\n \u3000é𝒜"), max_size=300)


@given(texts, st.integers(2, 40))
def test_chunks_lose_nothing_but_blanks(text, limit):
    assert "".join("".join(chunks(text, limit=limit)).split()) == "".join(text.split())


def test_a_form_feed_ends_a_part():
    assert chunks("one\ftwo three\f\f four") == ["one", "two three", " four"]


@given(texts, st.integers(2, 40))
def test_chunks_are_pieces_of_the_text_in_order(text, limit):
    at = 0
    for chunk in chunks(text, limit=limit):
        at = text.index(chunk, at) + len(chunk)
    assert at <= len(text)


@given(texts.filter(lambda text: text.strip() != ""), st.integers(2, 40))
def test_no_chunk_is_blank_or_over_the_limit(text, limit):
    found = chunks(text, limit=limit)
    assert [chunk for chunk in found if not 0 < len(chunk.strip()) <= len(chunk) <= limit] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one two three", ["one two three"]),
        ("First one. Second one", ["First one. ", "Second one"]),
        ("para one\n\npara. two", ["para one\n\n", "para. two"]),
        ("里斯本很美丽很大。波尔图也是很美丽", ["里斯本很美丽很大。", "波尔图也是很美丽"]),
        ("x" * 33, ["x" * 14, "x" * 14, "x" * 5]),
    ],
)
def test_a_text_is_cut_at_its_best_breaks(text, wanted):
    assert chunks(text, limit=14) == wanted


def test_a_text_just_at_the_limit_is_one_chunk():
    assert [len(chunks("x" * length)) for length in (CHUNK, CHUNK + 1)] == [1, 2]


@pytest.mark.parametrize(
    ("draft", "key"),
    [
        (Draft(text="Hello", digest="d"), "Hello"),
        (Draft(text="Hello", digest="d", speaker="Caroline", event_at=MAY), "8 May 2023: Caroline: Hello"),
        (Draft(text="Hello", digest="d", speaker="User"), "Hello"),  # a role names nobody
        (Draft(text="Hello", digest="d", event_at=MAY), "8 May 2023: Hello"),
    ],
)
def test_a_key_names_day_and_speaker_before_the_words(draft, key):
    assert key_texts(draft) == [key]


def test_every_chunk_of_a_long_text_names_day_and_speaker():
    draft = Draft(text="word " * 600, digest="d", speaker="Ana", event_at=MAY)
    assert {key.startswith("8 May 2023: Ana: word") for key in key_texts(draft)} == {True}


class Counting(HashEmbedder):
    calls = 0

    def embed(self, texts):
        self.calls += 1
        return super().embed(texts)


def test_keys_of_many_drafts_are_made_in_one_call_and_given_to_their_own():
    embedder = Counting()
    drafts = [Draft(text=text, digest=text[:9]) for text in ("short one", "long one " * 300, "another")]
    made = keys_of(drafts, embedder)
    alone = [embedder.embed(key_texts(draft)) for draft in drafts]
    assert embedder.calls == 1 + len(drafts)
    assert [np.array_equal(keys.vectors, vectors) for keys, vectors in zip(made, alone, strict=True)] == [
        True
    ] * 3


def test_the_words_of_the_whole_text_and_its_day_are_terms():
    made = keys_of(
        [Draft(text=f"{'filler. ' * 400}The last word is xylophone", digest="d", event_at=MAY)],
        HashEmbedder(),
    )
    assert {"xylophon", "8", "2023"} <= set(made[0].terms.split())


def test_no_drafts_have_no_keys():
    assert keys_of([], HashEmbedder()) == []


def test_packed_vectors_come_back_to_half_precision():
    made = keys_of([Draft(text="long one " * 300, digest="d")], HashEmbedder())[0]
    back = unpacked(made.packed(), keys=len(made.vectors))
    assert (back.shape, float(np.abs(back - made.vectors).max()) < 1e-3) == (made.vectors.shape, True)
