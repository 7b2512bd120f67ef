"""LangChain's own suites for tools, over each of ours."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_memos import memory_tools
from langchain_memos.seen import artifact_of


class Given:
    """A store with one memory that the conversation has been shown."""

    name = ""
    arguments: ClassVar[dict] = {}

    @pytest.fixture(autouse=True)
    def given(self, memos):
        memory = memos.as_principal("mira").cube("memory").remember("Mira likes salt")
        shown = ToolMessage("x", tool_call_id="0", artifact=artifact_of([memory]))
        self.tools = {tool.name: tool for tool in memory_tools(memos)}
        self.known = SimpleNamespace(id=memory.id, messages=[shown])

    @property
    def tool_constructor(self):
        return self.tools[self.name]

    @property
    def tool_invoke_params_example(self):
        runtime = ToolRuntime(
            state={"messages": self.known.messages},
            context={"user_id": "mira"},
            config={},
            stream_writer=lambda _: None,
            tool_call_id="123",
            store=None,
        )
        named = {"memory_id": self.known.id} if self.name in ("revise", "forget") else {}
        return {**self.arguments, **named, "runtime": runtime}


class Remember(Given):
    name, arguments = "remember", {"text": "Mira likes rain"}


class Recall(Given):
    name, arguments = "recall", {"query": "What does Mira like?"}


class Revise(Given):
    name, arguments = "revise", {"text": "Mira likes sugar"}


class Forget(Given):
    name, arguments = "forget", {}


class TestRememberUnit(Remember, ToolsUnitTests):
    pass


class TestRememberIntegration(Remember, ToolsIntegrationTests):
    pass


class TestRecallUnit(Recall, ToolsUnitTests):
    pass


class TestRecallIntegration(Recall, ToolsIntegrationTests):
    pass


class TestReviseUnit(Revise, ToolsUnitTests):
    pass


class TestReviseIntegration(Revise, ToolsIntegrationTests):
    pass


class TestForgetUnit(Forget, ToolsUnitTests):
    pass


class TestForgetIntegration(Forget, ToolsIntegrationTests):
    pass
