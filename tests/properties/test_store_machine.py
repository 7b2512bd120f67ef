"""The store against a dict, by two principals, through crashes, outages and changes of the clock.

`STORE_EXAMPLES` and `STORE_STEPS` lengthen the run; `benchmarks/robustness/state_machine.py` does so.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

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
