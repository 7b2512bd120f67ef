"""The record of the distances from a full prefill as Markdown tables."""

from __future__ import annotations

from typing import Any

from benchmarks.latency.table import markdown

_WORDS = """How far from a full prefill, whose greedy answer every row has to tell: *KL* is in nats a token
of that answer, *top-1* the share of its tokens that are the row's first choice, too, *gold* the
log-probability of the right answer, *contains* the share of the row's own greedy answers that contain it.
Half of the questions are about turns of LoCoMo, half about made-up people; the model is small and often
wrong by itself, so read *contains* against the full prefill's, and KL first. *Time* is processor time of
putting together, or of reading the file, in shares of that of the full prefill of the memories."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words, a table for each number of memories, and that of the forms."""
    parts = [_WORDS.replace("\n", " ")]
    for each in record["composed"]:
        tokens = each["rows"][0]["tokens"]
        title = f"{each['memories']} memories put together"
        parts.append(f"### {title}, {tokens:,.0f} tokens on average, {each['cases']} questions")
        parts.append(markdown(["way", *_HEADS], [_row(row) for row in each["rows"]]))
    forms = record["forms"]
    if forms:
        parts.append(f"### Forms of a stored state, {forms['memories']} memories, {forms['cases']} questions")
        rows = [[*_row(row), f"{row['bytes']:,.0f}" if row["bytes"] else ""] for row in forms["rows"]]
        parts.append(markdown(["form", *_HEADS, "bytes a token"], rows))
    return "\n\n".join(parts)


_HEADS = ("KL", "top-1", "gold", "contains", "time")


def _row(row: dict[str, Any]) -> list[str]:
    time = f"{row['seconds']:.2f}" if row["seconds"] else ""
    return [
        str(row["mode"]),
        _small(row["kl"]),
        f"{row['top1']:.3f}",
        f"{row['gold']:.2f}",
        f"{row['contains']:.2f}",
        time,
    ]


def _small(value: float) -> str:
    """Return a figure that may be too small for four places."""
    return f"{value:.4f}" if value >= 0.001 or not value else f"{value:.0e}"
