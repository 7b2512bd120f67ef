"""Written down and read back: equal configs share one core handle, nothing secret is written."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import ComponentModel
from autogen_core.memory import Memory, MemoryContent
from pydantic import ValidationError

from autogen_memos import MemOSMemory
from memos_core import Closed, InvalidInput, MemOS, Where
from tests.adapters.autogen.scripted import agent, asked, notes_in, replay


@pytest.fixture
def mira(named):
    named.as_principal("mira").cube("memory").remember("I live in Porto.")
    where = Where(kinds=("fact",), since=datetime(2020, 1, 1, tzinfo=UTC))
    return MemOSMemory(
        named, user="mira", k=3, budget=99, where=where, session="s", visibility="shared", inject_as="system"
    )


def written(component):
    return json.loads(component.dump_component().model_dump_json())


def test_a_memory_comes_back_as_it_was_on_the_store_that_is_open(named, mira):
    copy = Memory.load_component(ComponentModel(**written(mira)))
    assert isinstance(copy, MemOSMemory)
    assert written(copy) == written(mira)
    assert copy.where == mira.where
    assert copy.memos._core is named._core


def test_its_config_is_json_under_a_public_name(named, mira):
    told = written(mira)
    assert (told["provider"], told["component_type"]) == ("autogen_memos.MemOSMemory", "memory")
    assert told["config"]["store"]["folder"] == str(named.settings.folder)
    assert told["config"]["where"] == {"kinds": ["fact"], "since": "2020-01-01T00:00:00+00:00"}


def test_a_store_that_cannot_be_written_down_is_refused(memos):
    with pytest.raises(InvalidInput, match="names only"):
        MemOSMemory(memos).dump_component()


def test_a_password_is_never_written(named):
    mine = MemOSMemory(named)
    named._core.given = replace(named._core.given, index="http://user:secret@host:1")
    with pytest.raises(InvalidInput, match="password") as caught:
        mine.dump_component()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("broken", [{"store": {"files": "x"}}, {"where": {"mood": "good"}}])
def test_a_config_that_is_none_is_refused(mira, broken):
    told = written(mira)
    told["config"] |= broken
    with pytest.raises(InvalidInput, match="of MemOS"):
        Memory.load_component(told)


def test_a_field_that_is_not_known_is_refused(mira):
    told = written(mira)
    told["config"]["colour"] = "red"
    with pytest.raises(ValidationError):
        Memory.load_component(told)


async def test_an_agent_comes_back_with_its_memory(named):
    named.as_principal("mira").cube("memory").remember("I live in Porto.")
    helper = agent("helper", replay("In Porto."), MemOSMemory(named, user="mira"))
    copy = AssistantAgent.load_component(written(helper))
    await copy.run(task="Where do I live?")
    assert "I live in Porto." in notes_in(asked(copy._model_client))[0]


async def test_a_team_comes_back_and_all_its_memories_share_one_handle(named):
    shared = MemOSMemory(named, cube="board")
    team = RoundRobinGroupChat(
        [agent(name, replay("Yes.", "Yes."), shared) for name in ("one", "two")], max_turns=2
    )
    copy = RoundRobinGroupChat.load_component(written(team))
    memories = [each._memory[0] for each in copy._participants]
    assert {each.memos._core for each in memories} == {named._core}
    await memories[0].add(MemoryContent(content="The mill is closed.", mime_type="text/plain"))
    found = await memories[1].query("mill")
    assert [each.content for each in found.results] == ["The mill is closed."]
    await copy.run(task="Is the mill closed?")


def test_a_store_that_nobody_has_open_closes_with_the_last_memory(tmp_path):
    with MemOS.open(tmp_path / "store", embedder="static") as memos:
        told = written(MemOSMemory(memos))
    first, second = (Memory.load_component(told) for _ in range(2))
    assert first.memos._core is second.memos._core

    async def main():
        await first.close()
        await second.add(MemoryContent(content="still open", mime_type="text/plain"))
        await second.close()

    asyncio.run(main())
    with pytest.raises(Closed):
        first.memos.cube("memory")
    MemOS.open(tmp_path / "store").close()


LOAD = """
import asyncio, json, sys
from autogen_core.memory import Memory
from memos_core import Locked
told = json.load(sys.stdin)
try:
    memory = Memory.load_component(told)
except Locked as error:
    print("LOCKED", error)
else:
    print([each.content for each in asyncio.run(memory.query("mill")).results])
    asyncio.run(memory.close())
"""


def loaded(told, **environment):
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_another_process_is_told_who_has_the_folder_and_loads_it_when_it_is_free(tmp_path):
    with MemOS.open(tmp_path / "store", embedder="static") as memos:
        memos.cube("memory").remember("The mill is closed.")
        told = written(MemOSMemory(memos))
        refused = loaded(told)
    assert refused.startswith("LOCKED")
    assert "share one MemOS handle between the agents of one process" in refused
    trusted = {"AUTOGEN_ALLOWED_PROVIDER_NAMESPACES": "autogen_memos"}
    assert loaded(told, **trusted) == "['The mill is closed.']"


def test_everything_is_written_under_the_namespace_that_is_to_be_trusted(mira):
    assert written(mira)["provider"].split(".")[0] == "autogen_memos"
