"""Memories as LangChain documents."""

from __future__ import annotations

from langchain_core.documents import Document

from memos_core import Hit


def document_of(hit: Hit, *, cube: str) -> Document:
    """Return a hit as a document: the text verbatim, the memory's id, and JSON values as metadata.

    `score` is 0 to 1 and compares within one recall, `why` holds the parts that it sums up, `likeness`
    is the cosine, -1 to 1, or None; times are ISO 8601 in UTC.
    """
    memory = hit.memory
    told = memory.header.descriptive
    return Document(
        page_content=memory.text,
        id=memory.id,
        metadata={
            "score": hit.score,
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
        },
    )
