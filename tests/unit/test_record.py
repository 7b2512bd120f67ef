import json
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import Entry, InvalidInput

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
strings = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    scalars | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)


def endless():
    data = {}
    data["self"] = data
    return data


def deep(levels):
    data = {}
    for _ in range(levels):
        data = {"in": data}
    return data


@given(st.dictionaries(strings, values, max_size=4))
def test_what_is_json_is_kept_as_it_is(data):
    assert json.loads(Entry(key="k", data=data).json) == data


def test_an_entry_does_not_follow_later_changes_of_its_data():
    data = {"tags": ["a"]}
    entry = Entry(key="k", data=data)
    data["tags"].append("b")
    assert entry.json == '{"tags":["a"]}'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "mapping"),
        (None, "mapping"),
        ({1: "one"}, "has the key 1"),
        ({"a": {None: 1}}, r"data\['a'\] has the key None"),
        ({"a": [1, {2}]}, r"data\['a'\]\[1\] is a set"),
        ({"a": b"x"}, "is a bytes"),
        ({"a": math.nan}, "is nan"),
        ({"a": -math.inf}, "is -inf"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": "x" * (1 << 20)}, "over 1,048,576 bytes"),
        ({"a": 10**5000}, "written as JSON"),
        (endless(), "holds itself"),
        (deep(200), "nested over 100 levels"),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value,
)
def test_what_is_no_json_is_refused_and_named(data, said):
    with pytest.raises(InvalidInput, match=said):
        Entry(key="k", data=data)


@pytest.mark.parametrize(
    "given",
    [
        {"key": ""},
        {"key": " "},
        {"key": 5},
        {"key": "x" * 1025},
        {"ttl": timedelta(0)},
        {"ttl": 5},
        {"texts": "one"},
        {"texts": [5]},
        {"texts": None},
    ],
)
def test_a_key_a_ttl_and_texts_are_checked(given):
    with pytest.raises(InvalidInput):
        Entry(**{"key": "k", "data": {}, **given})


def test_blank_and_repeated_texts_count_nothing():
    assert Entry(key="k", data={}, texts=["one", " ", "two", "one", ""]).texts == ("one", "two")
