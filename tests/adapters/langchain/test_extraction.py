"""A chat model reads, as a job, what agents of `create_agent` have said."""

import json

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from langchain_memos import MemOSMiddleware, extractor_of
from memos_core import InvalidInput, Passage
from tests.adapters.langchain.scripted import Scripted

STATED = json.dumps({"statements": [{"text": "Mira lives in Porto.", "kind": "fact", "from": [1]}]})


def said(memos, user="mira"):
    cube = memos.as_principal(user).cube("memory")
    return [(memory.text, memory.header.descriptive.made_by) for memory in cube.list()]


def ask(agent, text):
    config = {"configurable": {"thread_id": "t1"}}
    messages = {"messages": [{"role": "user", "content": text}]}
    return agent.invoke(messages, config=config, context={"user_id": "mira"})


def test_an_exchange_is_kept_at_once_and_read_by_a_worker(memos):
    reader = Scripted(lines=[STATED])
    middleware = MemOSMiddleware(memos, extractor=reader)
    agent = create_agent(Scripted(lines=["Noted."]), middleware=[middleware], checkpointer=InMemorySaver())
    ask(agent, "I live in Porto")
    kept = [("I live in Porto", "verbatim"), ("Noted.", "verbatim")]
    assert (said(memos), reader.asked) == (kept, [])
    assert memos.worker().run_until_idle() == 1
    assert said(memos) == [*kept, ("Mira lives in Porto.", "extractor:scripted")]
    assert [message.type for message in reader.asked[0]] == ["system", "human"]


def test_a_model_that_fails_loses_nothing(memos, clock):
    def fail(_messages):
        raise ConnectionError("the model is gone")

    reader = Scripted(lines=[fail, "I cannot.", STATED])
    middleware = MemOSMiddleware(memos, extractor=reader)
    ask(create_agent(Scripted(lines=["Noted."]), middleware=[middleware]), "I live in Porto")
    for _ in range(3):
        memos.worker().run_until_idle()
        clock.move(minutes=11)
    assert len(said(memos)) == 3


def test_without_a_model_nothing_is_read(memos):
    ask(create_agent(Scripted(lines=["Noted."]), middleware=[MemOSMiddleware(memos)]), "I live in Porto")
    assert list(memos.as_principal("mira").jobs.list()) == []


def test_an_extractor_is_named_after_its_model():
    found = extractor_of(Scripted(lines=[STATED]), name="small").extract(
        [Passage(id="a", text="I live in Porto")]
    )
    assert ([each.text for each in found], extractor_of(Scripted(lines=[])).identity) == (
        ["Mira lives in Porto."],
        "extractor:scripted",
    )


def test_what_is_no_chat_model_is_refused(memos):
    with pytest.raises(InvalidInput, match="chat model"):
        MemOSMiddleware(memos, extractor="gpt-5")
