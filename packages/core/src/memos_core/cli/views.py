"""How memories, hits and their reasons look in 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memos_core.cli.out import one_line, plain
from memos_core.erasure import Erasure
from memos_core.memory import Memory, Revision, Source
from memos_core.query import Hit, Why

ID_SHOWN = 8
_COLOURS = {  # the terminal's own colours, so that they suit a dark and a light ground
    "dense": "cyan",
    "lexical": "yellow",
    "neighbour": "magenta",
    "session": "blue",
    "speaker": "green",
    "time": "red",
    "form": "dim",
}


def short(memory_id: str) -> str:
    """Return the part of an id that is shown, and that is enough to name it."""
    return memory_id[:ID_SHOWN]


def day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """Return a number of bytes in words: 0 B, 12 kB, 3.4 MB."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit in {"B", "kB"} else f"{amount:.1f} {unit}"


def seconds(took: float) -> str:
    """Return a duration in words: 8 ms, 1.3 s."""
    return f"{took * 1000:.0f} ms" if took < 0.9995 else f"{took:.1f} s"


def count(number: int, noun: str) -> str:
    """Return "1 memory", "2 memories"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


class WhyBar:
    """A bar as long as the score, in which each signal has its share.

    Without colours the shares are told apart by the signal's initial: `nnnnnllllss`.
    """

    def __init__(self, why: Why, *, width: int = 20) -> None:
        self._parts, self._width = why.parts(), width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        coloured = console.color_system is not None and not console.no_color
        block = "█" if coloured and not options.ascii_only else ""
        parts = {name: part for name, part in self._parts.items() if part > 0}
        drawn = Text(no_wrap=True)
        for name, cells in shares(parts, width=self._width).items():
            drawn.append((block or name[0]) * cells, style=_COLOURS[name])
        drawn.pad_right(self._width - drawn.cell_len)
        yield drawn


def shares(parts: Mapping[str, float], *, width: int) -> dict[str, int]:
    """Return how many of `width` cells each part takes, strongest first, ends rounded and not lengths."""
    cells: dict[str, int] = {}
    end, drawn = 0.0, 0
    for name, part in sorted(parts.items(), key=lambda each: -each[1]):
        end += part * width
        cells[name] = round(end) - drawn
        drawn = round(end)
    return cells


def legend(why: Why) -> Text:
    """Return the reasons in words: neighbour .23 lexical .17."""
    strongest = sorted(why.parts().items(), key=lambda each: -each[1])
    said = [(name, part) for name, part in strongest if part >= 0.005][:4]
    text = Text(no_wrap=True, overflow="ellipsis")
    for number, (name, part) in enumerate(said):
        text.append(" " if number else "")
        text.append(name, style=_COLOURS[name])
        text.append(f" {part:.2f}".replace(" 0.", " ."))
    return text


def head(rank: str, hit: Hit, *, cube: str | None = None, shown_id: bool = True) -> Table:
    """Return a hit's first line: rank, score, date, speaker; the cube and the id at the right."""
    memory = hit.memory
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=3, no_wrap=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    who = Text.assemble((f"{hit.score:.2f}  ", "bold"), (day(memory.at), "dim"))
    who.append(f"  {one_line(memory.speaker or memory.kind)}", style="cyan")
    if hit.context:
        who.append("  beside a hit", style="dim italic")
    right = " · ".join([one_line(cube)] if cube else []) + (f"  {short(memory.id)}" if shown_id else "")
    line.add_row(Text(rank, style="bold"), who, Text(right, style="dim"))
    return line


def hit_view(
    rank: int, hit: Hit, *, cube: str | None = None, painted: Callable[[Text], Text] | None = None
) -> RenderableType:
    """Return a hit as a block: its line, its text, its reasons."""
    body = Text(plain(hit.memory.text))
    parts: list[RenderableType] = [
        head(f"{rank:>2}", hit, cube=cube),
        Padding(painted(body) if painted else body, (0, 0, 0, 4)),
    ]
    if not hit.context:
        parts.append(Padding(reasons(hit.why), (0, 0, 0, 4)))
    return Group(*parts)


