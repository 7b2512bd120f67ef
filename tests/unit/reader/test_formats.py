import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import FormatError, InvalidInput, MemOSError, Message
from memos_core.reader.drafts import said
from memos_core.reader.formats import Conversation, read_conversations

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DATED = "1:56 pm on 8 May, 2023"
MAY = datetime(2023, 5, 8, 13, 56, tzinfo=UTC)


@pytest.fixture
def read(tmp_path):
    def read_text(text, kind=None, name="file.json"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return read_conversations(path, kind)

    return read_text


def of(*messages, name=None, session=None):
    return Conversation(name=name, session=session, messages=messages)


def told(conversations):
    """Return the conversations without the names that messages without one were given."""
    return [
        replace(
            each,
            messages=tuple(replace(m, id=None) if (m.id or "").startswith("#") else m for m in each.messages),
        )
        for each in conversations
    ]


# --- JSON Lines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"speaker": "Ana", "text": "hi"}', Message("Ana", "hi")),
        ('{"role": "user", "content": "hi"}', Message("user", "hi", role="user")),
        ('{"speaker": "Ana", "role": "user", "text": "hi"}', Message("Ana", "hi", role="user")),
        ('{"name": "Ana", "role": "user", "text": "hi"}', Message("Ana", "hi", role="user")),
        ('{"speaker": "Ana", "text": "hi", "id": "m1"}', Message("Ana", "hi", id="m1")),
        ('{"speaker": "Ana", "text": "hi", "at": "2024-05-01T12:00:00Z"}', Message("Ana", "hi", at=NOON)),
        ('{"speaker": "Ana", "text": "hi", "at": "2024-05-01T14:00+02:00"}', Message("Ana", "hi", at=NOON)),
        ('{"speaker": "Ana", "text": "hi", "timestamp": 1714564800}', Message("Ana", "hi", at=NOON)),
        ('{"speaker": "Ana", "text": "hi", "created_at": 1714564800.0}', Message("Ana", "hi", at=NOON)),
        ('{"speaker": "Ana", "text": "hi", "at": null}', Message("Ana", "hi")),
        ('{"speaker": "Ana", "text": " h\\ni\\u0000 "}', Message("Ana", " h\ni\0 ")),
        ('{"speaker": "Ana", "text": "a\u2028b\x85c"}', Message("Ana", "a\u2028b\x85c")),  # one line of JSON
        (
            '{"speaker": "Ana", "text": "hi", "at": 0}',
            Message("Ana", "hi", at=datetime(1970, 1, 1, tzinfo=UTC)),
        ),
    ],
)
def test_a_line_is_a_message(read, line, message):
    assert told(read(line, name="chat.jsonl")) == [of(message)]


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_passed_over(read):
    text = '\ufeff{"speaker": "A", "text": "1"}\r\n\r\n  \n{"speaker": "B", "text": "2"}\r\n'
    assert told(read(text, name="chat.ndjson")) == [of(Message("A", "1"), Message("B", "2"))]


def test_sessions_that_take_turns_in_a_file_are_told_apart_and_kept_in_order(read):
    lines = [{"speaker": "A", "text": str(n), "session": s} for n, s in enumerate(["x", "y", "x", None, "y"])]
    assert told(read("\n".join(map(json.dumps, lines)), "jsonl")) == [
        of(Message("A", "0"), Message("A", "2"), session="x"),
        of(Message("A", "1"), Message("A", "4"), session="y"),
        of(Message("A", "3")),
    ]


def digests(conversations):
    return [draft.digest for each in conversations for draft in said(each.messages, session="s")]


OK = '{"speaker": "Ana", "text": "ok"}'
HI = '{"speaker": "Bo", "text": "hi"}'


def test_a_turn_said_twice_in_a_file_is_two_messages_and_the_file_again_is_the_same_ones(read):
    first, again = (digests(read(f"{OK}\n{HI}\n{OK}", "jsonl")) for _ in range(2))
    assert (len(set(first)), again == first) == (3, True)


def test_another_file_of_the_same_session_is_other_messages(read):
    monday, tuesday = digests(read(f"{OK}\n{HI}", "jsonl")), digests(read(f"{HI}\n{HI}", "jsonl"))
    assert len({*monday, *tuesday}) == 3  # Monday's "ok" is not what Tuesday's first line edits


