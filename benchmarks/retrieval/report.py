"""Tables on the screen, figures in JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.retrieval.corpora import LOCOMO
from benchmarks.retrieval.fit import PENALTY
from benchmarks.retrieval.gather import FITTED_ON, Gathered
from benchmarks.retrieval.metrics import Row, names
from benchmarks.retrieval.recipes import RECALL, TWELVE, TWELVE_SAME

RESULT = Path(__file__).parents[1] / "results" / "retrieval.json"
Tables = Mapping[tuple[str, str], Sequence[Row]]
_PACKAGES = ("memos-suite-core", "numpy", "scipy", "scikit-learn", "onnxruntime", "pymilvus", "milvus-lite")
_TUNED = (
    "The columns, the penalty, how cases are weighed and the patterns of speech were chosen on these "
    "development data, so the held-out rows are optimistic in that; the weights of each held-out row have "
    "not seen the conversation they score. BM25's k1 and b, and the 60 of RRF, are the usual ones."
)


def show(data: Gathered, tables: Tables) -> None:
    """Print a table per embedder and corpus, and how far recall leads."""
    console = Console(width=None if os.isatty(1) else 132, highlight=False)
    for (embedder, corpus), rows in tables.items():
        unit = "turns" if corpus == LOCOMO else "sessions"
        count = len(data.cases[embedder, corpus])
        table = Table(title=f"{corpus}, {unit}, {count} questions, {embedder}", title_justify="left")
        table.add_column("recipe", no_wrap=True)
        table.add_column("weights", no_wrap=True)
        for name in names(corpus):
            table.add_column(name, justify="right")
        for row in rows:
            figures = [f"{value:.3f}"[1:] if value < 1 else "1.00" for value in row.figures.values()]
            table.add_row(row.name, row.fitted, *figures, style="bold" if row.name == RECALL else None)
        console.print(table)
        console.print(_kinds(next(row for row in rows if row.name == RECALL)))
        for name in (TWELVE, TWELVE_SAME):
            leads = _lead(rows, name)
            told = "  ".join(f"{figure} {mean:+.3f} ±{error:.3f}" for figure, (mean, error) in leads.items())
            console.print(f"{RECALL}, ahead of {name}:\n  {told}")
        console.print()


def _kinds(row: Row) -> Table:
    """Return one recipe's figures by kind of question."""
    table = Table(title=f"{row.name}, by kind of question", title_justify="left")
    for name in ("kind", "questions", *names(row.corpus)):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, figures in row.by_kind.items():
        table.add_row(kind, *(f"{value:g}" for value in figures.values()))
    return table


def _lead(rows: Sequence[Row], other: str) -> dict[str, tuple[float, float]]:
    by_name = {row.name: row for row in rows}
    return by_name[RECALL].ahead_of(by_name[other])


def written(data: Gathered, tables: Tables, *, path: Path = RESULT) -> Path:
    """Write the result; return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_record(data, tables), indent=1) + "\n", encoding="utf-8")
    return path


def _record(data: Gathered, tables: Tables) -> dict[str, Any]:
    return {
        "benchmark": "retrieval",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
        "packages": {name: told for name in _PACKAGES if (told := _version(name))},
        "embedders": {name: embedder.identity for name, embedder in data.embedders.items()},
        "fitted_on": {
            "embedders": [name for name in data.embedders if name in FITTED_ON] or list(data.embedders),
            "held out": "LoCoMo leaves one of two conversations out, LongMemEval-S one of five folds",
            "penalty": PENALTY,
        },
        "tuned": _TUNED,
        "tables": [
            {
                "corpus": corpus,
                "unit": "turn" if corpus == LOCOMO else "session",
                "embedder": embedder,
                "questions": len(data.cases[embedder, corpus]),
                "left_out": sum(talk.left_out for talk in data.talks[embedder, corpus]),
                "rows": [
                    {"recipe": row.name, "weights": row.fitted, **row.figures, "by_kind": row.by_kind}
                    for row in rows
                ],
                "lead": {
                    name: {
                        figure: {"mean": mean, "standard_error": error}
                        for figure, (mean, error) in _lead(rows, name).items()
                    }
                    for name in (TWELVE, TWELVE_SAME)
                },
            }
            for (embedder, corpus), rows in tables.items()
        ],
    }


def _version(name: str) -> str | None:
    """Return a package's version; None where it is run from its source tree and not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the processor's model, where the system tells."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
