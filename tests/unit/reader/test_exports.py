import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core import Entry, FormatError, InvalidInput, MemOSError, Message, NotFound
from memos_core.reader.exports import Items, read_export
from memos_core.reader.formats import Conversation

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SECONDS = NOON.timestamp()


@pytest.fixture
def read(tmp_path):
    def read_data(data, kind=None):
        path = tmp_path / "export.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        return read_export(path, kind)

    return read_data


def node(node_id, parent, text=None, role="user", *, children=(), **more):
    message = None
    if text is not None:
        content = {"content_type": "text", "parts": [text]}
        message = {
            "id": node_id,
            "author": {"role": role},
            "create_time": SECONDS,
            "content": content,
            **more,
        }
    return {node_id: {"id": node_id, "parent": parent, "children": list(children), "message": message}}


def chat(*nodes, last=None):
    mapping = {name: value for each in nodes for name, value in each.items()}
    return [{"title": "Keys", "conversation_id": "c1", "current_node": last, "mapping": mapping}]


ROOT = node("root", None, children=["a"])
ASKED = node("a", "root", "Where is the key?", children=["b", "c"])
FIRST = node("b", "a", "In the cellar.", "assistant")
AGAIN = node("c", "a", "Behind the pike.", "assistant")


def said(text, role="user", name="a"):
    return Message(role, text, at=NOON, role=role, id=name)


@pytest.mark.parametrize(
    ("last", "text"), [("b", "In the cellar."), ("c", "Behind the pike."), (None, "Behind the pike.")]
)
def test_the_branch_that_was_shown_last_is_taken(read, last, text):
    export = read(chat(ROOT, ASKED, FIRST, AGAIN, last=last))
    shown = last or "c"
    messages = (said("Where is the key?"), said(text, "assistant", shown))
    assert export.conversations == [Conversation(name=None, session="c1", messages=messages)]
    assert export.format == "openai-chats"


@pytest.mark.parametrize(
    "more",
    [
        {"role": "system"},
        {"role": "tool"},
        {"metadata": {"is_visually_hidden_from_conversation": True}},
        {"content": {"content_type": "code", "text": "print()"}},
        {"content": {"content_type": "text", "parts": [""]}},
        {"content": {"content_type": "multimodal_text", "parts": [{"asset_pointer": "file://x"}]}},
    ],
    ids=lambda more: str(more)[:40],
)
def test_what_nobody_was_shown_says_nothing(read, more):
    role = more.pop("role", "assistant")
    export = read(chat(ROOT, ASKED, node("b", "a", "hidden", role, **more), last="b"))
    assert [message.id for message in export.conversations[0].messages] == ["a"]


def test_the_words_beside_a_picture_are_kept(read):
    parts = ["What is this?", {"asset_pointer": "file://x"}, {"text": "a pike"}]
    content = {"content_type": "multimodal_text", "parts": parts}
    export = read(chat(ROOT, node("a", "root", "x", content=content), last="a"))
    assert export.conversations[0].messages[0].text == "What is this?\na pike"


def test_items_of_a_langgraph_store_become_values_of_their_namespaces_cube(read):
    items = [
        {"namespace": ["users", "mira"], "key": "home", "value": {"text": "Lisbon"}, "created_at": "…"},
        {"namespace": ["users", "mira"], "key": "taste", "value": {"tea": "no sugar", "n": 2}},
        {"namespace": ["team"], "key": "empty", "value": {}},
    ]
    assert read(items).items == [
        Items(
            cube="users.mira",
            entries=(
                Entry(key="home", data={"text": "Lisbon"}, texts=("Lisbon",)),
                Entry(key="taste", data={"tea": "no sugar", "n": 2}, texts=("tea: no sugar\nn: 2",)),
            ),
        ),
        Items(cube="team", entries=(Entry(key="empty", data={}),)),
    ]


@pytest.mark.parametrize("wrap", [list, lambda items: {"results": items}, lambda items: {"memories": items}])
def test_memories_of_mem0_keep_their_ids_times_and_users(read, wrap):
    one = {"id": "m1", "memory": "Lives in Lisbon", "hash": "0f", "metadata": None, "user_id": "mira"}
    two = {
        **one,
        "id": "m2",
        "memory": "Likes tea",
        "run_id": "r1",
        "created_at": "2024-05-01T05:00:00-07:00",
    }
    export = read(wrap([one, two]))
    assert export.format == "mem0"
    assert export.conversations == [
        Conversation(name="mira", session=None, messages=(Message("mira", "Lives in Lisbon", id="m1"),)),
        Conversation(name="mira", session="r1", messages=(Message("mira", "Likes tea", at=NOON, id="m2"),)),
    ]


