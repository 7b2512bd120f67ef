import json
import os

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")

from benchmarks import report
from benchmarks.kv import gpu, ttft
from benchmarks.kv.page_cache import uncached
from benchmarks.kv.random_model import weights_of
from benchmarks.kv.stored import Stored, chain, figures, rows
from benchmarks.kv.ttft_table import rendered, rendered_gpu
from memos_core.segment import segment_header
from memos_core.tiers.kv.hf import HfEngine
from memos_core.vault.blobs import Blobs
from tests import kv_models


@pytest.fixture(scope="module")
def engine():
    model = kv_models.model("Llama", max_position_embeddings=4096)
    engine = HfEngine(model, kv_models.tokenizer())
    yield engine
    engine.close()


@pytest.fixture
def stored(engine, tmp_path):
    made = Stored(engine=engine, blobs=Blobs(tmp_path), headers=chain(engine, tuple(range(60)), [20, 50]))
    made.build()
    return made


def test_the_segments_are_links_of_one_chain(engine):
    ids = tuple(range(60))
    first, second = chain(engine, ids, [20, 50])
    made = segment_header(
        engine.identity, salt="", parent=first.key, start=20, ids=ids[20:50], sources=(), form="exact"
    )
    assert (first.start, first.end, second) == (0, 20, made)


def test_a_build_is_what_is_read_from_its_files(stored):
    read = stored.read()
    pairs = zip(read, stored.states, strict=True)
    assert all(
        got.start == made.start and all(map(lambda a, b: a.equal(b), got.keys, made.keys))
        for got, made in pairs
    )
    stored.forget()
    assert not [each for each in stored.names if stored.blobs.path(each).exists()]


def test_gains_and_uses_are_taken_within_each_round():
    samples = {
        "full": [4.0, 8.0, 6.0],
        "hot": [1.0, 1.0, 3.0],
        "cold": [5.0, 9.0, 6.0],
        "build": [6.0, 7.0, 6.0],
    }
    found = figures(samples)
    assert found["ms"]["full"] == {"p25": 5000.0, "p50": 6000.0, "p75": 7000.0}
    assert found["gain"]["hot"] == {"p25": 3.0, "p50": 4.0, "p75": 6.0}
    assert found["uses_to_repay"] == {"hot": 2.0, "cold": None}


def test_ways_that_disagree_are_told(stored):
    other = [stored.engine.prefill(range(100, 120), [])]
    other.append(stored.engine.prefill([*range(100, 120), *range(200, 230)], other))
    ways = {"full": gpu.Way(list), "wrong": gpu.Way(lambda: other)}
    (row,) = rows(stored, ways, [(7, 8, 9)], rounds=1, warm_up=0)
    ways = {"full": gpu.Way(list), "hot": gpu.Way(lambda: stored.states)}
    (right,) = rows(stored, ways, [(7, 8, 9)], rounds=1, warm_up=0)
    assert (row["same_first_token"], right["same_first_token"]) == (False, True)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no such call")
def test_a_file_that_somebody_has_mapped_stays_in_the_page_cache(stored):
    held = stored.read()
    path = stored.blobs.path(stored.names[0])
    assert (held[0].start, uncached(path)) == (0, False)


def test_a_run_on_the_cpu_becomes_a_page(engine, tmp_path):
    found = ttft.measured(
        engine,
        lengths=[300, 600],
        queries=[8, 16],
        rounds=1,
        runtime_at=(300, 60),
        folder=tmp_path,
        say=lambda _what: None,
    )
    places = [(row["memory_tokens"], row["query_tokens"], row["segments"] > 1) for row in found["rows"]]
    assert places == [(300, 8, True), (300, 16, True), (600, 8, True), (600, 16, True)]
    assert found["runtime"]["memory_tokens"] >= 300
    assert found["runtime"]["same_text"]
    record = {"model": "a tiny one", "dtype": "float32", "threads": 1, "rounds": 1, **found}
    page = report.page({"kv_ttft": json.loads(json.dumps(record))})
    assert "## The first token after a stored prefix" in page
    assert page.count("\n| 300 + ") == 2


def test_what_was_aimed_at_stands_beside_what_was_reached():
    row = {
        "memory_tokens": 1024,
        "query_tokens": 32,
        "gain": {"hot": {"p50": 16.0}, "cold": {"p50": 9.0}},
        "uses_to_repay": {"hot": 1.1, "cold": None},
    }
    aims = ttft._aims([{**row, "query_tokens": 16}, row])
    assert [(each["aim"], each["reached"]) for each in aims] == [
        ("≥ 15", 16.0),
        ("≥ 8", 9.0),
        ("≤ 2", 1.1),
        ("≤ 2", None),
    ]


def test_the_code_for_a_gpu_runs_on_the_cpu(tmp_path, capsys):
    out = tmp_path / "kv_gpu.json"
    given = (
        f"--shape tiny --device cpu --contexts 40,430 --queries 8 --rounds 1 --out {out} --folder {tmp_path}"
    )
    gpu.main(given.split())
    record = json.loads(out.read_text())
    (shape,) = record["shapes"]
    assert [(row["memory_tokens"], row["segments"]) for row in shape["rows"]] == [(40, 1), (430, 2)]
    assert set(shape["rows"][0]["cut_percent"]) == {"hot", "warm", "cold"}
    assert record["command"] == f"python -m benchmarks.kv.gpu {given}"
    assert rendered_gpu(record) in capsys.readouterr().out
    assert "## The same on a GPU" in report.page({"kv_gpu": record})


@pytest.mark.parametrize("given", ["--shape tiny,qwen9", "--shape tiny --device cuda"])
def test_what_cannot_be_run_is_said(given, monkeypatch, capsys):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main(given.split())
    assert (
        "there is no shape qwen9" if "9" in given else "torch sees no GPU here"
    ) in capsys.readouterr().err


def test_the_shapes_are_as_large_as_their_names_say():
    assert [round(weights_of(shape) / 1e9, 1) for shape in ("qwen3-8b", "qwen3-32b")] == [8.2, 32.8]


def test_without_a_row_that_has_an_aim_there_is_no_table_of_aims():
    spread = {"p25": 1.0, "p50": 2.0, "p75": 3.0}
    ways = ("full", "hot", "cached", "cold", "build", "first")
    row = {
        "memory_tokens": 64,
        "query_tokens": 8,
        "memories": 2,
        "segments": 1,
        "ms": dict.fromkeys(ways, spread),
        "took_ms": dict.fromkeys(ways, spread),
        "gain": dict.fromkeys(ways, spread),
        "uses_to_repay": dict.fromkeys(ways),
        "uses_that_repay_the_first": 0.5,
    }
    record = {"model": "m", "dtype": "float32", "threads": 2, "rounds": 3, "from_disk": False}
    told = rendered({**record, "rows": [row], "runtime": row, "aims": []})
    assert "| 64 + 8 | 2.00 (1.00-3.00) |" in told
    assert "never / never" in told
    assert "aim" not in told
    assert "read it as *cached*" in told
