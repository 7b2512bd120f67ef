"""The record of what adapters know as Markdown tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.latency.table import markdown
from memos_core.adapter import Evaluation, Thresholds, failures

_HEADS = "base,choice,contains,unknown,neutral,control,steps,seconds,MB,gate,cores".split(",")
_WORDS = """People who do not exist, a cube and an adapter each; questions in words that were never
taught. `choice`: the right answer among four is the likeliest. `contains`: the greedy answer has the value in
it. `unknown`: of what nobody told, it says so. `neutral`: perplexity on neutral texts over the base's.
*Control* is `choice` of an adapter trained on wrong answers, of some people only. *Cores* tells on how many,
and whether they did other work meanwhile."""
_WAYS = """The same questions, answered by the base alone, with the adapter and nothing in the prompt, with
the text in the prompt, with its attention states attached (kv), and with text and adapter; medians of prompt
tokens and of seconds to the first token. *Once* is what it takes before the first use, in seconds."""
_EVEN = """From how many uses on the way that takes more once is the cheaper one, by the seconds above; and
the prompt tokens that an adapter saves at each use."""
_STAGES = """One person who is told more and more, the adapter trained anew at each stage: what it knows
of the facts of the first stage, and of all."""
_METHODS = """One person taught by each method and asked the same: `pairs` learns the answers as the rules
word them, `distil` as the model words them with the memory in its prompt."""
_BLENDED = """Adapters put together by `cat`: means over the people whose adapters are on."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the tables."""
    controls = {(row["facts"], row["person"]): row["choice"] for row in record.get("controls", ())}
    people = sorted(record["rows"], key=lambda row: (row["facts"], row["person"]))
    rows = [_with_control(row, controls.get((row["facts"], row["person"]))) for row in people]
    parts = [
        _WORDS.replace("\n", " "),
        markdown(["facts", *_HEADS], [[str(row["facts"]), *_examined(row)] for row in rows]),
        _WAYS.replace("\n", " "),
        markdown(["facts", "way", "contains", "tokens", "seconds", "once"], _ways(people)),
        _EVEN.replace("\n", " "),
        _even(people),
    ]
    if record.get("methods"):
        rows = [[str(row["facts"]), row["method"], *_examined(row)] for row in record["methods"]]
        parts += [_METHODS.replace("\n", " "), markdown(["facts", "method", *_HEADS], rows)]
    if record["blended"]:
        figures = ("adapters", "choice", "contains", "unknown", "neutral")
        rows = [[f"{each[name]:g}" for name in figures] for each in record["blended"]]
        parts += [_BLENDED, markdown(list(figures), rows)]
    if record["stages"]:
        parts += [_STAGES.replace("\n", " "), _stages(record["stages"])]
    return "\n\n".join(parts)


def _with_control(row: dict[str, Any], choice: float | None) -> dict[str, Any]:
    """Return a row with the control that was trained after it, and what the gate says of both."""
    if choice is None:
        return row
    evaluation = Evaluation(**{**row["evaluation"], "control": choice})
    return {**row, "evaluation": asdict(evaluation), "failed": failures(evaluation, Thresholds())}


def _examined(row: dict[str, Any]) -> list[str]:
    found = row["evaluation"]
    control = "" if found["control"] is None else f"{found['control']:.2f}"
    figures = [f"{found[name]:.2f}" for name in ("choice_base", "choice", "contains", "unknown")]
    return [
        *figures,
        f"{found['neutral']:.3f}",
        control,
        str(row["steps"]),
        f"{row['seconds']:,.0f}",
        f"{row['bytes'] / 1e6:.1f}",
        "; ".join(row["failed"]) or "passed",
        row.get("note", ""),
    ]


def _ways(rows: list[dict[str, Any]]) -> list[list[str]]:
    once = {"kv": "KV", "adapter": "LoRA", "both": "LoRA"}
    return [
        [
            str(row["facts"]),
            way,
            f"{way_['contains']:.2f}",
            f"{way_['prompt_tokens']:g}",
            f"{way_['seconds']:.3f}",
            f"{row['costs'][once[way]]['once']:,.1f}" if way in once else "0",
        ]
        for row in rows
        for way, way_ in row["ways"].items()
    ]


def _even(rows: list[dict[str, Any]]) -> str:
    pairs = list(dict.fromkeys(pair for row in rows for pair in row["break_even"]))
    return markdown(
        ["facts", "tokens saved", *pairs],
        [
            [
                str(row["facts"]),
                f"{row['tokens_saved']:g}",
                *(_uses(row["break_even"].get(pair)) for pair in pairs),
            ]
            for row in rows
        ],
    )


def _uses(count: int | None) -> str:
    return "never" if count is None else f"{count:,}"


def _stages(rows: list[dict[str, Any]]) -> str:
    heads = ["stage", "facts", "first: choice", "contains", "all: choice", "contains", "neutral", "seconds"]
    return markdown(
        heads,
        [
            [
                str(row["stage"]),
                str(row["told"]),
                *(f"{row[part][name]:.2f}" for part in ("first", "all") for name in ("choice", "contains")),
                f"{row['all']['neutral']:.3f}",
                f"{row['seconds']:,.0f}",
            ]
            for row in rows
        ],
    )
