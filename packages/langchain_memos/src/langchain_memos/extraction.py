"""A LangChain chat model as the extractor of a store: it reads, as a job, what was kept verbatim."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from memos_core import ChatExtractor, InvalidInput


def extractor_of(model: BaseChatModel, *, name: str | None = None) -> ChatExtractor:
    """Return an extractor that asks the chat model; `MemOS.open(..., extractor=extractor_of(model))`.

    `name` is the model's in the provenance of what it states; without one, what the model calls itself.
    """
    if not isinstance(model, BaseChatModel):
        raise InvalidInput(f"extraction takes a LangChain chat model, not {type(model).__name__}")

    def ask(system: str, message: str) -> str:
        return str(model.invoke([SystemMessage(system), HumanMessage(message)]).text)

    return ChatExtractor(ask, model=name or _name_of(model))


def _name_of(model: BaseChatModel) -> str:
    for attribute in ("model_name", "model", "model_id"):
        said = getattr(model, attribute, None)
        if isinstance(said, str) and said:
            return said
    return model._llm_type
