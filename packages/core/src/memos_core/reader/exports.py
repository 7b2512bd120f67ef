"""What other systems give their users to take along: chats, memories, items. All of a file, or an error.

Ids, times and speakers are kept, so that the same file read again says the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from memos_core.errors import BackendError, FormatError, InvalidInput, NotFound
from memos_core.memory import IMPORT, Message
from memos_core.reader.formats import Conversation, naming, parsed, time_of
from memos_core.record import Entry, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Values under keys that belong into one cube."""

    cube: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a file holds: conversations for `MemCube.ingest`, and values for `MemCube.records`."""

    format: str
    conversations: Sequence[Conversation] = ()
    items: Sequence[Items] = ()


def read_export(path: str | Path, format: str | None = None) -> Export:  # noqa: A002 - the CLI's word
    """Return what an export of another system holds, whole.

    `format` is "openai-chats" (`conversations.json` of a ChatGPT export; of each conversation the
    branch that was shown last), "langgraph" (a list of a store's items), "mem0" (what `get_all`
    returns) or "memos" (`textual_memory.json`); None tells them apart by their shape. Raises
    FormatError that names the place; nothing is returned then.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise NotFound("file", str(path)) from exc
    except UnicodeDecodeError as exc:
        raise FormatError(f"{path} is not UTF-8 (byte {exc.start}): convert it first") from exc
    except (OSError, ValueError) as exc:
        raise BackendError(f"{path} cannot be read ({exc}): check the path and its permissions") from exc
    data = parsed(text)
    chosen = format or _guess(data)
    if chosen not in _READERS:
        raise InvalidInput(f"unknown format {chosen!r}: choose one of {', '.join(_READERS)}")
    export = _READERS[chosen](data)
    return replace(export, conversations=[_imported(each, chosen) for each in export.conversations])


def _imported(conversation: Conversation, format: str) -> Conversation:  # noqa: A002 - as above
    """Return the conversation, each message with the importer that put it into these words."""
    told = tuple(replace(each, made_by=f"{IMPORT}{format}") for each in conversation.messages)
    return replace(conversation, messages=told)


def _guess(data: Any) -> str:
    """Return the format that the first thing in the file looks like."""
    first = next(iter(_listed(data, "results", "nodes", "items", "memories")), None)
    if isinstance(first, Mapping):
        if "mapping" in first:
            return "openai-chats"
        if "namespace" in first and "key" in first:
            return "langgraph"
        if "memory" in first:
            return "memos" if "hash" not in first and isinstance(first.get("metadata"), Mapping) else "mem0"
    raise FormatError("this is no export that is known here: name its format, one of " + ", ".join(_READERS))


def _listed(data: Any, *names: str) -> list[Any]:
    """Return the list that the file is, or that its object holds under one of these names."""
    if isinstance(data, Mapping):
        data = next((data[name] for name in names if isinstance(data.get(name), list)), [data])
    if not isinstance(data, list):
        raise FormatError("the file is neither a list nor an object that holds one")
    return data


# --- ChatGPT ---------------------------------------------------------------------------------


def _openai_chats(data: Any) -> Export:
    found: list[Conversation] = []
    for number, chat in enumerate(_listed(data), start=1):
        with naming(f"conversation {number}"):
            nodes = _branch(chat["mapping"], chat.get("current_node"))
            messages = [said for node_id, node in nodes if (said := _turn(node_id, node)) is not None]
            session = chat.get("conversation_id") or chat.get("id") or chat.get("title")
            if session is not None and not isinstance(session, str):
                raise FormatError(f"its id is {session!r}, which is no string")
            if messages:
                found.append(Conversation(name=None, session=session, messages=tuple(messages)))
    return Export(format="openai-chats", conversations=found)


def _branch(nodes: Mapping[str, Any], last: str | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the nodes from the root to the one that was shown last, in order."""
    if last is None:
        last = _newest_leaf(nodes)
    way: dict[str, Mapping[str, Any]] = {}
    while last is not None:
        if last in way:
            raise FormatError(f"the node {last!r} is its own ancestor")
        if last not in nodes:
            raise FormatError(f"the node {last!r} is named and not there")
        way[last] = nodes[last]
        last = nodes[last].get("parent")
    return list(reversed(way.items()))


def _newest_leaf(nodes: Mapping[str, Any]) -> str | None:
    """Return the answer that came last: of the nodes without children the last one in the file."""
    leaves = [node_id for node_id, node in nodes.items() if not node.get("children")]
    return leaves[-1] if leaves else None


def _turn(node_id: str, node: Mapping[str, Any]) -> Message | None:
    """Return what a node says; None for what nobody was shown: the system's and tools' own, empty ones."""
    message = node.get("message")
    if message is None:
        return None
    author = message["author"]
    hidden = (message.get("metadata") or {}).get("is_visually_hidden_from_conversation")
    text = "\n".join(_said(message.get("content") or {}))
    if author["role"] not in ("user", "assistant") or hidden or not text.strip():
        return None
    return Message(
        author.get("name") or author["role"],
        text,
        at=time_of({"at": message.get("create_time")}),
        role=author["role"],
        id=str(message.get("id") or node_id),
    )


def _said(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words of a message's parts; pictures and files have none."""
    if content.get("content_type", "text") not in ("text", "multimodal_text"):
        return
    for part in content.get("parts") or ():
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]


