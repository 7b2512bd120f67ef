from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

from memos_core import (
    Descriptive,
    Governance,
    Header,
    InvalidInput,
    Memory,
    Message,
    Principal,
    State,
)
from memos_core.memory import (
    MAX_NAME_BYTES,
    MAX_TEXT_BYTES,
    checked_name,
    checked_tags,
    checked_text,
    checked_time,
    checked_ttl,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Nowhere(tzinfo):
    """A time zone that does not know where it is."""

    def utcoffset(self, _moment):
        return None


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (None, "must be a str, not NoneType"),
        (b"bytes", "must be a str, not bytes"),
        (5, "must be a str, not int"),
        ("", "is empty"),
        (" \n\t\u3000", "is empty"),
        ("half a pair \ud83d", "lone surrogate at 12"),
        ("x" * (MAX_TEXT_BYTES + 1), "split it"),
        ("é" * (MAX_TEXT_BYTES // 2 + 1), "split it"),  # the limit is in bytes, not in characters
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(text, remedy):
    with pytest.raises(InvalidInput, match=remedy):
        checked_text(text)


@pytest.mark.parametrize("text", ["x" * MAX_TEXT_BYTES, "é" * (MAX_TEXT_BYTES // 2), "\0", " a ", "👩‍👩‍👧"])
def test_a_text_is_kept_as_it_is_up_to_one_mebibyte(text):
    assert checked_text(text) == text


@pytest.mark.parametrize("name", [None, 7, "", "  ", "\udcff", "n" * (MAX_NAME_BYTES + 1), "名" * 342])
def test_a_name_that_cannot_name_is_refused(name):
    with pytest.raises(InvalidInput, match="cube name"):
        checked_name(name, what="cube name")


def test_a_name_may_take_a_kilobyte():
    assert checked_name("n" * MAX_NAME_BYTES, what="cube") == "n" * MAX_NAME_BYTES


def test_a_naive_time_is_refused_with_the_remedy():
    with pytest.raises(InvalidInput, match=r"at\.replace\(tzinfo=timezone\.utc\) or at\.astimezone\(\)"):
        checked_time(datetime(2024, 5, 1), what="at")


@pytest.mark.parametrize(
    "at", ["2024-05-01", 1714564800, NOON.date(), datetime(2024, 5, 1, tzinfo=Nowhere())]
)
def test_what_is_no_moment_is_refused(at):
    with pytest.raises(InvalidInput, match="since"):
        checked_time(at, what="since")


@pytest.mark.parametrize("at", [None, NOON, NOON.astimezone(timezone(timedelta(hours=-11, minutes=-30)))])
def test_a_moment_with_a_zone_is_accepted(at):
    assert checked_time(at, what="at") == at


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(microseconds=-1), 3600, "1h"])
def test_a_ttl_that_is_no_time_to_live_is_refused(ttl):
    with pytest.raises(InvalidInput, match="ttl"):
        checked_ttl(ttl)


def test_tags_keep_their_order_and_lose_repeats():
    assert checked_tags(tag for tag in ["b", "a", "b", "B", "a "]) == ("b", "a", "B", "a ")


@pytest.mark.parametrize(
    "tags", ["home", None, 5, ["ok", ""], ["ok", None], [["home"]], b"home", {"a": 1, "": 2}]
)
def test_tags_that_are_not_several_strings_are_refused(tags):
    with pytest.raises(InvalidInput, match="tag"):
        checked_tags(tags)


@pytest.mark.parametrize(
    "given",
    [
        {"speaker": ""},
        {"speaker": None},
        {"text": ""},
        {"text": 5},
        {"at": datetime(2024, 5, 1)},
        {"at": "yesterday"},
        {"id": ""},
        {"id": 5},
        {"role": " "},
        {"role": 5},
    ],
    ids=str,
)
def test_a_broken_message_cannot_be_made(given):
    fields = {"speaker": "Ana", "text": "hello", **given}
    with pytest.raises(InvalidInput):
        Message(fields.pop("speaker"), fields.pop("text"), **fields)


@pytest.mark.parametrize("name", ["", "\t", None, 5, "\ud800", "x" * 1025])
def test_a_broken_principal_cannot_be_made(name):
    with pytest.raises(InvalidInput, match="principal"):
        Principal(name)


def test_a_memory_is_of_the_time_it_tells_of_else_of_the_time_it_was_written():
    def memory(event_at):
        told = Descriptive(event_at=event_at, created_at=NOON, updated_at=NOON + timedelta(days=1))
        header = Header(descriptive=told, governance=Governance(owner="ana"))
        return Memory(id="1", cube="c", version=1, text="x", state=State.GENERATED, header=header)

    earlier = NOON - timedelta(days=9)
    assert (memory(None).at, memory(earlier).at) == (NOON, earlier)
