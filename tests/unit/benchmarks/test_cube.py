import json

from benchmarks import cube, report


def test_the_figures_are_taken_written_and_shown(tmp_path, monkeypatch):
    target = tmp_path / "cube.json"
    words = ["cube", "--sizes", "40", "--rounds", "2", "--changed", "5", "--result", str(target)]
    monkeypatch.setattr("sys.argv", words)
    cube.main()
    record = json.loads(target.read_text(encoding="utf-8"))
    row = record["rows"][0]
    assert (row["memories"], 0 < row["snapshot_bytes"] < 200_000, all(row.values())) == (40, True, True)
    assert "## A cube through time" in report.page({"cube": record})