# --- stores of memories ------------------------------------------------------------------------


def _langgraph(data: Any) -> Export:
    """Read a store's items; a namespace is a cube, as in langchain-memos: its labels joined by periods."""
    cubes: dict[str, dict[str, Entry]] = {}
    for number, item in enumerate(_listed(data, "items"), start=1):
        with naming(f"item {number}"):
            labels = item["namespace"]
            if isinstance(labels, str) or not labels or not all(_is_label(label) for label in labels):
                raise FormatError(f"its namespace {labels!r} is no list of labels without periods")
            bare = Entry(key=item["key"], data=item["value"])  # refuses what is no JSON before it is read
            words = in_words(bare.data)
            entry = replace(bare, texts=(words,) if words.strip() else ())
            cubes.setdefault(".".join(labels), {})[entry.key] = entry
    items = [Items(cube=name, entries=tuple(entries.values())) for name, entries in cubes.items()]
    return Export(format="langgraph", items=items)


def _is_label(label: object) -> bool:
    return isinstance(label, str) and bool(label) and "." not in label


def _mem0(data: Any) -> Export:
    def told(item: Mapping[str, Any]) -> tuple[str | None, str | None, Message]:
        at = time_of({"at": item.get("created_at")})
        who = item.get("user_id") or item.get("agent_id")
        speaker = item.get("actor_id") or who or "memory"
        return who, item.get("run_id"), Message(speaker, item["memory"], at=at, id=_id(item))

    listed = _listed(data, "results", "memories")
    return Export(format="mem0", conversations=_conversations(listed, told))


def _memos(data: Any) -> Export:
    def told(item: Mapping[str, Any]) -> tuple[str | None, str | None, Message]:
        facts = item.get("metadata") or {}
        at = _day(facts.get("memory_time")) or time_of({"at": _zoned(facts)})
        speaker = facts.get("user_id") or "memory"
        message = Message(speaker, item["memory"], at=at, id=_id(item))
        return facts.get("user_id"), facts.get("session_id"), message

    return Export(format="memos", conversations=_conversations(_listed(data, "nodes"), told))


_Told = Callable[[Mapping[str, Any]], tuple[str | None, str | None, Message]]


def _conversations(listed: Sequence[Any], told: _Told) -> list[Conversation]:
    """Return the memories as conversations, one for each owner and session."""
    found: dict[tuple[str | None, str | None], list[Message]] = {}
    for number, item in enumerate(listed, start=1):
        with naming(f"memory {number}"):
            if not isinstance(item, Mapping):
                raise FormatError(f"it is {type(item).__name__}, not an object")
            name, session, message = told(item)
            found.setdefault((name, session), []).append(message)
    return [
        Conversation(name=name, session=session, messages=tuple(messages))
        for (name, session), messages in found.items()
    ]


def _id(item: Mapping[str, Any]) -> str:
    if not isinstance(item["id"], str):
        raise FormatError(f"its id is {item['id']!r}, which is no string")
    return item["id"]


def _day(value: object) -> Any:
    """Return the day that a memory speaks of, at its beginning in UTC; None where none is named."""
    return time_of({"at": f"{value}T00:00:00+00:00"}) if isinstance(value, str) and value else None


def _zoned(facts: Mapping[str, Any]) -> str | None:
    """Return when a memory was written; a time without a zone is UTC, as that system writes it."""
    value = facts.get("created_at") or facts.get("updated_at")
    if not isinstance(value, str):
        return None
    has_zone = value.endswith("Z") or "+" in value[10:] or "-" in value[10:]
    return value if has_zone else f"{value}+00:00"


_READERS: Final[dict[str, Callable[[Any], Export]]] = {
    "openai-chats": _openai_chats,
    "langgraph": _langgraph,
    "mem0": _mem0,
    "memos": _memos,
}
