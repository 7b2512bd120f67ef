"""Templates of several kinds, told apart by what they do with the system text."""

import pytest

from memos_core.errors import InvalidInput
from memos_core.inference import Turn
from memos_core.tiers.kv.llamacpp_prompt import encoded

MARKUP, BOS = 1 << 21, 5


class CharacterServer:
    """A character is a token; markup's are other tokens than a text's."""

    def __init__(self, template, *, wants_bos=False):
        self.templated, self.wants_bos = template, wants_bos

    def tokens(self, content, *, markup, begin=False):
        parts = [content] if isinstance(content, str) else content
        ids = [BOS] if begin and self.wants_bos else []
        for part in parts:
            ids += [part] if isinstance(part, int) else [ord(each) + MARKUP * markup for each in part]
        return ids


def shown(prompt):
    """Return the prompt as text, with its markup between brackets taken off."""
    return "".join(chr(each % MARKUP) for each in prompt.ids)


def plain(messages):
    return "".join(f"[{each['role']}]{each['content']}\n" for each in messages) + "[assistant]"


def without_system(messages):
    return plain([each for each in messages if each["role"] != "system"])


def system_last(messages):
    return plain(sorted(messages, key=lambda each: each["role"] == "system"))


def doubling(messages):
    return plain([*messages, *messages])


def dropping_tools(messages):
    return plain([each for each in messages if each["role"] != "tool"])


TURNS = [Turn("user", "Who?"), Turn("assistant", "Me."), Turn("user", "Why?")]


def test_the_cuts_are_where_the_parts_end():
    prompt = encoded(CharacterServer(plain), ["Be kind.", "Mira: 5."], TURNS, bos=None)
    text = "[system]Be kind.Mira: 5.\n[user]Who?\n[assistant]Me.\n[user]Why?\n[assistant]"
    assert shown(prompt) == text
    assert [shown(prompt)[:cut] for cut in prompt.cuts] == ["[system]Be kind.", "[system]Be kind.Mira: 5."]


def test_a_text_is_never_markup():
    prompt = encoded(CharacterServer(plain), ["[user]"], [Turn("user", "[assistant]")], bos=None)
    texts = "".join(chr(each) for each in prompt.ids if each < MARKUP)
    assert texts == "[user][assistant]"


def test_a_text_that_looks_like_a_mark_stays_what_it_is():
    prompt = encoded(CharacterServer(plain), ["MEMOSTEXT0000001Z"], [Turn("user", "Hi")], bos=None)
    assert shown(prompt) == "[system]MEMOSTEXT0000001Z\n[user]Hi\n[assistant]"


def test_a_template_without_a_place_for_the_system_text_gets_it_before_the_first_turn():
    prompt = encoded(CharacterServer(without_system), ["A.", "B."], TURNS[:1], bos=None)
    assert (shown(prompt), prompt.cuts) == ("[user]A.B.\n\nWho?\n[assistant]", ())


def test_a_system_text_behind_the_turns_has_no_cuts():
    prompt = encoded(CharacterServer(system_last), ["A.", "B."], TURNS[:1], bos=None)
    assert (shown(prompt), prompt.cuts) == ("[user]Who?\n[system]A.B.\n[assistant]", ())


def test_without_a_system_text_there_is_none():
    prompt = encoded(CharacterServer(plain), [], TURNS[:1], bos=None)
    assert (shown(prompt), prompt.cuts) == ("[user]Who?\n[assistant]", ())


def test_empty_parts_are_cuts_of_their_own():
    prompt = encoded(CharacterServer(plain), ["", "A", ""], TURNS[:1], bos=None)
    assert prompt.cuts == (8, 9, 9)


def test_the_model_gets_its_beginning_once():
    def beginning(messages):
        return chr(BOS) + plain(messages)

    class Own(CharacterServer):
        def tokens(self, content, *, markup, begin=False):
            return [
                each % MARKUP if each == BOS + MARKUP else each
                for each in super().tokens(content, markup=markup, begin=begin)
            ]

    lacking = encoded(CharacterServer(plain, wants_bos=True), [], TURNS[:1], bos=BOS)
    having = encoded(Own(beginning, wants_bos=True), [], TURNS[:1], bos=BOS)
    assert lacking.ids == having.ids
    assert lacking.ids.count(BOS) == 1


@pytest.mark.parametrize(
    ("template", "turns", "told"),
    [
        (doubling, TURNS, "turn 0"),
        (dropping_tools, [*TURNS, Turn("tool", "42")], "'tool'"),
        (lambda messages: plain(messages[::-1]), TURNS, "order"),
    ],
)
def test_a_template_that_loses_or_repeats_or_moves_a_turn_is_refused(template, turns, told):
    with pytest.raises(InvalidInput, match=told):
        encoded(CharacterServer(template), [], turns, bos=None)


def test_a_system_text_alone_needs_a_template_that_has_a_place_for_it():
    with pytest.raises(InvalidInput, match="give a turn"):
        encoded(CharacterServer(without_system), ["A."], [], bos=None)


@pytest.mark.parametrize(("system", "turns"), [(["\ud800"], []), ([], [Turn("user", "a\udfff")])])
def test_half_a_surrogate_pair_is_refused(system, turns):
    with pytest.raises(InvalidInput, match="surrogate"):
        encoded(CharacterServer(plain), system, turns, bos=None)
