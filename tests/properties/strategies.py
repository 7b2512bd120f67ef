"""What the machine says: few words, so that they meet again; and texts that are hard to keep or to find."""

from __future__ import annotations

from datetime import timedelta, timezone

from hypothesis import strategies as st

from memos_core import Message
from memos_core.query import Where
from tests.properties.store import BEGIN

OWNERS, NAMES = ("ann", "bob"), ("notes", "diary")
WORDS = "Mira Lisbon Porto moved cat violin harbour ferry rent tea you the is 2024 May".split()
NASTY = (
    "the and of you",  # stop words only
    "🎉🎉",
    "我们搬到了里斯本。",
    '\'; DROP TABLE memories; -- "quoted" %_',
    "bell\ainside",  # NUL is for test_names_and_texts: PostgreSQL has none
    "Did Mira move to Porto?",
    "the ferry leaves the harbour. " * 70,  # several keys
)
TAGS = ("home", "work", "日本")
TIMES = (
    None,
    BEGIN - timedelta(days=300),
    BEGIN - timedelta(days=299),
    (BEGIN - timedelta(days=300)).astimezone(timezone(timedelta(hours=9))),
)

texts = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
    st.lists(st.sampled_from(WORDS[:3]), min_size=1, max_size=2).map("  ".join),
    st.sampled_from(NASTY),
)
sessions = st.sampled_from((None, "s1", "s2"))
tag_sets = st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple)
times = st.sampled_from(TIMES)
trusts = st.sampled_from(("trusted", "trusted", "untrusted"))
ttls = st.sampled_from((None, None, timedelta(hours=1), timedelta(days=3)))
messages = st.builds(
    Message,
    st.sampled_from(("Mira", "Ivo", "assistant")),
    texts,
    at=times,
    id=st.sampled_from((None, None, None, "m1", "m2")),
)
wheres = st.one_of(
    st.just(Where()),
    st.just(Where()),
    st.builds(
        Where,
        kinds=st.sampled_from(((), ("fact",), ("message", "plan"))),
        tags=st.sampled_from(((), ("home",))),
        speakers=st.sampled_from(((), ("Mira",))),
        sessions=st.sampled_from(((), ("s1",), ("s1", "s2"))),
        since=st.sampled_from(TIMES),
        until=st.sampled_from((None, BEGIN)),
        trust=st.sampled_from((None, None, "trusted", "untrusted")),
    ),
)
owners, names = st.sampled_from(("ann", "ann", "bob")), st.sampled_from(("notes", "notes", "diary"))
picks = st.integers(0, 30)  # which memory: modulo how many there are
