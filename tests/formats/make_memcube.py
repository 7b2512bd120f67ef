"""Write the golden `.memcube` files anew: `python -m tests.formats.make_memcube`."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from memos_core import Entry, MemOS, Message, SigningKey, Terms
from memos_core.testing import HashEmbedder, InMemoryIndex

GOLDEN = Path(__file__).parent / "memcube"
KEY = SigningKey(bytes(range(32)))
PASSPHRASE = "açaí at noon"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def main() -> None:
    """Write a small cube with one of everything, plain, signed and sealed."""
    GOLDEN.mkdir(exist_ok=True)
    given = {"embedder": HashEmbedder(dimensions=16), "index": InMemoryIndex(dimensions=16)}
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(folder, principal="ana", clock=lambda: NOON, **given) as memos,
    ):
        cube = memos.cube("golden")
        home = cube.remember("Mira lives in Porto.", tags=["home"], at=NOON)
        old = cube.remember("Mira lives in Lisbon.")
        cube.revise(old.id, "Mira lived in Lisbon.", expected=1)
        cube.link(home.id, "supersedes", old.id)
        cube.ingest([Message("Bo", "Olá! 你好 👋", id="m1"), Message("Ana", "Hello.")], session="s1")
        found = Entry(key="k", data={"n": [1, None, "ü"]}, texts=["salt"])
        cube.records.put([found, Entry(key="bare", data={})])
        terms = Terms(licence="CC0-1.0", note="for tests")
        cube.dump(GOLDEN / "plain.memcube", terms=terms, overwrite=True)
        cube.dump(GOLDEN / "signed.memcube", sign=KEY, overwrite=True)
        cube.dump(GOLDEN / "sealed.memcube", sign=KEY, passphrase=PASSPHRASE, overwrite=True)
        told = [
            {
                "id": memory.id,
                "text": memory.text,
                "versions": [revision.text for revision in cube.history(memory.id)],
                "sources": [[source.speaker, source.text] for source in cube.sources(memory.id)],
                "links": [[link.relation, link.target] for link in memory.header.behaviour.lineage],
            }
            for memory in cube.list()
        ]
    (GOLDEN / "told.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
