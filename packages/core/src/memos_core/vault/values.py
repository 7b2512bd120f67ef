"""Values become rows here, and nowhere else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memos_core.cube import CubeHeader, Principal
from memos_core.memory import State
from memos_core.vault.draft import Draft


def of_memory(
    cube: CubeHeader, draft: Draft, *, position: int | None, owner: Principal, now: datetime
) -> dict[str, Any]:
    """Return the first row of a memory, without its sequence number."""
    return {
        "id": uuid.uuid4().hex,
        "cube_id": cube.id,
        "version": 1,
        "text": draft.text,
        "digest": draft.digest,
        "state": State.GENERATED.value,
        "kind": draft.kind,
        "tags": list(draft.tags),
        "origin": draft.origin,
        "made_by": draft.made_by,
        "speaker": draft.speaker,
        "role": draft.role,
        "session": draft.session,
        "position": position,
        "event_at": draft.event_at,
        "created_at": now,
        "updated_at": now,
        "owner": owner.name,
        "visibility": draft.visibility.value,
        "expires_at": draft.expires_at,
        "sensitivity": draft.sensitivity,
        "priority": draft.priority,
        "trust": draft.trust.value,
        "hits": 0,
        "last_used": None,
        "usefulness": 0.0,
        "imported_from": None,
    }


def of_version(row: Mapping[str, Any], *, by: Principal, change: int, keyed: int) -> dict[str, Any]:
    """Return the row that keeps a memory as it now is; `keyed` is the version whose keys it has."""
    return {
        "memory_seq": row["seq"],
        "version": row["version"],
        "text": row["text"],
        "kind": row["kind"],
        "tags": row["tags"],
        "state": row["state"],
        "event_at": row["event_at"],
        "written_at": row["updated_at"],
        "written_by": by.name,
        "change": change,
        "keyed": keyed,
        "speaker": row["speaker"],
        "role": row["role"],
    }


def of_source(
    cube: CubeHeader, row: Mapping[str, Any], draft: Draft, *, by: Principal, now: datetime
) -> dict[str, Any]:
    """Return the row that keeps what was said, verbatim; a statement is said by whoever writes it."""
    return {
        "cube_id": cube.id,
        "memory_seq": row["seq"],
        "digest": draft.digest,
        "text": draft.text,
        "speaker": draft.speaker or by.name,
        "role": draft.role,
        "session": draft.session,
        "position": row["position"],
        "event_at": draft.event_at,
        "message_id": draft.message_id,
        "recorded_at": now,
    }


def of_audit(
    cube: CubeHeader,
    verb: str,
    *,
    by: Principal,
    now: datetime,
    memory_id: str | None = None,
    seq: int | None = None,
    version: int | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    """Return an audit line. It names the memory and never what it says; `detail` is a word of ours."""
    return {
        "at": now,
        "principal": by.name,
        "cube_id": cube.id,
        "change": cube.change,
        "verb": verb,
        "memory_id": memory_id,
        "memory_seq": seq,
        "version": version,
        "detail": detail,
        "purpose": by.purpose or None,
    }
