"""The record of the orders of a prompt as a Markdown table: a row per set of memories and order."""

from __future__ import annotations

from typing import Any

from benchmarks.latency.table import markdown

_HEAD = ["memories in the prompt", "order", "first token", "prompt", "of it cached", "gain"]


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the table."""
    return f"{record['about']}\n\n{markdown(_HEAD, [_row(row) for row in record['rows']])}"


def _row(row: dict[str, Any]) -> list[str]:
    return [
        row["memories"],
        row["order"],
        f"{row['first_token_ms']:,} ms",
        f"{row['prompt_tokens']:,}",
        f"{row['cached_tokens']:,} ({row['cached_share']:.0%})",
        "" if row["order"] == "as recalled" else f"**{row['gain']:.1f}**",
    ]
