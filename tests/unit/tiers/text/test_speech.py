"""What a sentence gives away about who speaks."""

from __future__ import annotations

import pytest

from memos_core.tiers.text.speech import is_first_person, is_question, speakers_meant

NAMES = {"Mira": 0, "Jo": 1, "user": 2, "assistant": 3, "": 4}


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("When did Mira move?", {0}),
        ("When did mira's sister meet Jo?", {0, 1}),
        ("When did Joanna move?", set()),
        ("Which shoes did I clean last month?", {2}),
        ("Can you suggest a dinner with my tomatoes?", {3}),
        ("What was the name of the hotel you recommended?", {3}),
        ("I go back to our previous chat about hotels", {3}),
        ("", set()),
    ],
)
def test_a_query_means_speakers(query: str, codes: set[int]) -> None:
    assert speakers_meant(query, NAMES) == codes


@pytest.mark.parametrize(("text", "asks"), [("Why?", True), ("元気？", True), ("Yes.", False), ("", False)])
def test_a_question_ends_by_asking(text: str, asks: bool) -> None:
    assert is_question(text) is asks


@pytest.mark.parametrize(
    ("text", "first"),
    [("I'm here", True), ("it is my dog", True), ("We left", True), ("Ice is cold", False)],
)
def test_first_person_is_i_or_we(text: str, first: bool) -> None:
    assert is_first_person(text) is first
