"""What stretch of time a query names."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from memos_core.operator.timewindow import soft_window

NOW = datetime(2023, 10, 18, 15, 30, tzinfo=UTC)  # a Wednesday


def _at(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("what happened on 2023-07-03?", "2023-07-03", "2023-07-04"),
        ("what happened on 2023/7/3?", "2023-07-03", "2023-07-04"),
        ("everything from 2023-07", "2023-07-01", "2023-08-01"),
        ("Where was Mira on 3 July 2023?", "2023-07-03", "2023-07-04"),
        ("Where was Mira on the 3rd of July, 2022?", "2022-07-03", "2022-07-04"),
        ("Where was Mira on July 3rd, 2022?", "2022-07-03", "2022-07-04"),
        ("Where was Mira on July 3?", "2023-07-03", "2023-07-04"),
        ("Where was Mira on 3 December?", "2022-12-03", "2022-12-04"),
        ("What did she buy in May 2022?", "2022-05-01", "2022-06-01"),
        ("What did she buy in Sept. 2022?", "2022-09-01", "2022-10-01"),
        ("what did she buy in may?", "2023-05-01", "2023-06-01"),
        ("What did she buy in December?", "2022-12-01", "2023-01-01"),
        ("What did she do in early June?", "2023-06-01", "2023-06-11"),
        ("What did she do in late June?", "2023-06-21", "2023-07-01"),
        ("Where did they travel in 2021?", "2021-01-01", "2022-01-01"),
        ("Where did they travel in summer 2021?", "2021-06-01", "2021-09-01"),
        ("Where did they travel in the summer of 2021?", "2021-06-01", "2021-09-01"),
        ("Where did they travel in winter 2022?", "2021-12-01", "2022-03-01"),
        ("What did I do last week?", "2023-10-09", "2023-10-16"),
        ("What did I do last weekend?", "2023-10-14", "2023-10-16"),
        ("What is planned this week?", "2023-10-16", "2023-10-23"),
        ("What is planned next month?", "2023-11-01", "2023-12-01"),
        ("What did I do last month?", "2023-09-01", "2023-10-01"),
        ("What did I do last year?", "2022-01-01", "2023-01-01"),
        ("What did I do last summer?", "2023-06-01", "2023-09-01"),
        ("What did I do last winter?", "2022-12-01", "2023-03-01"),
        ("What did I do this summer?", "2023-06-01", "2023-09-01"),
        ("What do I plan next summer?", "2024-06-01", "2024-09-01"),
        ("What did I do last May?", "2023-05-01", "2023-06-01"),
        ("What did I do last November?", "2022-11-01", "2022-12-01"),
        ("What did I do last October?", "2022-10-01", "2022-11-01"),
        ("What did I eat yesterday?", "2023-10-17", "2023-10-18"),
        ("What did I eat last night?", "2023-10-17", "2023-10-18"),
        ("What did I eat the day before yesterday?", "2023-10-16", "2023-10-17"),
        ("What did I say today?", "2023-10-18", "2023-10-19"),
        ("Who came two weeks ago?", "2023-10-01", "2023-10-08"),
        ("Who came 10 days ago?", "2023-10-07", "2023-10-10"),
        ("Who came a couple of months ago?", "2023-08-01", "2023-09-01"),
        ("Who came a year ago?", "2022-01-01", "2023-01-01"),
        ("Who came two Mondays ago?", "2023-10-09", "2023-10-10"),
        ("Who came on Monday?", "2023-10-16", "2023-10-17"),
        ("Who came last Wednesday?", "2023-10-11", "2023-10-12"),
        ("How often did I swim in the past two weeks?", "2023-10-04", "2023-10-19"),
        ("How often did I swim in the last month?", "2023-09-18", "2023-10-19"),
        ("What changed between May and July 2022?", "2022-05-01", "2022-08-01"),
        ("What changed from 3 May 2023 to 10 May 2023?", "2023-05-03", "2023-05-11"),
        ("What changed from 2019 to 2021?", "2019-01-01", "2022-01-01"),
        ("What did I buy before June 2023?", "0001-01-01", "2023-06-01"),
    ],
)
def test_a_query_names_its_time(query: str, start: str, end: str) -> None:
    assert soft_window(query, now=NOW) == (_at(start), _at(end))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Where does Mira live?",
        "May I ask what she bought?",
        "who may come, and may they stay?",
        "the March of the Penguins",
        "How many of the 2000 dollars are left?",
        "what was on 31 June 2023-13-45",
        "When did Caroline march and sing?",
        "on which day of the week do I swim?",
        "\0 \U0001f600 ١٢ مايو",
    ],
)
def test_a_query_without_time_names_none(query: str) -> None:
    assert soft_window(query, now=NOW) is None


def test_since_opens_the_end_to_now() -> None:
    assert soft_window("What did I read since May?", now=NOW) == (_at("2023-05-01"), NOW)


def test_now_is_read_in_utc() -> None:
    late = datetime(2023, 10, 18, 23, 0, tzinfo=timezone(timedelta(hours=-5)))  # the 19th in UTC
    assert soft_window("today", now=late) == (_at("2023-10-19"), _at("2023-10-20"))


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        soft_window("today", now=NOW.replace(tzinfo=None))
