from pathlib import Path

from memos_core import MemOS, Message
from tests.unit.cli.conftest import Run


def test_a_lineage_is_drawn_as_a_tree(run: Run, store: Path) -> None:
    with MemOS.open(store) as memos:
        cube = memos.cube("main")
        (said,) = cube.ingest([Message("Mira", "We moved to Lisbon.")], session="s1")
        fact = cube.remember("Mira lives in Lisbon.", made_by="finder@1", derived_from=[said.id])
    drawn = run("lineage", fact.id[:12], "--store", store).out
    told = run("lineage", said.id, "--store", store, "--json").json
    assert [line.strip("│└├─ ").split("  ")[0] for line in drawn.splitlines()] == [
        fact.id[:8], "from", f"{fact.header.descriptive.created_at:%Y-%m-%d %H:%M}", "versions", "1",
        "stands on", said.id[:8],
    ]  # fmt: skip
    assert "finder@1" in drawn.splitlines()[0]
    assert "(derived from)" in drawn.splitlines()[-1]
    assert (told["memory"]["id"], told["descendants"][0]["memory"]["id"]) == (said.id, fact.id)
