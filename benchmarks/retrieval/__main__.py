"""Measure how well recall finds; print tables and write `benchmarks/results/retrieval.json`.

Every row is computed here, on the development parts of LoCoMo and LongMemEval-S, by the library's
own modules; the rows named "recall" are what `cube.recall` returned from a real store.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.retrieval.corpora import missing
from benchmarks.retrieval.gather import EMBEDDERS, add_arguments, gathered
from benchmarks.retrieval.recipes import rows
from benchmarks.retrieval.report import RESULT, show, written


def main() -> int:
    """Run the benchmark; return 0, also where there is no data to run it on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    add_arguments(parser, embedders=EMBEDDERS)
    parser.add_argument("--quick", action="store_true", help="static vectors only; writes no result")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the result is written")
    arguments = parser.parse_args()
    if lacking := missing(arguments.data):
        print(f"skipped: {', '.join(lacking)} not found in {arguments.data}; name the folder with --data")
        return 0
    if arguments.quick:
        arguments.embedders = ["static"]
    data = gathered(arguments)
    tables = {}
    for embedder, corpus in data.cases:
        print(f"· {embedder}, {corpus}", file=sys.stderr, flush=True)
        tables[embedder, corpus] = rows(data, embedder, corpus)
    if not arguments.quick:
        print(f"written: {written(data, tables, path=arguments.out)}")
    show(data, tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
