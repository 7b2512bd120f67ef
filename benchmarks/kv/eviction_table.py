"""The record of the policies of eviction as Markdown tables: a table per trace, a row per budget."""

from __future__ import annotations

from typing import Any

from benchmarks.latency.table import markdown

_COLUMNS = {
    "seconds_per_byte": "**seconds per byte**",
    "lru": "LRU",
    "lfu": "LFU",
    "lru_without_chains": "LRU, chains unknown",
    "next_use_known": "next use known",
    "bound": "no policy exceeds",
}
_WORDS = """A simulation: real `Levels`, driven by a trace of prompts, with the seconds of a measured cost
law. A figure is the share of the seconds that a level without a budget would save; a budget is in bytes,
and as a share of all bytes that are ever built. All but one column let a link leave only after those that
stand on it. *Next use known* is a policy that reads ahead in the trace; it is greedy and not the optimum.
*No policy exceeds* is the bound PFOO-L. *Lost* is what our policy does not save, LRU's loss being 1."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the tables."""
    parts = [_WORDS.replace("\n", " ")]
    for trace in record["traces"]:
        parts.append(f"### {trace['trace'].capitalize()} trace, {trace['note']}")
        parts.append(
            f"{trace['prompts']:,} prompts, {trace['uses']:,} uses of {trace['segments']:,} segments of "
            f"{trace['bytes'] / 1e9:.1f} GB in all; {trace['possible_seconds']:,} s to save."
        )
        parts.append(markdown(["budget", *_COLUMNS.values(), "lost"], [_row(row) for row in trace["rows"]]))
    return "\n\n".join(parts)


def _row(row: dict[str, Any]) -> list[str]:
    budget = f"{row['budget'] / 1e6:,.0f} MB ({row['share']:.0%})"
    saved = row["saved"]
    lost = (1 - saved["seconds_per_byte"]) / (1 - saved["lru"]) if saved["lru"] < 1 else float("nan")
    return [budget, *(f"{saved[name]:.3f}" for name in _COLUMNS), f"{lost:.2f}"]
