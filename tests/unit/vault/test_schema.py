from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.vault.schema import microseconds, moment, parts

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones))
def test_a_moment_is_kept_to_the_microsecond_and_read_in_utc(at):
    back = moment(microseconds(at))
    assert (back, back.tzinfo) == (at, UTC)


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_stored_moments_sort_as_moments_do(one, other):
    assert (microseconds(one) < microseconds(other)) == (one < other)


def test_a_naive_moment_cannot_be_stored():
    with pytest.raises(TypeError):
        microseconds(datetime(2024, 5, 1))


@given(st.lists(st.integers(), max_size=1600))
def test_parts_are_the_whole_in_order(items):
    assert [each for part in parts(items) for each in part] == items