BROKEN_LINES = [
    "{",
    "nonsense",
    '{"speaker": "Ana", "text": "hi"',
    '{"speaker": "Ana", "text": "hi"} {"speaker": "Ana"}',
    "[]",
    "null",
    "5",
    '"text"',
    "{}",
    '{"speaker": "Ana"}',
    '{"text": "hi"}',
    '{"speaker": "Ana", "text": ""}',
    '{"speaker": "Ana", "text": "  "}',
    '{"speaker": "Ana", "text": null}',
    '{"speaker": "Ana", "text": 5}',
    '{"speaker": "Ana", "text": {"a": 1}}',
    '{"speaker": "Ana", "text": [{"text": 5}]}',
    '{"speaker": "Ana", "text": "\\ud83d"}',
    '{"speaker": 5, "text": "hi"}',
    '{"speaker": " ", "text": "hi"}',
    '{"speaker": "Ana", "text": "hi", "role": 5}',
    '{"speaker": "Ana", "text": "hi", "id": 5}',
    '{"speaker": "Ana", "text": "hi", "id": " "}',
    '{"speaker": "Ana", "text": "hi", "session": 5}',
    '{"speaker": "Ana", "text": "hi", "at": "yesterday"}',
    '{"speaker": "Ana", "text": "hi", "at": "2024-05-01T12:00"}',
    '{"speaker": "Ana", "text": "hi", "at": true}',
    '{"speaker": "Ana", "text": "hi", "at": [1]}',
    '{"speaker": "Ana", "text": "hi", "at": NaN}',
    '{"speaker": "Ana", "text": "hi", "at": 1e18}',
    '{"speaker": "Ana", "text": "hi", "at": Infinity}',
    '{"speaker": "Ana", "text": "hi", "at": 1' + "0" * 400 + "}",
    '{"speaker": "Ana", "text": "hi", "at": 1' + "0" * 5000 + "}",
    "[" * 200_000,
]


@pytest.mark.parametrize("broken", BROKEN_LINES, ids=lambda line: line[:60])
def test_a_broken_line_is_named_and_nothing_is_read(read, broken):
    good = '{"speaker": "Ana", "text": "hi"}'
    with pytest.raises(FormatError, match="line 3") as caught:
        read(f"{good}\n\n{broken}\n{good}", "jsonl")
    assert caught.value.line == 3


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_of_lines_holds_no_messages(read, text):
    assert read(text, "jsonl") == []


# --- OpenAI ----------------------------------------------------------------------------------

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url"}, {"text": "here"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
    {"role": "tool", "content": "42", "tool_call_id": "call_1"},
    {"role": "assistant", "content": ""},
    {"role": "assistant", "name": "Max", "content": "It is 42."},
]
TURNS = of(
    Message("system", "Be kind.", role="system"),
    Message("user", "Look\nhere", role="user"),
    Message("tool", "42", role="tool"),
    Message("Max", "It is 42.", role="assistant"),
)


@pytest.mark.parametrize("wrap", [lambda chat: chat, lambda chat: {"model": "m", "messages": chat}])
def test_a_chat_keeps_every_turn_that_says_something(read, wrap):
    assert told(read(json.dumps(wrap(CHAT)))) == [TURNS]


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        ("", "line 1"),
        ("[\n{,\n]", "line 2"),
        ("{}", "`messages`"),
        ('{"messages": {}}', "`messages`"),
        ("5", "`messages`"),
        ('"text"', "`messages`"),
        ('[{"role": "user", "content": "hi"}, 5]', "message 2"),
        ('[{"role": "user", "content": "hi"}, {"content": "x"}]', "message 2"),
        ('[{"role": "user", "content": "hi"}, {"role": "user"}]', "message 2"),
        ('[{"role": "user", "content": "hi"}, {"role": "user", "content": [{"text": null}]}]', "message 2"),
        ('[{"role": 5, "content": "hi"}]', "message 1"),
        ('[{"role": "user", "content": "hi", "created_at": 1e999}]', "message 1"),
        ("[" * 200_000, "deep"),
        ("[1" + "0" * 5000 + "]", "digits"),
    ],
    ids=lambda value: value[:60],
)
def test_a_broken_chat_says_where(read, broken, place):
    with pytest.raises(FormatError, match=place):
        read(broken, "openai")


# --- LoCoMo ----------------------------------------------------------------------------------


def sample(**conversation):
    return {"sample_id": "conv-1", "conversation": {"speaker_a": "Ana", "speaker_b": "Bo", **conversation}}