@pytest.mark.parametrize("wrap", [list, lambda items: {"nodes": items, "edges": []}])
def test_memories_of_memos_keep_theirs(read, wrap):
    facts = {"type": "fact", "memory_time": "2024-05-01", "user_id": "mira", "session_id": "s1"}
    one = {"id": "m1", "memory": "Moved", "metadata": facts}
    two = {"id": "m2", "memory": "Sings", "metadata": {"updated_at": "2024-05-01T12:00:00"}}
    export = read(wrap([one, two]))
    midnight = NOON.replace(hour=0)
    assert export.format == "memos"
    assert export.conversations == [
        Conversation(name="mira", session="s1", messages=(Message("mira", "Moved", at=midnight, id="m1"),)),
        Conversation(name=None, session=None, messages=(Message("memory", "Sings", at=NOON, id="m2"),)),
    ]


BAD = {
    "no JSON": ("{", None),
    "a number": ("5", "mem0"),
    "nothing known": ("[]", None),
    "something else": ('[{"a": 1}]', None),
    "a circle": (chat(node("a", "b", "x"), node("b", "a", "y"), last="a"), None),
    "a branch from nowhere": (chat(node("a", "gone", "x"), last="a"), None),
    "a last node that is not there": (chat(ROOT, last="z"), None),
    "a chat without nodes": ([{"mapping": 5}], None),
    "a message of nobody": (chat(node("a", None, "x", author=None), last="a"), None),
    "a time that is none": (chat(node("a", None, "x", create_time="noon"), last="a"), None),
    "an id that is a number": ([{"mapping": {}, "id": 5}], None),
    "a memory of nothing": ([{"id": "m", "memory": "", "hash": ""}], None),
    "a memory that is a list": ([{"id": "m", "memory": [], "hash": ""}], None),
    "a memory without an id": ([{"memory": "x", "hash": ""}], None),
    "a memory whose id is a number": ([{"id": 5, "memory": "x", "hash": ""}], None),
    "a memory at no zone": (
        [{"id": "m", "memory": "x", "hash": "", "created_at": "2024-05-01T12:00:00"}],
        None,
    ),
    "a day that is none": ([{"id": "m", "memory": "x", "metadata": {"memory_time": "spring"}}], None),
    "a memory that is a word": (["x"], "memos"),
    "an item of no namespace": ([{"namespace": [], "key": "k", "value": {}}], None),
    "an item of a word": ([{"namespace": "users", "key": "k", "value": {}}], None),
    "an item of a period": ([{"namespace": ["a.b"], "key": "k", "value": {}}], None),
    "an item of no key": ([{"namespace": ["a"], "key": "", "value": {}}], None),
    "an item that is a list": ([{"namespace": ["a"], "key": "k", "value": []}], None),
    "an item too deep": ([{"namespace": ["a"], "key": "k", "value": {"x": [[[]]]}}], None),
}
DEEP = "[" * 150 + "]" * 150


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_is_wrong_is_refused_whole(read, what):
    data, kind = BAD[what]
    if what == "an item too deep":
        data = json.dumps(data).replace("[[[]]]", DEEP)
    with pytest.raises(FormatError):
        read(data, kind)


def test_an_unknown_format_names_those_that_are_known(read, tmp_path):
    with pytest.raises(InvalidInput, match="openai-chats, langgraph, mem0, memos"):
        read("[]", "letta")
    with pytest.raises(NotFound):
        read_export(tmp_path / "gone.json")


NAMES = (
    "id memory metadata mapping message author role content parts namespace key value results nodes parent "
    "current_node hash user_id created_at memory_time"
).split()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(data=json_values, kind=st.sampled_from([None, "openai-chats", "langgraph", "mem0", "memos"]))
def test_whatever_the_file_holds_it_is_read_or_refused(tmp_path_factory, data, kind):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with suppress(MemOSError):
        read_export(path, kind)
