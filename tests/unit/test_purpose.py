"""A cube that names purposes is used for these and for nothing else, by whomever, in every verb."""

from __future__ import annotations

import pytest

from memos_core import Forbidden, InvalidInput, NotFound, Principal


def test_a_purpose_makes_nobody_somebody_else():
    assert Principal("ana", purpose="billing") == Principal("ana")
    with pytest.raises(InvalidInput):
        Principal("ana", purpose=" ")


def test_whoever_holds_nothing_learns_of_no_purpose(memos):
    ana = memos.as_principal("ana", purpose="support").cube("notes")
    ana.remember("for all", visibility="public")
    ana.limit(purposes=["support"])
    with pytest.raises(NotFound):
        memos.as_principal("eve", purpose="advertising").cube("notes", owner="ana")
    assert memos.as_principal("eve", purpose="support").cube("notes", owner="ana").count() == 1


def test_a_list_of_cubes_shows_those_that_serve(memos):
    for name in ("open", "closed"):
        memos.cube(name)
    memos.cube("closed").limit(purposes=["support"])
    assert [cube.name for cube in memos.cubes()] == ["open"]
    support = memos.as_principal("local", purpose="support")
    assert {cube.name for cube in support.cubes()} == {"open", "closed"}


def test_the_audit_says_what_for_and_stays_a_chain(memos):
    memos.cube("notes").remember("before there was a purpose")
    support = memos.as_principal("local", purpose="support")
    support.cube("notes").remember("for a customer")
    assert [line.purpose for line in memos.audit()] == [None, None, "support"]
    assert memos.verify_audit().ok


def test_limits_tell_the_purposes_and_can_be_lifted_by_who_names_one(memos):
    memos.cube("notes").limit(purposes=["support"])
    cube = memos.as_principal("local", purpose="support").cube("notes")
    assert cube.limits().purposes == ("support",)
    cube.limit()
    assert memos.cube("notes").limits().purposes == ()
    with pytest.raises(InvalidInput):
        cube.limit(purposes="support")


def test_keeping_house_needs_no_purpose(memos, clock):
    from datetime import timedelta

    memos.cube("notes").remember("brief", ttl=timedelta(hours=1))
    memos.cube("notes").limit(purposes=["support"])
    clock.move(hours=2)
    assert memos.upkeep().expired == 1


def test_a_call_for_the_wrong_purpose_is_a_kind_of_forbidden(memos):
    memos.cube("notes").limit(purposes=["support"])
    with pytest.raises(Forbidden, match=r"purpose=\.\.\."):
        memos.cube("notes")
