"""The records of the times to a first token as Markdown tables: on the CPU, and on a GPU."""

from __future__ import annotations

from typing import Any

from benchmarks.latency.table import markdown

_CPU = """Milliseconds to the first token, medians with quartiles; a gain is the median of the rounds' own
ratios to *full*, in which everything is computed. All ways of a row were run in turn, in the same run, and
gave the same first token. The states are computed in segments as the Runtime cuts them. *Hot*: the states are
in RAM and are copied into the call's own cache. On the CPU the device's memory is the host's, so that *warm*
is the same thing as hot and has no column. *Cached*: nothing is in RAM but the files' bytes, in the system's
page cache; checksums are compared. *Cold*: {cold}. *Build* computes the memories, packs
the states and writes them down durably; it is repaid after so many uses, each of which saves full - hot
or full - cold."""
_FROM_DISK = (
    "likewise, with the page cache emptied of the files before (what lies below it is not ours to empty)"
)
_NOT_FROM_DISK = "likewise; this system does not say whether the page cache was emptied, read it as *cached*"
_GPU = """Milliseconds to the first token, medians with quartiles, with random weights in the shape of the
model: times do not depend on what the weights say. *Hot*: the states are on the device. *Warm*: they are in
{host}, and the copy to the device is counted. *Cold*: they are in files{cold}; reading them, comparing
checksums and the copy to the device are counted. The cut is the share of a full prefill's time that is saved;
the reference publishes {low} to {high} % on its long rows, with neither build nor load counted. *Build*
computes, packs and writes durably; it is repaid after so many uses of the kind."""


def rendered(record: dict[str, Any]) -> str:
    """Return the words and the tables of a run on the CPU."""
    cold = _FROM_DISK if record["from_disk"] else _NOT_FROM_DISK
    names = ("full", "hot", "cached", "cold", "build")
    head = ["memory + query, tokens", *names, *_GAINS, "repaid, hot / cold"]
    table = [
        [
            _place(row),
            *(_spread(row["ms"][name]) for name in names),
            *_gains(row),
            _uses(row, ("hot", "cold")),
        ]
        for row in record["rows"]
    ]
    parts = [
        f"{record['model']}, {record['dtype']}, {record['threads']} threads, {record['rounds']} rounds.",
        _CPU.format(cold=cold).replace("\n", " "),
        markdown(head, table),
    ]
    if record["aims"]:
        aims = [[each["what"], each["aim"], _uses_of(each["reached"])] for each in record["aims"]]
        parts.append(markdown(["at 1,024 + 32", "aim", "reached"], aims))
    return "\n\n".join([*parts, _runtime(record["runtime"])])


def brief(record: dict[str, Any]) -> str:
    """Return the rows of 32 query tokens as a guide shows them: what it takes, and what it gains."""
    table = [
        [
            f"{row['memory_tokens']:,}",
            *(f"{_short(row['ms'][name]['p50'])} ms" for name in ("full", "hot", "cold", "build")),
            *(f"{row['gain'][name]['p50']:.1f}x" for name in ("hot", "cold")),
        ]
        for row in record["rows"]
        if row["query_tokens"] == 32
    ]
    head = ["tokens of memories", "all computed", "from RAM", "from the disk", "to build"]
    return markdown([*head, "gain, RAM", "gain, disk"], table)


_GAINS = ("hot, gain", "cached, gain", "cold, gain")


def _gains(row: dict[str, Any]) -> list[str]:
    return [f"{row['gain'][name]['p50']:.1f}x" for name in ("hot", "cached", "cold")]


def _runtime(row: dict[str, Any]) -> str:
    names = ("full", "first", "hot", "cold")
    table = [
        [name, _spread(row["ms"][name]), _spread(row["took_ms"][name]), _gain(row, name)] for name in names
    ]
    table.append(["build", "", _spread(row["took_ms"]["build"]), ""])
    words = (
        f"### Through the whole Runtime\n\n{row['memories']} memories of a cube on the disk, "
        f"{row['memory_tokens']:,} tokens in {row['segments']} segments, {row['query_tokens']} tokens behind "
        "them; answers of one token, so that *the whole call* is the time to it and what follows. *Full* "
        "reuses nothing; *first* finds nothing stored, and stores what it made when the answer is told; "
        "*hot* finds the states in RAM; *cold* is a runtime without any, which reads the files. What *first* "
        f"takes longer than *full* is repaid by {row['uses_that_repay_the_first']:.2f} hot prompts, a build "
        f"ahead of need by {_uses(row, ('hot',))}."
    )
    return f"{words}\n\n{markdown(['prompt', 'first token', 'the whole call', 'gain'], table)}"


def _gain(row: dict[str, Any], name: str) -> str:
    return f"{row['gain'][name]['p50']:.1f}x" if name in row["gain"] else ""


# --- on a GPU --------------------------------------------------------------------------------


def rendered_gpu(record: dict[str, Any]) -> str:
    """Return the words, and a table per shape."""
    low, high = record["reference_cut_percent"]
    cold = "" if record["from_disk"] else " (perhaps in the page cache: this system does not tell)"
    host = "pinned memory of the host" if record["pinned"] else "memory of the host"
    parts = [
        f"{record['device']}, {record['dtype']}, {record['attention']}, {record['rounds']} rounds.",
        _GPU.format(host=host, cold=cold, low=low, high=high).replace("\n", " "),
    ]
    names = ("full", "hot", "warm", "cold", "build")
    ways = ("hot", "warm", "cold")
    head = ["memory + query, tokens", *names, "cut, %, hot / warm / cold", "repaid, hot / warm / cold"]
    for shape in record["shapes"]:
        table = [
            [_place(row), *(_spread(row["ms"][name]) for name in names), _cuts(row, ways), _uses(row, ways)]
            for row in shape["rows"]
        ]
        parts += [
            f"### {shape['shape']}, {shape['parameters'] / 1e9:.1f} billion weights",
            markdown(head, table),
        ]
    return "\n\n".join(parts)


def _cuts(row: dict[str, Any], ways: tuple[str, ...]) -> str:
    return " / ".join(f"{row['cut_percent'][name]:.1f}" for name in ways)


# --- cells -----------------------------------------------------------------------------------


def _place(row: dict[str, Any]) -> str:
    return f"{row['memory_tokens']:,} + {row['query_tokens']}"


def _spread(values: dict[str, float]) -> str:
    return f"{_short(values['p50'])} ({_short(values['p25'])}-{_short(values['p75'])})"


def _uses(row: dict[str, Any], ways: tuple[str, ...]) -> str:
    return " / ".join(_uses_of(row["uses_to_repay"][name]) for name in ways)


def _uses_of(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def _short(value: float) -> str:
    """Return a figure with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
