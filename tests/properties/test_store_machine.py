"""The store against a dict, by two principals, through crashes, outages and changes of the clock.

`STORE_EXAMPLES` and `STORE_STEPS` lengthen the run; `benchmarks/robustness/state_machine.py` does so.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.properties.machine import StoreMachine

TestStore = pytest.mark.slow(StoreMachine.TestCase)
TestStore.settings = settings(
    max_examples=int(os.environ.get("STORE_EXAMPLES", "25")),
    stateful_step_count=int(os.environ.get("STORE_STEPS", "30")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
