from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import CubeHeader, Forbidden, InvalidInput, NotFound, Principal
from memos_core.cube import Access, Right
from memos_core.governance import check, check_grant, cube_key, rights

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip() != "")


def cube_of(owner):
    return CubeHeader(
        id="c1", name="notes", owner=owner, created_at=datetime(2024, 5, 1, tzinfo=UTC), change=0
    )


def test_an_owner_may_do_everything():
    assert rights(Principal("ana"), cube_of("ana")) == set(Right)


@pytest.mark.parametrize(
    ("granted", "held"),
    [
        ((), ""),
        (("read",), "read"),
        (("write",), "read write"),
        (("share",), "read share"),
        (("write", "share"), "read write share"),
        (("admin",), "read write share admin"),
    ],
)
def test_a_grant_gives_what_it_implies(granted, held):
    found = rights(Principal("bob"), cube_of("ana"), [Right(each) for each in granted])
    assert found == {Right(each) for each in held.split()}


def test_who_may_see_a_cube_learns_what_it_may_not_do():
    with pytest.raises(Forbidden) as caught:
        check(Principal("bob"), cube_of("ana"), Right.WRITE, [Right.READ])
    assert (caught.value.principal, caught.value.verb) == ("bob", "write")


def test_a_public_memory_opens_a_cube_for_reading_and_for_nothing_else():
    assert check(Principal("bob"), cube_of("ana"), Right.READ, shows_something=True) == frozenset()
    with pytest.raises(Forbidden):
        check(Principal("bob"), cube_of("ana"), Right.WRITE, shows_something=True)


def entered_by(name, *held):
    return replace(cube_of("ana"), access=Access(principal=name, rights=frozenset(map(Right, held))))


@pytest.mark.parametrize(
    ("held", "right", "to", "error"),
    [
        (("read", "write", "share"), "read", "eve", None),
        (("read", "write", "share"), "write", "eve", None),
        (("read", "share"), "write", "eve", Forbidden),
        (("read", "write", "share"), "share", "eve", Forbidden),
        (("read", "write", "share"), "admin", "eve", Forbidden),
        (("read", "write", "share", "admin"), "admin", "eve", None),
        (("read", "write", "share", "admin"), "read", "bob", Forbidden),
        (("read", "share"), "read", "bob", Forbidden),
        (("read", "share"), "read", "ana", InvalidInput),
        (("read", "share"), "read", None, None),
    ],
)
def test_who_may_grant_what(held, right, to, error):
    with pytest.raises(error) if error else nullcontext():
        check_grant(entered_by("bob", *held), Right(right), to=to)


@given(names, names)
def test_nobody_else_may_do_anything(owner, other):
    assert bool(rights(Principal(other), cube_of(owner))) == (owner == other)


@pytest.mark.parametrize(
    "other", ["Ana", "ana ", " ana", "an", "anab", "ana\0", "аna", "ana\u200b", "%", "*"]
)
def test_a_name_that_looks_alike_is_somebody_else(other):
    assert rights(Principal(other), cube_of("ana")) == frozenset()


@pytest.mark.parametrize("right", Right)
def test_a_stranger_learns_only_that_there_is_no_such_cube(right):
    with pytest.raises(NotFound) as caught:
        check(Principal("bob"), cube_of("ana"), right)
    assert (caught.value.what, caught.value.name, str(caught.value)) == ("cube", "c1", "no cube 'c1'")


@given(st.text(st.characters(codec="utf-8")))
def test_an_index_knows_a_cube_by_32_hexadecimal_digits(cube_id):
    assert set(cube_key(cube_id)) <= set("0123456789abcdef")
    assert len(cube_key(cube_id)) == 32


def test_two_cubes_have_two_keys():
    assert cube_key("c1") != cube_key("c2")
