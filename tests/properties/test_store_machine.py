"""The store against a dict, by two principals, through crashes, outages and changes of the clock.

The whole machine, and the small ones of `themes.py`, which look for planted bugs elsewhere: here
nothing is planted, and they find nothing. `STORE_EXAMPLES` and `STORE_STEPS` lengthen the run of the
whole one; `benchmarks/robustness/state_machine.py` does so.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.properties import themes
from tests.properties.machine import StoreMachine
from tests.properties.store import PostgresStore


class PostgresMachine(StoreMachine):
    """The same on PostgreSQL."""

    make_store = PostgresStore


@pytest.fixture(scope="module", autouse=True)
def stores(request: pytest.FixtureRequest) -> None:
    """Where the stores of the second machine are."""
    if any("TestPostgresStore" in item.nodeid for item in request.session.items):
        PostgresStore.postgres = request.getfixturevalue("postgres")


TestStore = pytest.mark.slow(StoreMachine.TestCase)
TestPostgresStore = pytest.mark.slow(PostgresMachine.TestCase)
TestStore.settings = settings(
    max_examples=int(os.environ.get("STORE_EXAMPLES", "25")),
    stateful_step_count=int(os.environ.get("STORE_STEPS", "30")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestPostgresStore.settings = settings(TestStore.settings, max_examples=TestStore.settings.max_examples // 5)


@pytest.mark.slow
@pytest.mark.parametrize("machine", themes.THEMES, ids=lambda machine: machine.__name__)
def test_a_theme_finds_nothing_where_nothing_is_planted(machine: type[themes.AtHome]) -> None:
    if machine is themes.Idle:  # its steps are the longest ones
        themes.hunt(machine, rounds=1, steps=16)
    else:
        themes.hunt(machine, rounds=2)


def test_every_rule_has_a_theme() -> None:
    assert set().union(*(machine.does for machine in themes.THEMES)) == {*themes.RULES}
