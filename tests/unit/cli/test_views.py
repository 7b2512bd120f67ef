import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from memos_core.cli.out import as_json, plain
from memos_core.cli.views import WhyBar, count, seconds, shares, size
from memos_core.query import Why

WHY = Why(dense=0.25, lexical=0.5)


def drawn(what: object, **console: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, **console).print(what)  # type: ignore[arg-type]
    return stream.getvalue().rstrip()


def test_a_bar_is_as_long_as_its_score() -> None:
    assert shares({"a": 0.26, "b": 0.26, "c": 0.26}, width=10) == {"a": 3, "b": 2, "c": 3}


def test_without_colours_the_bar_says_its_signals_by_initials() -> None:
    assert drawn(WhyBar(WHY, width=8)) == "lllldd"


def test_with_colours_the_bar_is_of_blocks() -> None:
    bar = drawn(WhyBar(WHY, width=8), force_terminal=True, color_system="standard")
    assert bar.count("█") == 6
    assert "\x1b[33m" in bar
    assert "\x1b[36m" in bar


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0 B"), (999, "999 B"), (426_000, "426 kB"), (3_400_000, "3.4 MB")]
)
def test_sizes_in_words(value: int, words: str) -> None:
    assert size(value) == words


def test_counts_and_times_in_words() -> None:
    assert [count(1, "memory"), count(2, "memory"), count(1200, "turn")] == [
        "1 memory", "2 memories", "1,200 turns",
    ]  # fmt: skip
    assert [seconds(0.0084), seconds(1.26), seconds(0.9999)] == ["8 ms", "1.3 s", "1.0 s"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert plain("a\x1b[2Jb\x00c\td\ne\x9b") == "a�[2Jb�c d\ne�"


def test_values_become_json() -> None:
    at = datetime(2024, 5, 3, tzinfo=UTC)
    assert as_json({"why": WHY, "at": at, "some": (1, None)})["why"]["lexical"] == 0.5
    with pytest.raises(TypeError, match="no JSON form"):
        as_json(object())
