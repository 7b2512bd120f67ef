"""What a model's reply took and reused, in LangChain's words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from memos_core import Reply


def usage_of(reply: Reply) -> UsageMetadata:
    """Return the tokens of a reply; those that were attached and not computed count as read from a cache."""
    return UsageMetadata(
        input_tokens=reply.prompt_tokens,
        output_tokens=reply.tokens,
        total_tokens=reply.prompt_tokens + reply.tokens,
        input_token_details=InputTokenDetails(cache_read=reply.reuse.tokens),
    )


def metadata_of(reply: Reply, *, model: str) -> dict[str, Any]:
    """Return why the reply ended, which memories stood in its prompt, and what was reused."""
    return {
        "model_name": model,
        "model_provider": "memos",
        "finish_reason": reply.finish,
        "memories": list(reply.memories),
        "reuse": asdict(reply.reuse),
        "first_token_seconds": reply.first_token,
    }
