from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import InvalidInput, Message
from memos_core.reader.drafts import said
from memos_core.vault.draft import Draft, statement_digest

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOON_THERE = NOON.astimezone(timezone(timedelta(hours=9)))
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name.strip() != "")


def digest(message, session="s1"):
    return said([message], session=session)[0].digest


def test_a_message_becomes_a_draft_verbatim():
    draft = said([Message("Ana", " Hi\n there ", at=NOON, role="user", id="m1")], session="s1")[0]
    assert draft == Draft(
        text=" Hi\n there ", digest=draft.digest, kind="message", origin="said", made_by="verbatim",
        turn=True, speaker="Ana", role="user", session="s1", message_id="m1", event_at=NOON,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("speaker", "role"), [("user", "user"), ("Assistant", "Assistant"), ("Ana", None), ("users", None)]
)
def test_a_speaker_that_is_called_by_its_role_has_it(speaker, role):
    assert said([Message(speaker, "x")], session=None)[0].role == role


def test_drafts_come_in_the_order_of_the_messages():
    messages = (Message("Ana", str(number)) for number in range(50))
    assert [draft.text for draft in said(messages, session=None)] == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Message("Ana", "x", at=NOON), Message("Ana", "x", at=NOON_THERE)),
        (Message("Ana", "x", at=NOON, role="user"), Message("Ana", "x", at=NOON, role="assistant")),
        (Message("Ana", "x", id="m1"), Message("Bo", "another text", at=NOON, id="m1")),
    ],
)
def test_the_same_message_has_the_same_digest(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Message("Ana", "x"), Message("Ana", "x ")),
        (Message("Ana", "x"), Message("Bo", "x")),
        (Message("Ana", "x"), Message("Ana", "x", at=NOON)),
        (Message("Ana", "x", at=NOON), Message("Ana", "x", at=NOON + timedelta(microseconds=1))),
        (Message("Ana", "x", id="m1"), Message("Ana", "x", id="m2")),
        (Message("Ana", "x", id="x"), Message("Ana", "x")),
    ],
)
def test_another_message_has_another_digest(one, other):
    assert digest(one) != digest(other)


def test_a_message_of_another_session_is_another_message():
    message = Message("Ana", "x", id="m1")
    assert len({digest(message, session) for session in ("s1", "s2", None, "None")}) == 4


@given(st.tuples(names, names), st.tuples(names, names))
def test_no_speaker_and_text_run_together_into_anothers(one, other):
    assert (digest(Message(*one)) == digest(Message(*other))) == (one == other)


@pytest.mark.parametrize(
    ("text", "same"),
    [("Mira lives here", True), (" Mira\n lives  here ", True), ("mira lives here", False), ("Mira", False)],
)
def test_a_statement_is_the_same_however_it_is_spaced(text, same):
    wanted = statement_digest("Mira lives here", kind="fact", at=None)
    assert (statement_digest(text, kind="fact", at=None) == wanted) is same


def test_a_statement_is_another_one_by_kind_and_by_moment():
    digests = {
        statement_digest("x", kind=kind, at=at)
        for kind, at in [("fact", None), ("plan", None), ("fact", NOON), ("fact", NOON_THERE)]
    }
    assert len(digests) == 3  # the same moment told in two zones is one


def test_a_statement_and_a_message_never_collide():
    assert statement_digest("x", kind="message", at=None) != digest(Message("message", "x"), None)


@pytest.mark.parametrize(
    "messages", ["text", Message("Ana", "x"), None, 5, b"x", ["x"], [None], [{"role": "user"}]]
)
def test_what_is_no_list_of_messages_is_refused(messages):
    with pytest.raises(InvalidInput, match="ingest takes"):
        said(messages, session=None)


@pytest.mark.parametrize("session", ["", " ", 5, b"s", "\ud800", "s" * 1025])
def test_a_session_that_cannot_name_is_refused(session):
    with pytest.raises(InvalidInput, match="session"):
        said([], session=session)
