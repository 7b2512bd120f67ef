"""The record of the planner's policies as Markdown tables: a table per trace, a row per budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.latency.table import markdown

_COLUMNS = {
    "cost": "**cost**",
    "predicting": "cost, predicting",
    "lru": "LRU",
    "lfu": "LFU",
    "similarity": "similarity",
}
AIM = 0.85
BASELINES = ("lru", "lfu", "similarity")
_WORDS = """A simulation: `plan()` decides, and only the seconds and the bytes are real. *Saved* are the
seconds that a policy spares against computing everything at each question, less what it spends: a
second of work that nobody waits for (states and keys made ahead, training) counts as its price, a
second of writing states to the disk in full. Figures are shares of what an oracle saves that knows when
each cube is asked next; it keeps what saves most seconds a byte until then and makes what lacks right
before, so no policy without foresight can have all of it. *Cost, predicting* is the policy by cost with the
predictor at work: who is expected next stays, and their states are computed ahead, in the pause before,
where the predictor is sure enough to break even. What would leave the disk at once is not written there,
whatever the policy. *Ahead* are seconds of states and keys made ahead by the policy by cost. A budget is
a share of what all cubes take in the end, in RAM and on the disk."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the tables."""
    known = record["constants"]
    measured = (
        f"Writing states takes {1000 * known['put_seconds_per_mb']:.2g} ms a MB, loading keys "
        f"{1e6 * known['key_load_seconds']:.2g} µs a memory; states are computed as by {known['engine']}; "
        f"training takes {known['train_seconds_per_token']:.2g} s a token; idle work costs "
        f"{known['idle_price']:g} of waiting."
    )
    parts = [_WORDS.replace("\n", " "), measured]
    if record.get("grid"):
        means = [row["mean"] for row in record["grid"]]
        parts.append(
            "How far ahead and how much in reserve were tried on the traces named so: "
            f"{len(record['grid'])} settings with means from {min(means):.3f} to {max(means):.3f}."
        )
    parts += [_aim(record["traces"], name) for name in ("cost", "predicting")]
    for trace in record["traces"]:
        parts.append(f"### {trace['trace'][0].upper()}{trace['trace'][1:]} ({trace['split']})")
        parts.append(
            f"{trace['asked']:,} questions to {trace['cubes']} cubes, {trace['written']:,} writings; "
            f"{trace['without']:,.0f} s if nothing is kept."
        )
        head = ["budget", *_COLUMNS.values(), "oracle saves", "ahead", "trained"]
        parts.append(markdown(head, [_row(row) for row in trace["rows"]]))
    return "\n\n".join(parts)


def _aim(traces: Sequence[dict[str, Any]], name: str) -> str:
    """Say on how many budgets of each kind of trace the aim was reached, and how far behind at worst."""
    said = []
    for split in dict.fromkeys(trace["split"] for trace in traces):
        rows = [row["of_oracle"] for trace in traces if trace["split"] == split for row in trace["rows"]]
        reached = sum(row[name] >= AIM for row in rows)
        behind = max(max(row[other] for other in BASELINES) - row[name] for row in rows)
        said.append(
            f"{split}: {reached} of {len(rows)}, at worst {max(behind, 0.0):.3f} behind the best baseline"
        )
    return f"{_COLUMNS[name]} reaches {AIM} of the oracle's saving, by kinds of traces: {'; '.join(said)}."


def _row(row: dict[str, Any]) -> list[str]:
    books = row["books"]["cost"]
    return [
        f"{row['share']:.0%}, {row['disk'] / 1e6:,.0f} MB",
        *(f"{row['of_oracle'][name]:.3f}" for name in _COLUMNS),
        f"{row['saved']['oracle']:,.0f} s",
        f"{books['prefilled'] + books['loaded']:,.0f} s",
        f"{books['trained']:,.0f} s",
    ]
