"""The catalog on PostgreSQL beside SQLite: writing, reading, several processes, and how well words are found.

`python -m benchmarks.postgres [--memories 5000] [--rounds 60] [--data ../shared/data]` starts a server as the
tests do, prints a table and writes `benchmarks/results/postgres.json`. The embedder is the hashing twin at
384 dimensions and the index the one in memory: what differs is the catalog. The server syncs every commit,
as SQLite does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from benchmarks.latency.corpus import Corpus
from benchmarks.latency.machine import machine
from benchmarks.latency.timing import Subject, interleaved
from benchmarks.retrieval import corpora
from memos_core import MemCube, MemOS, Message
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.tiers.text.lexical import terms
from memos_core.vault.catalog import Catalog
from memos_core.vault.engine import catalog_url
from memos_core.vault.schema import lexical
from tests.postgres_server import Server, postgres_server

RESULT = Path(__file__).parent / "results" / "postgres.json"
DIMENSIONS = 384
DEPTHS = (20, 50, 200)
METHOD = (
    "Samples are paired; milliseconds are medians, a ratio is the median over the rounds. The server is on "
    "the same machine, over a socket, and syncs every commit. Found: the share of the LoCoMo development "
    "questions' evidence (turns) among the first so many that the full text of each proposes: each "
    "conversation in a cube of its own, then all of them in one cube with ten of LongMemEval-S. "
    "`ts_rank` is PostgreSQL's own ranking over the same words."
)
RANKED = """
SELECT rowid FROM lexical, to_tsquery('simple', :query) AS q
WHERE cube = :cube AND words @@ q ORDER BY ts_rank(words, q) DESC, rowid LIMIT :limit
"""
VECTORS = (
    "ALTER TABLE lexical ADD COLUMN words tsvector GENERATED ALWAYS AS "
    "(to_tsvector('simple', terms)) STORED; CREATE INDEX ON lexical USING gin (words); ANALYZE"
)
OTHERS = 10  # conversations of LongMemEval-S beside those of LoCoMo
WRITER = """
import sys
from memos_core import MemOS
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.index import IndexSlot
twin = InMemoryIndex(dimensions=384)
IndexSlot._milvus = lambda *_: twin
folder, url, name, count = sys.argv[1:]
embedder = HashEmbedder(dimensions=384)
with MemOS.open(folder, catalog=url, index="http://127.0.0.1:1", embedder=embedder) as memos:
    cube = memos.as_principal(name).cube("notes")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        cube.remember(f"{name} notes thing number {number}")
    print("done", flush=True)
    sys.stdin.readline()
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--memories", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument("--writes", type=int, default=100)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--note", default="", help="what should be known of this run")
    options.add_argument("--result", type=Path, default=RESULT)
    given = options.parse_args()
    with postgres_server(durable=True) as server, tempfile.TemporaryDirectory() as folder:
        record = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "server": server.execute("SHOW server_version")[0][0],
            "memories": given.memories,
            "rounds": given.rounds,
            "embedder": f"hashing, {DIMENSIONS} dimensions",
            "method": METHOD,
            "note": given.note,
            "verbs": verbs(server, Path(folder), memories=given.memories, rounds=given.rounds),
            "writers": [writers(server, Path(folder), processes=n, writes=given.writes) for n in (1, 2, 4)],
            "words": [
                *words(server, Path(folder), given.data, together=False),
                *words(server, Path(folder), given.data, together=True),
            ],
        }
    for rows in (record["verbs"], record["writers"], record["words"]):
        for row in rows:
            print(" ".join(f"{name}={value}" for name, value in row.items()))
    given.result.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


# --- what the verbs cost ------------------------------------------------------------------------


def verbs(server: Server, folder: Path, *, memories: int, rounds: int) -> list[dict[str, Any]]:
    corpus = Corpus(seed=1)
    with ExitStack() as undo:
        cubes = {
            name: undo.enter_context(_opened(folder / name, server if name == "postgres" else None)).cube(
                "talk"
            )
            for name in ("sqlite", "postgres")
        }
        far = {
            name: undo.enter_context(
                _opened(folder / f"far {name}", server if name == "postgres" else None, 0)
            )
            for name in cubes
        }
        for cube in (*cubes.values(), *(memos.cube("talk") for memos in far.values())):
            for session in corpus.sessions(memories):
                cube.ingest(session.messages, session=session.name)
        questions = corpus.questions(rounds + 3, stream=1)
        subjects = {}
        for name, cube in cubes.items():
            for verb, run in _verbs(cube, far[name].cube("talk"), questions).items():
                subjects[f"{verb}/{name}"] = Subject(run)
        samples = interleaved(subjects, rounds=rounds)
    found = []
    for verb in dict.fromkeys(name.split("/")[0] for name in subjects):
        sqlite, postgres = samples[f"{verb}/sqlite"], samples[f"{verb}/postgres"]
        ratio = statistics.median(b / a for a, b in zip(sqlite, postgres, strict=True))
        row = {"verb": verb, "sqlite_ms": _ms(sqlite), "postgres_ms": _ms(postgres), "ratio": round(ratio, 2)}
        found.append(row)
    return found


