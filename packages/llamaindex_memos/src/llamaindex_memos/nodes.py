"""Memories as LlamaIndex nodes."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore, TextNode

from memos_core import Hit

SHOWN = ("at", "speaker")
"""The metadata that a model is shown; the rest is for programs."""


def node_of(hit: Hit, *, cube: str) -> NodeWithScore:
    """Return a hit as a node under the memory's id: the text verbatim, and JSON values as metadata.

    The score is 0 to 1 and compares within one recall; `why` holds the parts that it sums up,
    `likeness` is the cosine, -1 to 1, or None; times are ISO 8601 in UTC.
    """
    memory = hit.memory
    told = memory.header.descriptive
    metadata = {
        "likeness": hit.likeness,
        "why": {name: part for name, part in hit.why.parts().items() if part},
        "context": hit.context,
        "cube": cube,
        "version": memory.version,
        "kind": memory.kind,
        "tags": list(memory.tags),
        "origin": told.origin,
        "speaker": told.speaker,
        "role": told.role,
        "session": told.session,
        "position": told.position,
        "at": memory.at.isoformat(),
        "created_at": told.created_at.isoformat(),
        "updated_at": told.updated_at.isoformat(),
    }
    hidden = [name for name in metadata if name not in SHOWN or metadata[name] is None]
    node = TextNode(
        id_=memory.id,
        text=memory.text,
        metadata=metadata,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=list(metadata),
    )
    return NodeWithScore(node=node, score=hit.score)
