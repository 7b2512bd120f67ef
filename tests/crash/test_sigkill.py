"""A process is killed in the middle of its work: nothing acknowledged is lost, nothing half-done is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.campaign import Campaign, Kept, Ledger, Nursery

KILLS = 12


@pytest.mark.crash
@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_dozen_kills(tmp_path: Path) -> None:
    with Nursery() as nursery:
        campaign = Campaign(tmp_path, nursery, seed=1)
        for _ in range(KILLS):
            campaign.round()
    assert sum(campaign.ledger.done.values()) > KILLS, "the workers were killed before they did anything"


A, B = Kept("a", ("one",), 1), Kept("b", ("two",), 1)


@pytest.mark.parametrize(
    "left",
    [
        pytest.param([A], id="an acknowledged memory is lost"),
        pytest.param([A, replace(B, texts=("two", "three"))], id="a version nobody wrote"),
        pytest.param([A, B, Kept("c", ("x",), 1, "s")], id="half of a batch"),
        pytest.param([B, A], id="another order"),
    ],
)
def test_the_ledger_refuses(left: list[Kept]) -> None:
    ledger = Ledger(kept={"a": A, "b": B}, begun={"begin": "ingest", "texts": ["x", "y"], "session": "s"})
    with pytest.raises(AssertionError):
        ledger.settle(left)


@pytest.mark.parametrize(
    ("left", "outcome"),
    [
        ([A, B], "under way: undone"),
        ([A, B, Kept("c", ("x",), 1, "s"), Kept("d", ("y",), 1, "s")], "under way: done"),
    ],
)
def test_the_ledger_takes_a_change_as_a_whole_or_not_at_all(left: list[Kept], outcome: str) -> None:
    ledger = Ledger(kept={"a": A, "b": B}, begun={"begin": "ingest", "texts": ["x", "y"], "session": "s"})
    assert ledger.settle(left) == outcome
