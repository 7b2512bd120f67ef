"""Extractors: models that state what of a conversation is worth knowing by itself."""

from memos_core.extract.chat import ChatExtractor
from memos_core.extract.endpoint import OpenAIExtractor

__all__ = ["ChatExtractor", "OpenAIExtractor"]
