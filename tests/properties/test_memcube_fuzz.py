"""Whatever a file holds, loading it ends: with a cube, or with a typed error and not a trace."""

from __future__ import annotations

import pytest

from tests.properties.memcube_campaign import Campaign


@pytest.mark.slow
def test_thousands_of_broken_files_are_loaded_or_refused(tmp_path):
    with Campaign(tmp_path, seed=2026) as campaign:
        campaign.rounds(3000)
    assert sum(campaign.outcomes.values()) == 3000
    assert campaign.outcomes["FormatError"] > 1000
    assert campaign.outcomes["loaded"] > 50


def test_a_crash_would_be_seen(tmp_path, monkeypatch):
    def broken(*_args, **_given):
        raise ZeroDivisionError

    monkeypatch.setattr("memos_core.interchange.survey.record_rows", broken)
    with Campaign(tmp_path, seed=1) as campaign, pytest.raises(ZeroDivisionError):
        campaign.rounds(200)


def test_a_file_outside_would_be_seen(tmp_path, monkeypatch):
    with Campaign(tmp_path, seed=1) as campaign:
        (tmp_path / "outside").write_text("x")
        with pytest.raises(AssertionError, match="outside"):
            campaign.check()
