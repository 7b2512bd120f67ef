"""The storyteller's voice: headings, prose, panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from memos_core.cli.out import one_line, plain, screen
from memos_core.cli.views import head, reasons, seconds
from memos_core.query import Hit

WIDEST = 88  # prose is hard to read in longer lines
DEPTH = 10  # hits that are asked for

_INTRODUCTION = (
    "At the bend of the river Wend stands an inn, the Heron's Elbow. Brannoc keeps it, and he remembers "
    "what people tell him: that is the better half of keeping an inn.\n\n"
    "Ysolde draws maps. Dorrin sells salt and wears one glove. Wren minds the goats, Tam builds a "
    "bridge, Sister Pell has bees, and Captain Holt is looking for somebody.\n\n"
    "Brannoc is a program, and this is his memory. It lives in a folder on this machine: no service, "
    "no key, no network."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question of the story: what is asked, by which words its turns are known, why it is asked."""

    ask: str
    expect: Sequence[str]
    session: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and what came of it. `ranks` has one entry per expected turn; None was not found."""

    ask: str
    expect: Sequence[str]
    ranks: Sequence[int | None]
    seconds: float
    top: str

    @property
    def best(self) -> int | None:
        """Return the rank of the expected turn that came first."""
        return min((rank for rank in self.ranks if rank), default=None)


class Teller:
    """Writes the story to stdout; `quiet` writes nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console: Console = screen(quiet=quiet)
        if self.console.width > WIDEST:
            self.console.width = WIDEST

    def introduction(self) -> None:
        self.console.print()
        self.console.print(
            Panel(
                Text(_INTRODUCTION),
                title=Text("The innkeeper who remembers", style="bold"),
                box=box.DOUBLE,
                border_style="yellow",
                padding=(1, 3),
            )
        )

    def chapter(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(Rule(Text(f" {number}  {title} ", style="bold"), align="left", style="yellow"))
        self.console.print()

    def say(self, text: str, *, style: str = "") -> None:
        self.console.print(Text(plain(text), style=style))

    def show(self, what: RenderableType) -> None:
        self.console.print(Padding(what, (1, 0, 1, 4)))

    def quote(self, who: str, text: str) -> None:
        """Print what somebody says, or writes into the house book."""
        self.console.print(Padding(Text.assemble((f"{who}: ", "cyan"), plain(text)), (1, 2, 1, 2)))

    def code(self, line: str) -> None:
        """Print the call that does what is told next."""
        self.console.print(Text.assemble(("  > ", "dim"), (line, "bold")))

    def question(self, question: Question, hits: Sequence[Hit], asked: Asked) -> None:
        """Print a question with its note, the hits that matter, and what rank was reached."""
        parts: list[RenderableType] = [Text(question.note, style="dim italic")]
        wanted = {rank for rank in asked.ranks if rank}
        shown = sorted({1, *wanted}) if max(wanted, default=1) > 1 else [1, 2]
        for rank in (each for each in shown if each <= len(hits)):
            parts += ["", *self._hit(rank, hits[rank - 1], question.expect, full=rank in wanted)]
        verdict = Text.assemble(_verdict(asked.ranks), (f" · {seconds(asked.seconds)}", "dim"))
        self.console.print(
            Panel(
                Group(*parts),
                title=Text(question.ask, style="bold"),
                title_align="left",
                subtitle=verdict,
                subtitle_align="right",
                box=box.ROUNDED,
                border_style="dim",
            )
        )

    def _hit(self, rank: int, hit: Hit, expect: Sequence[str], *, full: bool) -> list[RenderableType]:
        said = plain(hit.memory.text)
        text = Text(said) if full else Text(one_line(said), no_wrap=True, overflow="ellipsis")
        text.highlight_words(expect, style="bold green")
        mark = "✓" if full else " "
        return [
            head(f"{rank}{mark}", hit, shown_id=False),
            Padding(text, (0, 0, 0, 4)),
            Padding(reasons(hit.why), (0, 0, 0, 4)),
        ]

    def top(self, hits: Sequence[Hit], *, count: int) -> None:
        """Print the first hits, a line each."""
        lines: list[RenderableType] = []
        for rank, hit in enumerate(hits[:count], start=1):
            said = Text(one_line(hit.memory.text), no_wrap=True, overflow="ellipsis")
            lines += [head(str(rank), hit, shown_id=False), Padding(said, (0, 0, 0, 4))]
        self.show(Group(*lines))

    def farewell(self, store: Path | None) -> None:
        """Say what to type next."""
        self.console.print()
        self.console.print(Rule(Text(" Now you ", style="bold"), align="left", style="yellow"))
        self.console.print()
        if store is None:
            self.say("This store was temporary and is gone. To keep one and ask it yourself:")
            lines = ["memos demo --store inn", 'memos recall "Who fears the captain?" --store inn']
        else:
            self.say("The store stays where you wanted it. Ask it yourself:")
            lines = [f'memos recall "Who fears the captain?" --store {store}', f"memos list --store {store}"]
        lines += ['memos remember "I take my tea without sugar."', "memos ingest chat.jsonl", "memos --help"]
        self.console.print(Padding(Text("\n".join(lines), style="bold"), (1, 0, 1, 2)))


def _verdict(ranks: Sequence[int | None]) -> Text:
    """Return how well it was found, in words: nothing is rounded up."""
    found = [rank for rank in ranks if rank]
    lost = len(ranks) - len(found)
    if not found:
        return Text(f"not among the first {DEPTH}", style="bold red")
    places = f"{'ranks' if len(found) > 1 else 'rank'} {' and '.join(str(rank) for rank in found)}"
    if lost:
        return Text(f"found at {places}, {lost} of {len(ranks)} missed", style="yellow")
    if found == [1]:
        return Text("found at rank 1", style="bold green")
    return Text(f"found at {places}", style="green" if max(found) <= 3 else "yellow")