def _verbs(cube: MemCube, far: MemCube, questions: Sequence[str]) -> dict[str, Callable[[int], object]]:
    first = cube.list(limit=1)[0].id
    batch = [[f"turn {number} of round {turn}" for turn in range(20)] for number in range(len(questions))]
    return {
        "remember": lambda number: cube.remember(f"a statement of round {number}, kept for good"),
        "ingest, 20 turns": lambda number: cube.ingest(
            [Message("Ada", each) for each in batch[number]], session=f"round {number}"
        ),
        "get": lambda _: cube.get(first),
        "list, 20": lambda _: cube.list(limit=20),
        "recall, resident": lambda number: cube.recall(questions[number], k=10),
        "recall, not resident": lambda number: far.recall(questions[number], k=10),
    }


def _opened(folder: Path, server: Server | None, resident: int = 512 << 20) -> MemOS:
    return MemOS.open(
        folder,
        catalog=None if server is None else server.url(server.fresh()),
        embedder=HashEmbedder(dimensions=DIMENSIONS),
        index=InMemoryIndex(dimensions=DIMENSIONS),
        resident_bytes=resident,
    )


def _ms(samples: Sequence[float]) -> float:
    return round(1000 * statistics.median(samples), 2)


# --- several processes --------------------------------------------------------------------------


def writers(server: Server, folder: Path, *, processes: int, writes: int) -> dict[str, Any]:
    """Return how fast so many processes write one statement after the other, each into a cube of its own."""
    url, place = server.url(server.fresh()), folder / f"writers {processes}"
    children = []
    for number in range(processes):
        order = [sys.executable, "-c", WRITER, str(place), url, f"writer {number}", str(writes)]
        children.append(subprocess.Popen(order, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        _told(children[-1])
    begin = time.perf_counter()
    for child in children:
        _tell(child)
    for child in children:
        _told(child)
    taken = time.perf_counter() - begin
    for child in children:
        child.communicate("\n")
    return {
        "processes": processes,
        "statements": processes * writes,
        "per_second": processes * writes / taken,
    }


def _tell(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        child.stdin.write("\n")
        child.stdin.flush()


def _told(child: subprocess.Popen[str]) -> None:
    if child.stdout is None or not child.stdout.readline():
        raise RuntimeError("a writer failed; its error is above")


# --- how well words are found -------------------------------------------------------------------


def words(server: Server, folder: Path, data: Path, *, together: bool) -> list[dict[str, Any]]:
    """Return which share of the evidence each full text has among its first proposals."""
    talks = corpora.load(data, corpora.LOCOMO)
    found: list[dict[str, Any]] = []
    url = catalog_url(server.url(server.fresh()))
    sqlite, postgres = Catalog(folder / f"words{together}.db"), Catalog(url)
    others = corpora.load(data, corpora.LONGMEMEVAL)[:OTHERS] if together else []
    firsts, turns = _filled([sqlite, postgres], [*talks, *others], together=together)
    server.execute(VECTORS, database=str(url.database))
    ways = {
        "FTS5, the store's statistics": lambda cube, asked, limit: _proposed(sqlite, cube, asked, limit),
        "postings, the cube's statistics": lambda cube, asked, limit: _proposed(postgres, cube, asked, limit),
        "ts_rank": lambda cube, asked, limit: _ranked(postgres, cube, asked, limit),
    }
    for name, ask in ways.items():
        shares: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
        begin = time.perf_counter()
        for asked, cube, gold in _questions(talks, firsts, together=together):
            ranked = ask(cube, asked, max(DEPTHS))
            for depth in DEPTHS:
                shares[depth].append(len(gold.intersection(ranked[:depth])) / len(gold))
        taken = 1000 * (time.perf_counter() - begin) / len(shares[DEPTHS[0]])
        figures = {f"found_in_{depth}": round(statistics.mean(each), 4) for depth, each in shares.items()}
        found.append(
            {
                "full_text": name,
                "turns_in_a_cube": turns if together else turns // len(talks),
                "questions": len(shares[DEPTHS[0]]),
                **figures,
                "ms": taken,
            }
        )
    sqlite.close()
    postgres.close()
    return found


def _filled(
    catalogs: Sequence[Catalog], talks: Sequence[corpora.Talk], *, together: bool
) -> tuple[list[int], int]:
    """Write the words of every turn; return the number of each talk's first turn, and how many there are."""
    firsts, rows = [], []
    for number, talk in enumerate(talks):
        firsts.append(len(rows) + 1)
        for session in talk.sessions:
            for message in session.messages:
                said = " ".join(terms(f"{message.speaker} {message.text}"))
                rows.append({"rowid": len(rows) + 1, "cube": _cube(number, together=together), "terms": said})
    for catalog in catalogs:
        with catalog.connection() as connection:
            connection.execute(insert(lexical), rows)
    return firsts, len(rows)


def _cube(number: int, *, together: bool) -> str:
    return "all" if together else f"talk{number}"


def _questions(
    talks: Sequence[corpora.Talk], firsts: Sequence[int], *, together: bool
) -> Iterator[tuple[list[str], str, set[int]]]:
    for number, (talk, first) in enumerate(zip(talks, firsts, strict=False)):
        for question in talk.questions:
            if asked := terms(question.text):
                yield asked, _cube(number, together=together), {first + turn for turn in question.gold}


def _proposed(catalog: Catalog, cube: str, asked: Sequence[str], limit: int) -> list[int]:
    with catalog.read() as view:
        return [seq for seq, _ in catalog.dialect.matches(view.connection, [cube], asked, limit=limit)]


def _ranked(catalog: Catalog, cube: str, asked: Sequence[str], limit: int) -> list[int]:
    with catalog.read() as view:
        given = {"query": " | ".join(asked), "cube": cube, "limit": limit}
        return list(view.connection.execute(text(RANKED), given).scalars())


if __name__ == "__main__":
    main()