def turn(number, text="hi", **more):
    return {"speaker": "Ana", "dia_id": f"D1:{number}", "text": text, **more}


def test_a_sample_is_a_conversation_per_session_at_its_time(read):
    told = sample(
        session_1_date_time=DATED,
        session_1=[turn(1), turn(2, "look", blip_caption="a cat")],
        session_2_date_time=DATED,
        session_3_date_time="12:00 am on 1 January, 2024",
        session_3=[turn(3)],
    )
    assert read(json.dumps([told])) == [
        of(
            Message("Ana", "hi", at=MAY, id="D1:1"),
            Message("Ana", "look [image: a cat]", at=MAY, id="D1:2"),
            name="conv-1",
            session="session_1",
        ),
        of(
            Message("Ana", "hi", at=datetime(2024, 1, 1, tzinfo=UTC), id="D1:3"),
            name="conv-1",
            session="session_3",
        ),
    ]


@pytest.mark.parametrize("missing", ["session_1", "session_2"])
def test_sessions_after_a_gap_are_not_lost(read, missing):
    told = {f"session_{n}": [turn(n)] for n in (1, 2, 3)} | {
        f"session_{n}_date_time": DATED for n in (1, 2, 3)
    }
    kept = {name: value for name, value in told.items() if not name.startswith(missing)}
    found = read(json.dumps(sample(**kept)), "locomo")
    assert [each.session for each in found] == sorted({"session_1", "session_2", "session_3"} - {missing})


@pytest.mark.parametrize(
    "broken",
    [
        [5],
        [{}],
        [{"conversation": 5}],
        [{"conversation": []}],
        [{"conversation": "session_1"}],
        [sample(session_1=[turn(1)])],
        [sample(session_1_date_time="some day", session_1=[turn(1)])],
        [sample(session_1_date_time=5, session_1=[turn(1)])],
        [sample(session_1_date_time=DATED, session_1="hi")],
        [sample(session_1_date_time=DATED, session_1={"1": turn(1)})],
        [sample(session_1_date_time=DATED, session_1=[{"speaker": "Ana", "text": "hi"}])],
        [sample(session_1_date_time=DATED, session_1=[{"speaker": "Ana", "dia_id": "D1:1"}])],
        [sample(session_1_date_time=DATED, session_1=[turn(1, None)])],
        [sample(session_1_date_time=DATED, session_1=[turn(1, "")])],
        [sample(session_1_date_time=DATED, session_1=[turn(1, speaker=None)])],
    ],
    ids=lambda broken: json.dumps(broken)[:90],
)
def test_a_broken_sample_says_where_and_nothing_is_read(read, broken):
    good = sample(session_1_date_time=DATED, session_1=[turn(1)])
    with pytest.raises(FormatError, match="sample 2"):
        read(json.dumps([good, *broken]), "locomo")


# --- which of them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.jsonl", '{"role": "user", "content": "Look"}', of(Message("user", "Look", role="user"))),
        ("a.json", json.dumps(CHAT), TURNS),
        ("a", json.dumps(CHAT), TURNS),
        (
            "a.json",
            json.dumps(sample(session_1_date_time=DATED, session_1=[turn(1)])),
            of(Message("Ana", "hi", at=MAY, id="D1:1"), name="conv-1", session="session_1"),
        ),
    ],
)
def test_formats_are_told_apart_by_name_and_shape(read, name, text, wanted):
    assert told(read(text, name=name)) == [wanted]


def test_an_unknown_format_is_refused_with_those_that_are_known(read):
    with pytest.raises(InvalidInput, match="jsonl, openai, locomo"):
        read("[]", "xml")


def test_a_file_that_is_not_utf8_is_refused(read):
    with pytest.raises(FormatError, match="not UTF-8"):
        read('{"speaker": "Zoë", "text": "hi"}'.encode("latin-1"), "jsonl")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "speaker role text content at id session name messages conversation session_1 tool_calls "
                "session_1_date_time sample_id dia_id blip_caption timestamp".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", ["jsonl", "openai", "locomo"])
@given(value=json_values)
def test_whatever_a_file_holds_it_is_read_or_refused_by_name(tmp_path_factory, kind, value):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        found = read_conversations(path, kind)
    except MemOSError as exc:
        found = exc
    assert isinstance(found, list | FormatError)
