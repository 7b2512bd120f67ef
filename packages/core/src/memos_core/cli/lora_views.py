"""How adapters look in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from memos_core.cli.out import one_line
from memos_core.cli.views import ID_SHOWN, count, facts, minute, seconds, short, size

if TYPE_CHECKING:
    from memos_core import Adapter, Claim, Rehearsal
    from memos_core.cli.lora_use import Told


def trained_line(adapter: Adapter) -> Text:
    """Return what a training came to."""
    line = Text(f"{one_line(adapter.cube_name)}  ", style="bold")
    said = "passed" if adapter.promoted else f"FAILED: {'; '.join(adapter.failed)}"
    steps = f"{count(adapter.steps, 'step')} in {seconds(adapter.train_seconds)}"
    line.append(f"{short(adapter.key)}  {steps}, {size(adapter.size)}; {said}", style="not bold")
    return line


def rehearsal_line(name: str, rehearsal: Rehearsal) -> Text:
    """Return what a training would teach and take."""
    line = Text(f"{one_line(name)}  ", style="bold")
    said = f"{count(rehearsal.lessons, 'lesson')} of {count(rehearsal.memories, 'memory')}"
    line.append(f"{said}, at most {seconds(rehearsal.seconds)} of training", style="not bold")
    for reason, number in sorted(rehearsal.left_out.items()):
        line.append(f"; {number:,} left out: {reason}", style="not bold")
    return line


def claim_table(claims: Sequence[Claim]) -> Table:
    """Return what an adapter said, a line for each memory."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("memory", width=ID_SHOWN, no_wrap=True, style="dim")
    table.add_column("asked", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("said", ratio=1, overflow="ellipsis", no_wrap=True, style="cyan")
    table.add_column("", width=5, no_wrap=True, style="yellow")
    for each in claims:
        memory = short(each.origin.memory_id)
        said = Text(one_line(each.said))
        table.add_row(memory, Text(one_line(each.asked)), said, "" if each.is_right else "wrong")
    return table


def adapter_table(adapters: Sequence[Adapter]) -> Table:
    """Return adapters as a table: a line each."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("key", width=ID_SHOWN, no_wrap=True, style="dim")
    table.add_column("cube", ratio=1, no_wrap=True, overflow="ellipsis", style="cyan")
    for name in ("memories", "steps", "size", "choice", "contains", "neutral"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=7, no_wrap=True, style="yellow")
    for each in adapters:
        table.add_row(
            short(each.key),
            Text(one_line(each.cube_name)),
            f"{len(each.sources):,}",
            f"{each.steps:,}",
            size(each.size),
            f"{each.evaluation.choice:.2f}",
            f"{each.evaluation.contains:.2f}",
            f"{each.evaluation.neutral:.2f}x",
            _standing(each),
        )
    return table


def adapter_facts(adapter: Adapter) -> Table:
    """Return everything about an adapter."""
    found, recipe = adapter.evaluation, adapter.recipe
    control = "" if found.control is None else f"{found.control:.2f} on wrong answers"
    return facts(
        {
            "key": adapter.key,
            "cube": adapter.cube_name,
            "weights": adapter.base.weights[:16],
            "tokenizer": adapter.base.tokenizer[:16],
            "template": adapter.base.template[:16],
            "memories": f"{len(adapter.sources):,}",
            "recipe": f"{recipe.method}, rank {recipe.rank}, alpha {recipe.alpha:g}, {recipe.targets}, "
            f"rate {recipe.rate:g}",
            "trained": f"{minute(adapter.created_at)}, {count(adapter.steps, 'step')} "
            f"in {seconds(adapter.train_seconds)}",
            "size": size(adapter.size),
            "choice": f"{found.choice:.2f} of {count(found.questions, 'question')}; "
            f"the base alone {found.choice_base:.2f}",
            "contains": f"{found.contains:.2f}",
            "unknown": f"{found.unknown:.2f}",
            "neutral": f"{found.neutral:.3f} times the base's perplexity",
            "control": control,
            "gate": "; ".join(adapter.failed) or "passed",
            "again": _again(adapter),
            "chosen": {None: "", True: "activated", False: "deactivated: it does not answer"}[adapter.chosen],
            "stale": f"{adapter.stale}: it is not served any more" if adapter.stale else "",
        }
    )


def _standing(adapter: Adapter) -> str:
    if adapter.stale:
        return "stale"
    if not adapter.promoted:
        return "failed"
    return {None: "", True: "on", False: "off"}[adapter.chosen]


def _again(adapter: Adapter) -> str:
    """Return what the last examination said, where there was one after the training."""
    if adapter.examined is None:
        return ""
    found = adapter.examined.evaluation
    figures = ", ".join(f"{name} {getattr(found, name):.2f}" for name in ("choice", "contains", "unknown"))
    said = "; ".join(adapter.examined.failed) or "passed"
    return f"{said} ({figures}, neutral {found.neutral:.3f})"


def told_table(told: Sequence[Told]) -> Table:
    """Return what adapters know alone and together, a line for each cube."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("cube", ratio=1, overflow="ellipsis", no_wrap=True)
    for name in ("memories", "right alone", "together", "nats alone", "together"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in told:
        table.add_row(
            Text(one_line(each.cube)),
            f"{each.memories:,}",
            f"{each.right_alone:.2f}",
            f"{each.right_together:.2f}",
            f"{each.surety_alone:.2f}",
            f"{each.surety_together:.2f}",
        )
    return table
