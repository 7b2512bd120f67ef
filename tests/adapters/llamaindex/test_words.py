"""What a message says, in words; and each message once, however often it is handed over."""

import base64
import copy
import pickle

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.llm import ToolSelection

from llamaindex_memos.said import Heard, digest_of, said
from llamaindex_memos.words import LONGEST, last_question, passages, role_of, words_of
from tests.adapters.llamaindex.scripted import assistant, user

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def one(*blocks, role="assistant", **more):
    return ChatMessage(role=role, blocks=list(blocks), additional_kwargs=more)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (user("As it stands.\n\n  With breaks "), "As it stands.\n\n  With breaks "),
        (user(""), ""),
        (ChatMessage(role="user"), ""),
        (ChatMessage(role="user", content=None), ""),
        (one(TextBlock(text="a"), TextBlock(text="b")), "a\nb"),
        (
            one(TextBlock(text="Look:"), ImageBlock(url="https://x.org/cat.png")),
            "Look:\n[image https://x.org/cat.png]",
        ),
        (
            one(ToolCallBlock(tool_name="weather", tool_kwargs={"city": "Évora"})),
            '[calls weather({"city": "Évora"})]',
        ),
        (one(ToolCallBlock(tool_name="weather", tool_kwargs='{"city": ')), '[calls weather({"city": )]'),
        (one(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), "[calls f({})]"),
        (
            one(tool_calls=[ToolSelection(tool_id="1", tool_name="f", tool_kwargs={"x": 1})]),
            '[calls f({"x": 1})]',
        ),
        (one(ToolCallBlock(tool_name="f"), tool_calls=[{"function": {"name": "f"}}]), "[calls f({})]"),
        (one(tool_calls="what?"), ""),
        (one(tool_calls=[None, {}, 5]), ""),
        (one(ThinkingBlock(content="hm"), TextBlock(text="Yes.")), "Yes."),
        (one(CachePoint(cache_control=CacheControl(type="ephemeral"))), ""),
        (one(VideoBlock(url="https://x.org/v.mp4")), "[video https://x.org/v.mp4]"),
        (one(DocumentBlock(url="https://x.org/d.pdf", title="D")), "[document https://x.org/d.pdf]"),
        (
            one(CitableBlock(title="T", source="S", content=[TextBlock(text="said")])),
            "[T, S]\nsaid",
        ),
        (
            one(
                CitationBlock(
                    title="T",
                    source="S",
                    cited_content=TextBlock(text="cited"),
                    additional_location_info={},
                )
            ),
            "cited",
        ),
    ],
)
def test_a_message_in_words(message, words):
    before = message.model_copy(deep=True)
    assert (words_of(message), message) == (words, before)


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(image=PNG),
        AudioBlock(audio=b"RIFF....WAVE" * 9, format="wav"),
        VideoBlock(video=b"\0\0\0 ftypisom" * 9, video_mimetype="video/mp4"),
        DocumentBlock(data=b"%PDF-1.4", title="terms"),
        ImageBlock(url="data:image/png;base64," + base64.b64encode(PNG * 9).decode()),
    ],
    ids=lambda block: block.block_type,
)
def test_what_lies_in_the_message_itself_is_kept_as_size_and_hash(block):
    words = words_of(one(block))
    assert words.startswith(f"[{block.block_type}")
    assert "sha256" in words
    assert len(words) < 100


def test_a_long_message_is_kept_in_passages_and_nothing_is_lost():
    text = "\n\n".join(f"Paragraph {n}. " + "It goes on for a while. " * 9 for n in range(60))
    parts = passages(text)
    assert ("".join(parts), max(map(len, parts)) <= LONGEST, len(parts) > 5) == (text, True, True)
    assert "".join(passages("x" * 100_001)) == "x" * 100_001


def test_the_question_is_the_last_thing_that_the_user_said():
    picture = ChatMessage(role="user", blocks=[ImageBlock(url="https://x.org/cat.png")])
    assert last_question([user("first"), user("second"), assistant("yes"), picture]) == "second"
    assert last_question([user("x" * 9_000)]) == "x" * LONGEST
    assert [last_question(each) for each in ([], [assistant("hello")], [user("  ")])] == [None] * 3


@pytest.mark.parametrize(
    ("role", "kept"),
    [
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
        ("system", None),
        ("developer", None),
    ],
)
def test_instructions_are_nobodys_words(role, kept):
    assert role_of(ChatMessage(role=role, content="x")) == kept


def test_what_is_said_names_who_said_it_and_leaves_out_what_says_nothing():
    messages = [
        ChatMessage(role="system", content="Be brief."),
        user("Hello"),
        assistant(""),
        ChatMessage(role="tool", content="21 degrees", additional_kwargs={"name": "weather"}),
        ChatMessage(role="tool", content="22 degrees"),
        assistant("It is warm."),
    ]
    kept = [(each.speaker, each.role, each.text) for each in said(messages, user="mira")]
    assert kept == [
        ("mira", "user", "Hello"),
        ("weather", "tool", "21 degrees"),
        ("tool", "tool", "22 degrees"),
        ("assistant", "assistant", "It is warm."),
    ]


def test_what_is_said_twice_has_two_ids_and_what_is_told_twice_has_one():
    session = [user("yes"), assistant("no"), user("yes")]
    ids = Heard().take(session)
    heard = Heard(session[:2])
    assert len(set(ids)) == 3
    assert (Heard().take(session), heard.take(session[2:])) == (ids, ids[2:])
    heard.give_back(session[2:])
    assert heard.take(session[2:]) == ids[2:]


def test_the_role_makes_a_difference_and_the_form_of_the_text_makes_none():
    assert digest_of(user("yes")) != digest_of(assistant("yes"))
    assert digest_of(user("yes")) == digest_of(one(TextBlock(text="yes"), role="user"))
    assert digest_of(user("\ud83d"))  # half a character: the core refuses it, with its own words


def test_a_copy_has_to_ask_what_was_said_before():
    heard = Heard([user("yes")])
    assert [pickle.loads(pickle.dumps(heard)).known, copy.deepcopy(heard).known, heard.known] == [
        False,
        False,
        True,
    ]
