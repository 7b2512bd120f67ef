import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.operator.succession import in_succession

links = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3, unique=True)
).map(lambda newer_of: {each: [one for one in newer if one != each] for each, newer in newer_of.items()})
without_circles = links.map(
    lambda newer_of: {each: [one for one in newer if one > each] for each, newer in newer_of.items()}
)
orders = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


def reached(start, newer_of):
    """Return everything that supersedes `start`, however far; itself where it stands in a circle."""
    found, pending = set(), list(newer_of.get(start, ()))
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending += newer_of.get(each, ())
    return found


@pytest.mark.parametrize(
    ("order", "newer_of", "wanted"),
    [
        ("", {}, ""),
        ("ab", {}, "ab"),
        ("ab", {"a": "b"}, "ba"),
        ("ba", {"a": "b"}, "ba"),
        ("abc", {"a": "c"}, "cab"),
        ("a", {"a": "x"}, "xa"),  # what was not among the hits is put in
        ("a", {"a": "x", "x": "y"}, "yxa"),
        ("ab", {"a": "x", "b": "x"}, "xab"),  # and once only
        ("a", {"a": "xy"}, "xya"),
        ("ad", {"a": "bc", "b": "d", "c": "d"}, "dbca"),  # a diamond
        ("ab", {"a": "b", "b": "a"}, "ba"),  # a circle is cut where it is entered
        ("a", {"a": "a"}, "a"),
        ("xab", {"a": "b", "b": "a"}, "xba"),
    ],
)
def test_a_successor_stands_right_before_what_it_supersedes(order, newer_of, wanted):
    assert "".join(in_succession(list(order), newer_of)) == wanted


@given(orders, links)
def test_nothing_is_lost_and_nothing_stands_twice(order, newer_of):
    wanted = {*order, *(newer for each in order for newer in reached(each, newer_of))}
    assert sorted(in_succession(order, newer_of)) == sorted(wanted)


@given(orders, without_circles)
def test_nothing_stands_above_what_supersedes_it_however_far(order, newer_of):
    place = {each: number for number, each in enumerate(in_succession(order, newer_of))}
    wrong = [
        (older, newer) for older in place for newer in reached(older, newer_of) if place[newer] > place[older]
    ]
    assert wrong == []


@given(orders)
def test_without_links_the_order_is_kept(order):
    assert in_succession(order, {}) == order


def test_a_chain_of_thousands_is_followed_to_its_end():
    newer_of = {str(number): [str(number + 1)] for number in range(5000)}
    assert in_succession(["0"], newer_of) == [str(number) for number in range(5000, -1, -1)]


def test_many_paths_to_one_successor_do_not_multiply():
    newer_of = {f"{level}{side}": [f"{level + 1}a", f"{level + 1}b"] for level in range(40) for side in "ab"}
    assert len(in_succession(["0a"], newer_of)) == 81
