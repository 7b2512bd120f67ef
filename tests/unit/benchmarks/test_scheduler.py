import json

from benchmarks import report
from benchmarks.scheduler import jobs


def test_the_figures_are_taken_written_and_shown(tmp_path, monkeypatch):
    target = tmp_path / "scheduler_jobs.json"
    monkeypatch.setattr(jobs, "RESULT", target)
    monkeypatch.setattr(jobs, "CLAIMS", 20)
    monkeypatch.setattr("sys.argv", ["jobs", "--jobs", "400", "--kills", "1"])
    jobs.main()
    record = json.loads(target.read_text(encoding="utf-8"))
    assert (record["kills"], record["jobs_lost"], record["done_per_second_by_threads"].keys()) == (
        1,
        0,
        {"1", "2", "4"},
    )
    assert "## Durable work" in report.page({"scheduler_jobs": record})
