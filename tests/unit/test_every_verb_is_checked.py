"""Every verb of the API asks who is asking: a verb that is not in the tables below fails here."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from memos_core import Forbidden, MemCube, MemOS, Message, NotFound, Right
from memos_core.governance import NEEDS


def one_in(cube, state, otherwise):
    """Return the id of a memory in this state, if the cube shows one."""
    return next((memory.id for memory in cube.list(state=state)), otherwise)


CALLS = {
    "remember": lambda cube, m: cube.remember("new words"),
    "ingest": lambda cube, m: cube.ingest([Message("Eve", "new words")]),
    "revise": lambda cube, m: cube.revise(m, "other words"),
    "copy": lambda cube, m: cube.copy(m),
    "forget": lambda cube, m: cube.forget(m),
    "link": lambda cube, m: cube.link(cube.list()[1].id if cube.list()[1:] else "x", "supports", m),
    "classify": lambda cube, m: cube.classify(m, priority=3),
    "activate": lambda cube, m: cube.activate(m),
    "archive": lambda cube, m: cube.archive(m),
    "restore": lambda cube, m: cube.restore(one_in(cube, "archived", m)),
    "freeze": lambda cube, m: cube.freeze(m),
    "unfreeze": lambda cube, m: cube.unfreeze(one_in(cube, "frozen", m)),
    "grant": lambda cube, m: cube.grant("zoe", "read"),
    "revoke": lambda cube, m: cube.revoke("zoe"),
    "grants": lambda cube, m: cube.grants(),
    "limit": lambda cube, m: cube.limit(ttl=timedelta(days=9)),
    "limits": lambda cube, m: cube.limits(),
    "recall": lambda cube, m: cube.recall("words"),
    "get": lambda cube, m: cube.get(m),
    "list": lambda cube, m: cube.list(),
    "history": lambda cube, m: cube.history(m),
    "sources": lambda cube, m: cube.sources(m),
    "find": lambda cube, m: cube.find(m[:20]),
    "count": lambda cube, m: cube.count(),
    "lag": lambda cube, m: cube.lag(),
}
"""How each verb of a cube is called on a cube with memory `m`, another, an archived and a frozen one."""

STORE = {
    "open": "makes the handle; the application vouches for who the principal is",
    "as_principal": "likewise",
    "cube": "enters the cube it returns",
    "cubes": "lists what was entered or granted",
    "group": "your own groups only",
    "groups": "those that you own or are in",
    "lag": "counts for whoever runs the store; shows no content",
    "drain": "tells the index what is due",
    "reindex": "makes the index anew",
    "audit": "of cubes that you do not govern it gives hashes only",
    "verify_audit": "sound or not; shows no content",
    "upkeep": "does what was promised when a memory was written",
    "stats": "counts and sizes",
    "doctor": "sound or not",
    "close": "releases the folder",
}
"""Verbs of the store, and why each needs no right on a cube."""

EVERY_RIGHT = [None, "public", *Right]


def verbs(kind):
    return {name for name, each in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_no_verb_of_a_cube_is_left_out():
    assert verbs(MemCube) == set(NEEDS) == set(CALLS)


def test_no_verb_of_the_store_is_left_out():
    assert verbs(MemOS) == set(STORE)


@pytest.fixture
def shared(memos):
    """Ana's cube with four memories that are shared; the first is hers to show."""
    ana = memos.as_principal("ana").cube("notes")
    first, _, archived, frozen = (ana.remember(f"words {n}", visibility="shared") for n in range(4))
    ana.archive(archived.id)
    ana.freeze(frozen.id)
    return ana, first.id


def as_eve(memos, shared, held):
    """Return the cube as Eve sees it, who was given the right; a handle is made in any case."""
    ana, first = shared
    if held == "public":
        ana.classify(first, visibility="public")
    elif held is not None:
        ana.grant("eve", held)
    return MemCube(memos._core, ana._header, memos.as_principal("eve").principal)


def expected(verb, held):
    """Return the error that Eve meets, None where she is let in."""
    implied = {
        "read": "read",
        "write": "read write",
        "share": "read share",
        "admin": "read write share admin",
    }
    rights = implied.get(held, "").split() if held not in (None, "public") else []
    if held is None:
        return NotFound
    if held == "public" and NEEDS[verb] is Right.READ:
        return None
    return None if NEEDS[verb] in rights else Forbidden


@pytest.mark.parametrize("held", EVERY_RIGHT)
@pytest.mark.parametrize("verb", sorted(NEEDS))
def test_a_verb_lets_in_who_holds_its_right_and_nobody_else(memos, shared, catalog_rows, verb, held):
    cube = as_eve(memos, shared, held)
    error = expected(verb, held)
    if error is None:
        assert CALLS[verb](cube, shared[1]) is not NotImplemented
        return
    memos.drain()  # or the background pays between the two looks
    rows = catalog_rows(memos)
    with pytest.raises(error):
        CALLS[verb](cube, shared[1])
    assert catalog_rows(memos) == rows


@pytest.mark.parametrize(
    "verb", ["revise", "copy", "forget", "classify", "archive", "freeze", "get", "history", "sources"]
)
def test_what_is_private_to_another_does_not_exist(memos, shared, verb):
    ana, _ = shared
    private = ana.remember("nobody else's")
    ana.grant("eve", "write")
    eve = memos.as_principal("eve").cube("notes", owner="ana")
    with pytest.raises(Forbidden if verb == "freeze" else NotFound):
        CALLS[verb](eve, private.id)
