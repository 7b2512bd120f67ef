import json

import pytest

from benchmarks import report

MACHINE = {"cpu": "Some CPU", "cores": 2, "python": "3.11.7", "versions": {"sqlite": "3.40.1"}}
SPREAD = {"n": 3, "p5": 1.0, "p25": 1.5, "p50": 2.0, "p75": 2.5, "p95": 3.25, "p99": 4.0}
REOPENED = {
    "open_s": 0.02,
    "first_recall_s": 0.5,
    "rss_imported": 50 << 20,
    "rss_first_recall": 80 << 20,
    "rss_of_default_embedder": 100 << 20,
}
LATENCY = {
    "command": "python -m benchmarks.latency --sizes 1000",
    "at": "2026-11-22T08:00:00+00:00",
    "machine": MACHINE,
    "embedder": "minilm@1",
    "sizes": {
        "1000": {
            "memories": 1000,
            "ms": {"recall": SPREAD},
            "ratios": {"recall / (numpy scan + FTS5)": 1.5, "embedding's share of an ingest of 256": 0.93},
            "load": {"ms_per_memory_without_embedding": 0.5, "drain_ms_per_memory": 1.25},
            "batch": {"ms_per_memory_without_embedding": 0.25},
            "reopen": {"resident": REOPENED, "not_resident": REOPENED},
            "disk": {"bytes_per_memory": {"catalog.db": 2826.0, "milvus.db": 973.0}},
        }
    },
}
RETRIEVAL = {
    "date": "2026-11-22",
    "machine": {"cpu": "Some CPU", "cores": 2, "python": "3.11.7"},
    "packages": {"numpy": "2.4"},
    "tables": [
        {
            "corpus": "LoCoMo",
            "unit": "turn",
            "embedder": "static",
            "questions": 1536,
            "rows": [
                {"recipe": "BM25", "weights": "", "R@10": 0.551, "by_kind": {}},
                {"recipe": "recall", "weights": "held out", "R@10": 0.8, "by_kind": {}},
            ],
            "lead": {"the twelve": {"R@10": {"mean": 0.01, "standard_error": 0.002}}},
        }
    ],
}


def test_a_latency_record_becomes_a_column_per_size_with_the_aims_beside():
    page = report.page({"latency": LATENCY})
    assert "| recall / (numpy scan + FTS5) | 1.50 | ≤ 3 from 10,000 |" in page
    assert "| `recall`, k = 10, the query's vector cached | 2.00 / 3.25 |" in page
    assert "| catalog on disk, bytes a memory | 2,826 |" in page


def test_the_machine_the_date_and_the_command_stand_above_a_table():
    page = report.page({"latency": LATENCY})
    assert (
        "`python -m benchmarks.latency --sizes 1000`, 2026-11-22: Some CPU, 2 cores, Python 3.11.7, "
        "sqlite 3.40.1." in page
    )


def test_what_recall_returned_stands_out_among_the_recipes():
    page = report.page({"retrieval": RETRIEVAL})
    assert "### LoCoMo, turns, 1,536 questions, static" in page
    assert "| BM25 | 0.551 |\n| **recall (held out)** | 0.800 |" in page
    assert "`recall` beside *the twelve* (mean difference, standard error): R@10 +0.010 ± 0.002." in page


def test_a_record_nobody_has_a_renderer_for_is_a_table_of_its_values():
    record = {"measured": "2026-11-22", "machine": "Some CPU", "kills": 1234, "of": [{"a": 1, "b": {"c": 2}}]}
    page = report.page({"something_else": record})
    assert "## Something else\n\n`python -m benchmarks.something_else`, 2026-11-22: Some CPU." in page
    assert "| kills | 1,234 |" in page
    assert "| a | b |\n| --- | ---: |\n| 1 | c 2 |" in page


def test_the_page_is_made_of_every_json_in_the_folder(tmp_path, monkeypatch):
    (tmp_path / "latency.json").write_text(json.dumps(LATENCY))
    (tmp_path / "sigkill.json").write_text(json.dumps({"kills": 200, "machine": MACHINE}))
    target = tmp_path / "benchmarks.md"
    monkeypatch.setattr("sys.argv", ["report", "--results", str(tmp_path), "--page", str(target)])
    report.main()
    assert [line for line in target.read_text().splitlines() if line.startswith("## ")] == [
        "## How long it takes",
        "## Kills without a loss",
    ]


def test_no_records_give_a_page_that_says_how_to_make_them():
    assert "python -m benchmarks.report" in report.page({})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "True"),
        (1234, "1,234"),
        (0.5, "0.5"),
        (1667.5, "1,668"),
        ({"a_b": 1}, "a b 1"),
        ([1, "x"], "1; x"),
    ],
)
def test_plain_values_are_told_in_words(value, told):
    assert report._value(value) == told


@pytest.mark.parametrize("name", report._GUIDES)
def test_a_guide_shows_what_was_measured(name):
    guide, brief = report._GUIDES[name]
    record = json.loads((report.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    text = guide.read_text(encoding="utf-8")
    assert text == report.filled(text, name, brief(record)), "run python -m benchmarks.report"
    assert brief(record) in text


def test_a_table_is_put_between_its_comments():
    guide = "a\n<!-- table: x -->\nold\n<!-- end of table: x -->\nb"
    assert report.filled(guide, "x", "new") == guide.replace("old", "new")
