"""How KV segments look in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from memos_core.cli.out import one_line
from memos_core.cli.views import ID_SHOWN, count, facts, minute, seconds, short, size

if TYPE_CHECKING:
    from memos_core import EngineIdentity, Origin, Segment
    from memos_core.cli.kv import Built


def built_line(built: Built) -> Text:
    """Return what a build did for a cube, on one line."""
    line = Text(f"{one_line(built.cube)}  ", style="bold")
    if built.segments:
        made = f"{count(built.segments, 'segment')} of {count(built.tokens, 'token')}, {size(built.size)}"
        line.append(f"built {made} in {seconds(built.seconds)}", style="not bold")
        line.append(f"; {built.there} there already" if built.there else "", style="not bold")
    else:
        said = f"all {count(built.there, 'segment')} there already" if built.there else "nothing to build"
        line.append(said, style="not bold")
    return line


def segment_table(segments: Sequence[Segment]) -> Table:
    """Return segments as a table: a line each."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("key", width=ID_SHOWN, no_wrap=True, style="dim")
    table.add_column("cube", ratio=1, no_wrap=True, overflow="ellipsis", style="cyan")
    table.add_column("engine", max_width=12, no_wrap=True, overflow="ellipsis")
    table.add_column("form", max_width=8, no_wrap=True)
    for name in ("at", "tokens", "size", "hits", "saved"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=6, no_wrap=True, style="yellow")
    for each in segments:
        table.add_row(
            short(each.key),
            Text(one_line(each.cube_name)),
            Text(one_line(each.identity.engine)),
            each.form,
            f"{each.start:,}",
            f"{each.tokens:,}",
            size(each.size),
            f"{each.hits:,}",
            seconds(each.saved_seconds),
            "stale" if each.stale else "pinned" if each.pinned else "",
        )
    return table


def totals_line(segments: Sequence[Segment]) -> str:
    """Return what all of them take and saved."""
    taken = size(sum(each.size for each in segments))
    built = seconds(sum(each.build_seconds for each in segments))
    saved = seconds(sum(each.saved_seconds for each in segments))
    return f"{count(len(segments), 'segment')}, {taken}; {built} to build, {saved} saved"


def segment_facts(segment: Segment) -> Table:
    """Return everything about a segment but its sources."""
    end = segment.start + segment.tokens
    used = f", last {minute(segment.last_used)}" if segment.last_used else ""
    return facts(
        {
            "key": segment.key,
            "cube": segment.cube_name,
            **_identity(segment.identity),
            "form": f"{segment.form}, {segment.kind}",
            "tokens": f"{segment.tokens:,}, from {segment.start:,} to {end:,}",
            "size": f"{size(segment.size)}, {size(round(segment.size / max(segment.tokens, 1)))} a token",
            "built": f"{minute(segment.created_at)} in {seconds(segment.build_seconds)}",
            "used": count(segment.hits, "time") + used,
            "saved": seconds(segment.saved_seconds),
            "pinned": "yes" if segment.pinned else "",
            "stale": f"{segment.stale}: it is not served any more" if segment.stale else "",
        }
    )


def _identity(identity: EngineIdentity) -> dict[str, str]:
    """Return what a segment's model was: the names whole, the digests by their beginning."""
    names = {"engine": identity.engine, "dtype": identity.dtype, "attention": identity.attention}
    digests = {
        name: getattr(identity, name)[:16]
        for name in ("weights", "config", "tokenizer", "template", "rope", "adapter")
    }
    return names | digests


def sources_table(sources: Sequence[tuple[Origin, str]]) -> Table:
    """Return the memories that a segment was made from, a line each."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for origin, text in sources:
        table.add_row(short(origin.memory_id), f"v{origin.version}", Text(one_line(text)))
    return table
