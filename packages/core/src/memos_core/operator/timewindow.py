"""The stretch of time that a query speaks of, if it speaks of one.

Rules, not a model: a query such as "what did we do last summer" becomes a half-open interval in
UTC. The interval is meant to be soft: a reader may prefer memories inside it, never demand it.
Calendar weeks start on Monday, seasons are meteorological and those of the northern hemisphere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Window = tuple[datetime, datetime]

_MONTHS = ("january february march april may june july august september october november december").split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_SEASONS = {"winter": 12, "spring": 3, "summer": 6, "autumn": 9, "fall": 9}
_COUNTS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "couple": 2,
    "a couple of": 2,
    "a couple": 2,
    "three": 3,
    "few": 3,
    "a few": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
_NAMED_MONTH = {m[:n]: i for i, m in enumerate(_MONTHS, 1) for n in (3, 4, len(m))}
_MONTH = "(?:" + "|".join(f"{m[:3]}(?:{m[3:]})?" for m in _MONTHS if m != "may") + "|may|sept)"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
_YEAR = r"(?:19|20)\d\d"
_COUNT = r"(?:\d{1,3}|" + "|".join(sorted(_COUNTS, key=len, reverse=True)) + ")"
_UNIT = r"(day|week|month|year)s?"
_SEASON = "(" + "|".join(_SEASONS) + ")"
_WEEKDAY = "(" + "|".join(_DAYS) + ")"
_SIDE = re.compile(r"\b(since|after|before|until|till)\s+(?:the\s+)?$")


def soft_window(query: str, *, now: datetime) -> Window | None:
    """Return the half-open interval [start, end) in UTC that the query names, or None.

    `now` must be aware; words such as "yesterday" are counted from it, and a month, season or
    weekday without a year is its latest one that has begun. Two dates joined by "between" or
    "from" give the interval that spans both; "since" and "before" open one side of it.
    """
    if now.tzinfo is None:
        raise ValueError("`now` must carry a time zone")
    now = now.astimezone(UTC)
    text = " ".join(query.casefold().split())
    found = _spans(text, now)
    if not found:
        return None
    position, window = found[0]
    if len(found) > 1 and re.search(r"\b(?:between|from)\b", text[:position]):
        return _joined(window, found[1][1])
    return _sided(text[:position], window, now)


def _joined(first: Window, second: Window) -> Window:
    """Return the hull; "from May to July 2023" gives May the year that makes it come first."""
    start = first[0]
    while start >= second[1]:
        start = start.replace(year=start.year - 1, day=min(start.day, 28))  # 29 February
    return start, max(second[1], min(first[1], second[1]))


def _sided(before: str, window: Window, now: datetime) -> Window:
    """Return the window opened to one side by the word that stands in front of it."""
    side = _SIDE.search(before)
    if side is None:
        return window
    if side[1] in ("since", "after"):
        start = window[0] if side[1] == "since" else window[1]
        return (start, now) if start < now else window
    return datetime(1, 1, 1, tzinfo=UTC), window[0]


def _spans(text: str, now: datetime) -> list[tuple[int, Window]]:
    """Return where and what, in order of place; an earlier rule keeps its letters."""
    found: list[tuple[int, Window]] = []
    for pattern, rule in _RULES:
        for match in pattern.finditer(text):
            try:
                window = rule(match, now)
            except (ValueError, OverflowError):  # 31 June, or a year outside the calendar
                window = None
            if window is not None:
                found.append((match.start(), window))
                text = text[: match.start()] + "\0" * len(match[0]) + text[match.end() :]
    return sorted(found)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _one_day(start: datetime) -> Window:
    return start, start + timedelta(days=1)


def _months(year: int, month: int, count: int = 1) -> Window:
    """Return `count` months from a month that may lie outside 1..12."""
    first, last = year * 12 + month - 1, year * 12 + month - 1 + count
    return (
        datetime(first // 12, first % 12 + 1, 1, tzinfo=UTC),
        datetime(last // 12, last % 12 + 1, 1, tzinfo=UTC),
    )


def _month_number(word: str) -> int:
    return _NAMED_MONTH[word]


def _day_number(word: str) -> int:
    return int(re.sub(r"\D", "", word))


def _latest(window: Callable[[int], Window], now: datetime) -> Window:
    """Return this year's window, or last year's while this year's has not begun."""
    this = window(now.year)
    return this if this[0] <= now else window(now.year - 1)


