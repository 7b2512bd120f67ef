from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import CubeHeader, NotFound, Principal
from memos_core.governance import Right, check, cube_key, rights

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip() != "")


def cube_of(owner):
    return CubeHeader(
        id="c1", name="notes", owner=owner, created_at=datetime(2024, 5, 1, tzinfo=UTC), change=0
    )


def test_an_owner_may_do_everything():
    assert rights(Principal("ana"), cube_of("ana")) == {Right.READ, Right.WRITE}


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
