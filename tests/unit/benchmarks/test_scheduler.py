import json

import pytest

from benchmarks import report
from benchmarks.scheduler import jobs
from tests.postgres_server import require_postgres


@pytest.mark.slow
@pytest.mark.server
def test_the_figures_are_taken_written_and_shown(tmp_path, monkeypatch):
    require_postgres()
    target = tmp_path / "scheduler_jobs.json"
    monkeypatch.setattr(jobs, "RESULT", target)
    monkeypatch.setattr(jobs, "CLAIMS", 20)
    monkeypatch.setattr("sys.argv", ["jobs", "--jobs", "400", "--kills", "2"])
    jobs.main()
    record = json.loads(target.read_text(encoding="utf-8"))
    assert [row["jobs"] for row in record["rates"]] == [400] * 3
    assert [row["done_per_second_by_threads"].keys() for row in record["rates"]] == [{"1", "2", "4"}] * 3
    assert [row["kills"] for row in record["kills"]] == [1, 3]  # the last of several are killed, too
    page = report.page({"scheduler_jobs": record})
    assert ("## Durable work" in page, "| Procrastinate on PostgreSQL |" in page) == (True, True)