def _unit_window(unit: str, now: datetime, shift: int) -> Window:
    """Return the calendar day, week, month or year that lies `shift` units from now."""
    today = _midnight(now)
    match unit:
        case "day":
            return _one_day(today + timedelta(days=shift))
        case "week":
            monday = today - timedelta(days=today.weekday())
            return monday + timedelta(weeks=shift), monday + timedelta(weeks=shift + 1)
        case "weekend":
            saturday = today + timedelta(days=5 - today.weekday() + 7 * shift)
            return saturday, saturday + timedelta(days=2)
        case "month":
            return _months(now.year, now.month + shift)
        case _:
            return _months(now.year + shift, 1, 12)


def _iso_day(m: re.Match[str], _: datetime) -> Window:
    return _one_day(datetime(int(m[1]), int(m[2]), int(m[3]), tzinfo=UTC))


def _iso_month(m: re.Match[str], _: datetime) -> Window:
    return _months(int(m[1]), int(m[2]))


def _day_month(m: re.Match[str], now: datetime) -> Window:
    return _dated(_day_number(m[1]), _month_number(m[2]), m[3], now)


def _month_day(m: re.Match[str], now: datetime) -> Window:
    return _dated(_day_number(m[2]), _month_number(m[1]), m[3], now)


def _dated(day: int, month: int, year: str | None, now: datetime) -> Window:
    def window(of: int) -> Window:
        return _one_day(datetime(of, month, day, tzinfo=UTC))

    return window(int(year)) if year else _latest(window, now)


def _month_year(m: re.Match[str], _: datetime) -> Window:
    return _months(int(m[2]), _month_number(m[1]))


def _season(name: str, year: int) -> Window:
    """Return the season; winter of a year ends in that year's February."""
    return _months(year - (name == "winter"), _SEASONS[name], 3)


def _season_year(m: re.Match[str], _: datetime) -> Window:
    return _season(m[1], int(m[2]))


def _year(m: re.Match[str], _: datetime) -> Window:
    return _months(int(m[1]), 1, 12)


def _day_word(m: re.Match[str], now: datetime) -> Window:
    shift = {"the day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1}
    return _unit_window("day", now, shift.get(m[0], 0))


def _ago(m: re.Match[str], now: datetime) -> Window:
    count = _COUNTS.get(m[1]) or int(m[1])
    unit = m[2]
    if unit == "week":  # "two weeks ago" is a day give or take some, not a calendar week
        day = _midnight(now) - timedelta(weeks=count)
        return day - timedelta(days=3), day + timedelta(days=4)
    if unit == "day" and count > 1:
        day = _midnight(now) - timedelta(days=count)
        return day - timedelta(days=1), day + timedelta(days=2)
    return _unit_window(unit, now, -count)


def _weekdays_ago(m: re.Match[str], now: datetime) -> Window:
    count = _COUNTS.get(m[1]) or int(m[1])
    recent = _recent_weekday(_DAYS.index(m[2]), now)
    return _one_day(recent - timedelta(weeks=count - 1))


def _past_span(m: re.Match[str], now: datetime) -> Window:
    count = (_COUNTS.get(m[1]) or int(m[1])) if m[1] else 1
    tomorrow = _midnight(now) + timedelta(days=1)
    if m[2] in ("day", "week"):
        return tomorrow - timedelta(days=count * (7 if m[2] == "week" else 1) + 1), tomorrow
    months = count * (12 if m[2] == "year" else 1)
    start = _months(now.year, now.month - months)[0]
    return start.replace(day=min(now.day, 28)), tomorrow


_SHIFT = {"last": -1, "previous": -1, "past": -1, "this": 0, "next": 1}


def _relative_unit(m: re.Match[str], now: datetime) -> Window:
    return _unit_window(m[2], now, _SHIFT[m[1]])


def _relative_season(m: re.Match[str], now: datetime) -> Window:
    """Return "last" as the latest that has ended, "next" as the first that has not begun."""
    name = m[2]
    if m[1] == "this":
        return _season(name, now.year)
    years = range(now.year - 2, now.year + 3)
    if m[1] == "next":
        return next(w for w in (_season(name, y) for y in years) if w[0] > now)
    return next(w for w in (_season(name, y) for y in reversed(years)) if w[1] <= now)


def _relative_month(m: re.Match[str], now: datetime) -> Window:
    month = _month_number(m[2])
    last = now.year if month < now.month else now.year - 1  # the latest that has ended
    this = now.year
    match m[1]:
        case "this":
            return _months(this, month)
        case "next":
            return _months(this if month > now.month else this + 1, month)
        case _:
            return _months(last, month)


def _recent_weekday(weekday: int, now: datetime) -> datetime:
    """Return midnight of the latest such day before today."""
    today = _midnight(now)
    return today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)


