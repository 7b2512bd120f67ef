"""LangChain's own suites for chat models, over the twin and over the real small model."""

from functools import reduce
from operator import add

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_memos import ChatMemOS
from memos_core import Runtime

# What the suites ask of models that call tools, see pictures, take another model's name at every call,
# read their settings from the environment or are rebuilt from JSON. Here a skipped test is an error.
NOT_ASKED = frozenset(
    """
    test_init_from_env test_bind_tool_pydantic test_with_structured_output test_serdes
    test_invoke_with_model_override test_ainvoke_with_model_override
    test_stream_with_model_override test_astream_with_model_override
    test_tool_calling test_tool_calling_async test_bind_runnables_as_tools test_tool_choice
    test_tool_message_histories_string_content test_tool_message_histories_list_content
    test_tool_calling_with_no_arguments test_tool_message_error_status test_structured_few_shot_examples
    test_structured_output test_structured_output_async test_structured_output_pydantic_2_v1
    test_structured_output_optional_param test_json_mode test_unicode_tool_call_integration
    test_pdf_inputs test_audio_inputs test_image_inputs test_image_tool_message test_pdf_tool_message
    test_anthropic_inputs test_agent_loop test_stream_time
    """.split()
)


@pytest.fixture(scope="module")
def small_model():
    with Runtime.open() as runtime:
        yield runtime


class Suite:
    not_asked = NOT_ASKED
    has_tool_calling = has_structured_output = has_tool_choice = False

    @pytest.fixture(autouse=True)
    def given(self, runtime, told):
        self.runtime, self.memos = runtime, told

    @property
    def chat_model_class(self):
        return ChatMemOS

    @property
    def chat_model_params(self):
        return {"runtime": self.runtime, "memos": self.memos}


class TestUnits(Suite, ChatModelUnitTests):
    pass


class TestStandard(Suite, ChatModelIntegrationTests):
    @property
    def supported_usage_metadata_details(self):
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream=False):
        model = ChatMemOS(**self.chat_model_params)
        model.invoke("Where does Mira live?")
        message = reduce(add, model.stream("Where does Mira live?")) if stream else model.invoke("And Ivo?")
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message


@pytest.mark.slow
class TestStandardOnTheSmallModel(Suite, ChatModelIntegrationTests):
    @pytest.fixture
    def runtime(self, small_model):
        return small_model

    @property
    def chat_model_params(self):
        return {"runtime": self.runtime, "memos": self.memos, "max_tokens": 12}
