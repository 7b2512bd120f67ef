"""Chat models at work: extractors state what is worth knowing, phrasers put questions in other words."""

from memos_core.extract.chat import ChatExtractor
from memos_core.extract.endpoint import OpenAIExtractor, OpenAIPhraser
from memos_core.extract.phrasing import ChatPhraser

__all__ = ["ChatExtractor", "ChatPhraser", "OpenAIExtractor", "OpenAIPhraser"]