def reasons(why: Why) -> Table:
    """Return the bar of reasons beside its legend."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(width=20)
    line.add_column(ratio=1, no_wrap=True)
    line.add_row(WhyBar(why), legend(why))
    return line


def memory_table(rows: Sequence[tuple[str, Memory]], *, with_cube: bool) -> Table:
    """Return memories as a table: a line or two each."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", width=ID_SHOWN, no_wrap=True, style="dim")
    table.add_column("date", width=10, no_wrap=True)
    table.add_column("who", max_width=12, no_wrap=True, overflow="ellipsis", style="cyan")
    if with_cube:
        table.add_column("cube", max_width=10, no_wrap=True, overflow="ellipsis")
    table.add_column("text", ratio=1)
    for cube, memory in rows:
        text = Text(_clipped(one_line(memory.text)))
        for tag in memory.tags:
            text.append(f" #{one_line(tag)}", style="dim")
        who = one_line(memory.speaker or memory.kind)
        cells: list[RenderableType] = [short(memory.id), day(memory.at), Text(who)]
        table.add_row(*cells, *([Text(one_line(cube))] if with_cube else []), text)
    return table


def _clipped(text: str, most: int = 160) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def history_table(revisions: Sequence[Revision]) -> Table:
    """Return the versions of a memory, oldest first."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("v", justify="right", no_wrap=True)
    table.add_column("written (UTC)", width=16, no_wrap=True, style="dim")
    table.add_column("by", max_width=12, no_wrap=True, overflow="ellipsis", style="cyan")
    table.add_column("text", ratio=1)
    for each in revisions:
        newest = each is revisions[-1]
        text = Text(plain(each.text), style="" if newest else "dim")
        table.add_row(str(each.version), minute(each.written_at), Text(one_line(each.written_by)), text)
    return table


def facts(rows: Mapping[str, RenderableType]) -> Table:
    """Return names and values in two columns; values that are empty are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(plain(value)) if isinstance(value, str) else value)
    return table


def memory_facts(memory: Memory, cube: str) -> Table:
    """Return a memory's header, in the order of its three groups."""
    what, whose, used = memory.header.descriptive, memory.header.governance, memory.header.behaviour
    place = "" if what.position is None else f", turn {what.position + 1}"
    said_in = f"{what.session}{place}" if what.session else place.removeprefix(", ")
    links = [f"{link.relation.replace('_', ' ')} {short(link.target)}" for link in used.lineage]
    return facts(
        {
            "id": memory.id,
            "cube": f"{cube} (owner {whose.owner})",
            "version": f"{memory.version}, {memory.state}, {what.origin}, {what.made_by}",
            "kind": what.kind,
            "tags": ", ".join(what.tags),
            "speaker": (what.speaker or "") + (f" ({what.role})" if what.role else ""),
            "session": said_in,
            "trust": "" if memory.trust == "trusted" else str(memory.trust),
            "happened": minute(what.event_at) if what.event_at else "",
            "written": minute(what.created_at),
            "updated": minute(what.updated_at) if what.updated_at != what.created_at else "",
            "expires": minute(whose.expires_at) if whose.expires_at else "",
            "recalled": count(used.hits, "time")
            + (f", last {minute(used.last_used)}" if used.last_used else ""),
            "links": "\n".join(links),
        }
    )


def source_line(source: Source) -> Text:
    """Return one source on a line: when it came, who said it."""
    who = source.speaker or "stated"
    said_at = f", said {minute(source.event_at)}" if source.event_at else ""
    return Text(f"{minute(source.recorded_at)}  {one_line(who)}{said_at}  {_clipped(one_line(source.text))}")


def receipt(erasure: Erasure) -> Table:
    """Return what was erased, place by place."""
    rows: dict[str, RenderableType] = {"receipt": erasure.id, "at": f"{minute(erasure.at)} UTC"}
    if len(erasure.memories) == 1:
        rows["memory"] = erasure.memory_id
    erased = [f"{place} {number}" for place, number in erasure.erased.items() if number]
    rows["erased"] = ", ".join(erased)
    rows["index"] = (
        f"{count(erasure.owed, 'deletion')} owed; out of reach already" if erasure.owed else "told"
    )
    rows["left"] = (
        f"{count(erasure.left, 'frozen memory')}: only an admin erases those" if erasure.left else ""
    )
    return facts(rows)
