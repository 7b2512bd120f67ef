"""A process is killed while it trains: it goes on, and comes to what it would have come to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

from tests.crash import lora_worker

ROOT = Path(__file__).resolve().parents[2]


def killed(folder: Path, *, after: int) -> int:
    """Let a process train until it has told so many steps, and kill it; return the last step told."""
    command = [sys.executable, "-m", "tests.crash.lora_worker", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as worker:
        assert worker.stdout is not None
        told = [int(next(worker.stdout)) for _ in range(after)]
        worker.kill()
    return told[-1]


@pytest.mark.crash
@pytest.mark.slow
def test_a_training_that_is_killed_twice_comes_to_the_same_adapter(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with lora_worker.opened(whole) as memos:
        for text in ("Mira lives in Rome.", "Ben lives in Oslo."):
            memos.cube("crash").remember(text)
    shutil.copytree(whole, broken)
    first = killed(broken, after=8)
    second = killed(broken, after=10)
    steps: list[int] = []
    with lora_worker.opened(broken) as memos:
        resumed = lora_worker.trained(memos, steps)
        files = [path.stat().st_size for path in (broken / "blobs").rglob("*") if path.is_file()]
        kept = memos.export_adapter(resumed, tmp_path / "resumed")[-1]
    with lora_worker.opened(whole) as memos:
        straight = memos.export_adapter(lora_worker.trained(memos), tmp_path / "straight")[-1]
    assert first < second < steps[-1]
    assert steps[0] > 1  # it did not begin anew
    assert kept.read_text() == straight.read_text()  # with the digest of the matrices
    assert files == [resumed.size]
