"""What becomes of a memory that a file brings, as a table: nothing is looked up or written here."""

from __future__ import annotations

from enum import StrEnum

from memos_core.interchange.lines import Row
from memos_core.vault.tx_load import Present


class OnConflict(StrEnum):
    """What happens to a memory that the cube has already in other words or at another version."""

    FAIL = "fail"  # nothing is loaded: AlreadyThere
    SKIP = "skip"  # what is there stays
    REPLACE = "replace"  # what is there is erased, and the file's takes its place with its history
    KEEP_BOTH = "keep_both"  # the file's comes in beside it, under another id


class Fate(StrEnum):
    """What becomes of one memory."""

    ADD = "add"
    ADD_ANEW = "add anew"  # under another id
    SAME = "same"
    SKIP = "skip"
    REPLACE = "replace"
    FAIL = "fail"


def fate(
    memory: Row,
    twin: Present | None,
    *,
    same_id: bool,
    id_is_taken: bool,
    on_conflict: OnConflict,
    gives_way: bool = False,
) -> Fate:
    """Return what becomes of a memory; `twin` is the cube's own that it is the same as, by id or words.

    A twin that `gives_way` came in earlier from the same place, and was left as it was.
    """
    if twin is None:
        return Fate.ADD_ANEW if id_is_taken else Fate.ADD
    if same_id and (twin.version, twin.text) == (memory["version"], memory["text"]):
        return Fate.SAME
    if gives_way:
        return Fate.REPLACE
    match on_conflict:
        case OnConflict.FAIL:
            return Fate.FAIL
        case OnConflict.SKIP:
            return Fate.SKIP
        case OnConflict.REPLACE:
            return Fate.REPLACE
        case OnConflict.KEEP_BOTH:
            return Fate.ADD_ANEW
