"""The record of what adapters know as Markdown tables."""

from __future__ import annotations

from typing import Any

from benchmarks.latency.table import markdown

_WORDS = """People who do not exist, a cube and an adapter each; questions in words that were never
taught. `choice`: the right answer among four is the likeliest. `contains`: the greedy answer has the value in
it. `unknown`: of what nobody told, it says so. `neutral`: perplexity on neutral texts over the base's.
*Control* is `choice` of an adapter trained on wrong answers."""
_WAYS = """The same questions, answered by the base alone, with the adapter and nothing in the prompt, with
the text in the prompt, and with both; medians of prompt tokens and of seconds to the first token, nothing
attached."""
_BLENDED = """Adapters put together by `cat`: means over the people whose adapters are on."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the tables."""
    heads = ["facts", "base", "choice", "contains", "unknown", "neutral", "control", "steps", "seconds", "MB"]
    parts = [
        _WORDS.replace("\n", " "),
        markdown([*heads, "gate"], [_examined(row) for row in record["rows"]]),
        _WAYS.replace("\n", " "),
        markdown(["facts", "way", "contains", "tokens", "seconds"], _ways(record["rows"])),
    ]
    if record["blended"]:
        figures = ("adapters", "choice", "contains", "unknown", "neutral")
        rows = [[f"{each[name]:g}" for name in figures] for each in record["blended"]]
        parts += [_BLENDED, markdown(list(figures), rows)]
    return "\n\n".join([*([record["note"]] if record["note"] else []), *parts])


def _examined(row: dict[str, Any]) -> list[str]:
    found = row["evaluation"]
    control = "" if found["control"] is None else f"{found['control']:.2f}"
    figures = [f"{found[name]:.2f}" for name in ("choice_base", "choice", "contains", "unknown")]
    return [
        str(row["facts"]),
        *figures,
        f"{found['neutral']:.3f}",
        control,
        str(row["steps"]),
        f"{row['seconds']:,.0f}",
        f"{row['bytes'] / 1e6:.1f}",
        "; ".join(row["failed"]) or "passed",
    ]


def _ways(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            str(row["facts"]),
            way,
            f"{way_['contains']:.2f}",
            f"{way_['prompt_tokens']:g}",
            f"{way_['seconds']:.2f}",
        ]
        for row in rows
        for way, way_ in row["ways"].items()
    ]
