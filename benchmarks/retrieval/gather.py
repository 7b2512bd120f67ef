"""What a run works on: corpora, embedders with a cache, and the cases of both."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.retrieval.cases import Case, cases
from benchmarks.retrieval.corpora import LOCOMO, LONGMEMEVAL, Talk, load
from benchmarks.retrieval.vectors import KeptEmbedder
from memos_core.embed import open_embedder

EMBEDDERS = ("minilm-int8", "minilm", "static")
FITTED_ON = ("minilm-int8", "static")  # whose cases the weights are fitted to
QUESTIONS = {"minilm-int8": 5, "minilm": 0}  # of LongMemEval-S: some 850 texts of 200 tokens each
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """Conversations and cases, by embedder and corpus."""

    embedders: dict[str, KeptEmbedder]
    talks: dict[tuple[str, str], list[Talk]]
    cases: dict[tuple[str, str], list[Case]]

    @property
    def pool(self) -> list[Case]:
        """The cases that weights may be fitted to; those of all embedders where none is for fitting."""
        chosen = [name for name in self.embedders if name in FITTED_ON] or list(self.embedders)
        return [case for (embedder, _), held in self.cases.items() if embedder in chosen for case in held]


def add_arguments(parser: argparse.ArgumentParser, *, embedders: Sequence[str]) -> None:
    """Add what every script here takes."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--cache", type=Path, default=Path(".bench-cache"), help="folder of vectors to keep")
    parser.add_argument(
        "--embedder",
        action="append",
        dest="embedders",
        choices=EMBEDDERS,
        help=f"may be repeated; {', '.join(embedders)} unless given",
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=None,
        help=f"LongMemEval-S questions, a fixed sample, for MiniLM, which reads each for minutes "
        f"({QUESTIONS['minilm-int8']} for minilm-int8, {QUESTIONS['minilm']} for minilm unless given); "
        f"static vectors get all of them",
    )
    parser.set_defaults(embedders_unless_given=list(embedders))


def gathered(arguments: argparse.Namespace) -> Gathered:
    """Read the corpora and embed what is not in the cache."""
    specs: list[str] = arguments.embedders or arguments.embedders_unless_given
    embedders = {spec: KeptEmbedder(open_embedder(spec), arguments.cache) for spec in specs}
    locomo, longmemeval = load(arguments.data, LOCOMO), load(arguments.data, LONGMEMEVAL)
    random.Random(SEED).shuffle(longmemeval)
    talks: dict[tuple[str, str], list[Talk]] = {}
    for spec in specs:
        few = arguments.questions if arguments.questions is not None else QUESTIONS.get(spec)
        talks[spec, LOCOMO] = locomo
        talks[spec, LONGMEMEVAL] = longmemeval if spec == "static" else longmemeval[:few]
    return Gathered(
        embedders=embedders,
        talks=talks,
        cases={
            (spec, corpus): cases(held, embedders[spec]) for (spec, corpus), held in talks.items() if held
        },
    )
