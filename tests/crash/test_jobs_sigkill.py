"""A worker is killed at random moments: no acknowledged job is lost, and each has its effect exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.job_campaign import JobCampaign
from tests.crash.queue_campaign import QueueCampaign
from tests.postgres_server import Server


@pytest.mark.crash
@pytest.mark.slow
def test_every_effect_is_had_exactly_once_whenever_a_worker_is_killed(tmp_path: Path) -> None:
    campaign = JobCampaign(tmp_path / "store", seed=2026)
    for _ in range(4):
        campaign.kill()
    done = campaign.settle()
    assert (done["jobs"] >= done["acknowledged"] > 0, campaign.kills) == (True, 4)


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.server
def test_every_effect_is_had_exactly_once_whichever_of_several_workers_is_killed(postgres: Server) -> None:
    with QueueCampaign(postgres, seed=2026) as campaign:
        for _ in range(6):
            campaign.kill()
        done = campaign.settle()
    assert (done["jobs"] >= done["acknowledged"] > 0, campaign.kills) == (True, 8)
