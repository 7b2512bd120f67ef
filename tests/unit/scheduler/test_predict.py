from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core.scheduler.predict import PAUSE, Foresight

HOUR = 3600.0


def seen(*cubes, start=1_800_000_000.0, gap=30.0):
    foresight = Foresight()
    at = start
    for cube in cubes:
        foresight.see(cube, at=at)
        at += gap
    return foresight, at


def test_what_followed_before_is_guessed_and_says_so():
    foresight, at = seen("inn", "guild", "inn", "guild", "inn")
    (first,) = foresight.guesses(at=at)
    assert (first.cube, first.why) == ("guild", "followed the last two before")


def test_the_last_two_tell_more_than_the_last():
    foresight, at = seen(*["a", "x", "b", "c", "x", "d"] * 6, "c", "x")
    assert foresight.guesses(at=at, most=1)[0].cube == "d"


def test_after_a_pause_what_came_before_tells_nothing():
    foresight, at = seen("inn", "guild", "inn")
    whys = {guess.why for guess in foresight.guesses(at=at + 2 * PAUSE)}
    assert whys <= {"is asked often", "is asked at this hour"}


def test_the_hour_of_the_day_tells():
    foresight = Foresight()
    for day in range(10):
        foresight.see("morning", at=day * 24 * HOUR + 8 * HOUR)
        foresight.see("evening", at=day * 24 * HOUR + 20 * HOUR)
    assert [foresight.guesses(at=(240 + hour) * HOUR, most=1)[0].cube for hour in (8, 20)] == [
        "morning",
        "evening",
    ]


def test_what_was_asked_last_is_no_guess():
    foresight, at = seen("inn")
    assert foresight.guesses(at=at) == []


def test_who_follows_is_expected_before_who_was_asked_last():
    foresight, at = seen(*["inn", "guild"] * 6, "inn", gap=60.0)
    rates = foresight.rates(at=at)
    assert rates["guild"] > 2 * rates["inn"] > 0


def test_who_is_asked_again_and_again_is_expected_again():
    foresight, at = seen("guild", *["inn"] * 6, gap=60.0)
    rates = foresight.rates(at=at)
    assert rates["inn"] > 4 * rates["guild"] > 0


def test_of_whom_little_is_known_whoever_was_asked_last_is_expected():
    foresight, at = seen("guild", "inn", gap=60.0)
    rates = foresight.rates(at=at)
    assert rates["inn"] > rates["guild"] > 0


def test_a_talk_that_fell_silent_is_not_expected_to_go_on():
    foresight, at = seen(*["inn", "guild"] * 6)
    rates = [sum(foresight.rates(at=at + later).values()) for later in (0, 60, HOUR, 24 * HOUR)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 1000 * rates[-1]


def test_nothing_is_guessed_from_nothing():
    assert Foresight().guesses(at=0.0) == []


def test_what_is_forgotten_is_guessed_no_more():
    foresight, at = seen("inn", "guild", "inn", "guild", "inn")
    foresight.forget(["guild"])
    assert [guess.cube for guess in foresight.guesses(at=at)] == ["inn"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 5000)), max_size=40), st.integers(1, 5))
def test_shares_are_shares_best_first_and_the_same_each_time(asked, most):
    foresight, at = Foresight(), 0.0
    for cube, gap in asked:
        at += gap
        foresight.see(cube, at=at)
    found = foresight.guesses(at=at, most=most)
    shares = [guess.share for guess in found]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    assert len(found) <= most
    assert found == foresight.guesses(at=at, most=most)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("memos_core.scheduler.predict.REMEMBERED", 5)
    foresight, _ = seen(*(f"cube {number}" for number in range(50)))
    assert len(foresight._seen) == 5