def _weekday(m: re.Match[str], now: datetime) -> Window:
    recent = _recent_weekday(_DAYS.index(m[2]), now)
    return _one_day(recent + timedelta(weeks=1) if m[1] == "next" else recent)


def _bare_month(m: re.Match[str], now: datetime) -> Window:
    month = _month_number(m[2])
    start, end = _latest(lambda year: _months(year, month), now)
    third = (end - start) / 3
    match m[1]:
        case "early ":
            return start, start + third
        case "mid " | "mid-":
            return start + third, end - third
        case "late ":
            return end - third, end
        case _:
            return start, end


def _bare_season(m: re.Match[str], now: datetime) -> Window:
    return _latest(lambda year: _season(m[1], year), now)


def _rule(
    pattern: str, rule: Callable[[re.Match[str], datetime], Window]
) -> tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Window]]:
    return re.compile(rf"(?<![\w-]){pattern}(?![\w-])"), rule


def _after(words: str) -> str:
    """Return a pattern for the place right after one of the words."""
    return "(?:" + "|".join(rf"(?<=\b{word} )" for word in words.split()) + ")"


_IN = _after("in during of for since after before until till from between around through")
_JOIN = _after("and to")
_RULES = (
    _rule(rf"({_YEAR})-(\d\d)-(\d\d)", _iso_day),
    _rule(rf"({_YEAR})/(\d\d?)/(\d\d?)", _iso_day),
    _rule(rf"({_YEAR})-(\d\d)", _iso_month),
    _rule(rf"({_DAY}) (?:of )?({_MONTH})\.?(?:,? ({_YEAR}))?", _day_month),
    _rule(rf"({_MONTH})\.? (?:the )?({_DAY})(?:,? ({_YEAR}))?", _month_day),
    _rule(rf"({_MONTH})\.?,? (?:of )?({_YEAR})", _month_year),
    _rule(rf"{_SEASON},? (?:of )?({_YEAR})", _season_year),
    _rule(r"(?:the day before yesterday|yesterday|today|tonight|last night|tomorrow)", _day_word),
    _rule(rf"({_COUNT}) {_UNIT} (?:ago|earlier|back)", _ago),
    _rule(rf"({_COUNT}) {_WEEKDAY}s? ago", _weekdays_ago),
    _rule(rf"(?:last|past|previous) ({_COUNT}) {_UNIT}", _past_span),
    _rule(rf"(?:in|over|during|within) the (?:last|past)() {_UNIT}", _past_span),
    _rule(r"(last|previous|past|this|next) (week|weekend|month|year)", _relative_unit),
    _rule(rf"(last|past|previous|this|next) {_SEASON}", _relative_season),
    _rule(rf"(last|past|previous|this|next) ({_MONTH})", _relative_month),
    _rule(rf"(last|past|previous|this|next|on) {_WEEKDAY}", _weekday),
    _rule(rf"{_IN}(early |mid |mid-|late )?({_MONTH})", _bare_month),
    _rule(rf"{_JOIN}(?!may|march)()({_MONTH})", _bare_month),
    _rule(rf"{_after('in during since after before until till')}{_SEASON}", _bare_season),
    _rule(rf"{_IN}({_YEAR})", _year),
    _rule(rf"{_JOIN}({_YEAR})", _year),
)
