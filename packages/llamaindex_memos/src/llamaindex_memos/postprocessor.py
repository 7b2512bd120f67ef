"""A node postprocessor that keeps what fits into a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.utils import get_tokenizer
from pydantic import Field

SEPARATOR = "\n\n"  # what a response synthesizer puts between two nodes


class MemOSBudgetPostprocessor(BaseNodePostprocessor):
    """Keeps the best nodes that fit together into `budget` tokens, as a model would be shown them.

    The best come first, whatever order they arrived in; nodes without a score come last, in theirs. One
    that does not fit is left out, and a shorter one after it may still fit. Of several nodes that say
    the same the best one stays. `tokenizer_fn` counts; None is LlamaIndex's own.
    """

    budget: int = Field(default=1_024, ge=1)
    tokenizer_fn: Callable[[str], list[Any]] | None = Field(default=None, exclude=True)

    @classmethod
    def class_name(cls) -> str:
        """The name under which this class is written."""
        return "MemOSBudgetPostprocessor"

    def _postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,  # noqa: ARG002 - LlamaIndex's signature
    ) -> list[NodeWithScore]:
        encode = self.tokenizer_fn or get_tokenizer()
        kept: list[NodeWithScore] = []
        said: set[str] = set()
        room = self.budget
        between = len(encode(SEPARATOR))
        for node in sorted(
            nodes, key=lambda each: float("-inf") if each.score is None else each.score, reverse=True
        ):
            words = " ".join(node.node.get_content().split())
            if words in said:
                continue
            takes = len(encode(node.node.get_content(metadata_mode=MetadataMode.LLM))) + between * bool(kept)
            if takes <= room:
                room -= takes
                said.add(words)
                kept.append(node)
        return kept
