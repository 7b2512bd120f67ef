"""The KV tier against computing everything; then bugs are planted, and the machine has to find each.

Planted: a prompt shows what is hidden, a change of grants leaves its segments, a segment that is
hidden is listed, a change leaves its segments servable, an erasure leaves the files, an erasure leaves the
RAM, a key that forgets the readers, what changed meanwhile is kept all the same, a damaged file is
served, a memory is left out of the prompt, a state is cut short.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import true

from memos_core.activation import plan
from memos_core.testing import ScriptedEngine
from memos_core.tiers.kv import container
from memos_core.tiers.kv.levels import Levels
from memos_core.vault import artifacts, statements
from memos_core.vault.blobs import Blobs
from tests.properties.kv_machine import KVMachine
from tests.properties.themes import hunt

pytestmark = pytest.mark.slow

TestKV = KVMachine.TestCase
TestKV.settings = settings(
    max_examples=int(os.environ.get("STORE_EXAMPLES", "15")),
    stateful_step_count=int(os.environ.get("STORE_STEPS", "30")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def erasure_leaves_the_artifacts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(artifacts, "outdate", lambda *_args, **_given: 0)


def erasure_leaves_the_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Blobs, "delete", lambda *_args: True)


def erasure_leaves_the_ram(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Levels, "drop", lambda *_args: 0)


def the_key_forgets_the_readers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "access_group", lambda *_args, **_given: "everybody")


def what_changed_meanwhile_is_kept(patch: pytest.MonkeyPatch) -> None:
    present = artifacts._present
    patch.setattr(artifacts, "_present", lambda *args, **given: present(*args, **given) or {})


def damage_is_served(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(container, "_check_sum", lambda *_args: None)


def a_memory_is_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "within", lambda memories, _budget: list(memories)[:-1])


def a_state_is_cut_short(patch: pytest.MonkeyPatch) -> None:
    prefill = ScriptedEngine.prefill
    patch.setattr(ScriptedEngine, "prefill", lambda self, ids, base: prefill(self, ids[:-1], base))


def what_is_hidden_is_shown(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(statements, "visible_to", lambda _access: true())


def grants_leave_the_segments(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(artifacts, "outdate_cube", lambda *_args, **_given: 0)


def hidden_segments_are_listed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(artifacts, "_shown", lambda _cube: true())


BUGS: dict[Callable[[pytest.MonkeyPatch], None], int] = {
    erasure_leaves_the_artifacts: 0,
    erasure_leaves_the_files: 0,
    erasure_leaves_the_ram: 0,
    the_key_forgets_the_readers: 0,
    what_changed_meanwhile_is_kept: 0,
    damage_is_served: 6,
    a_memory_is_left_out: 0,
    a_state_is_cut_short: 0,
    what_is_hidden_is_shown: 0,
    grants_leave_the_segments: 0,
    hidden_segments_are_listed: 32,
}
"""Each bug with the round of the hunt to begin with: one of the first in which it shows."""


@pytest.mark.parametrize(("plant", "first"), BUGS.items(), ids=[plant.__name__ for plant in BUGS])
def test_the_machine_finds(
    plant: Callable[[pytest.MonkeyPatch], None], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever it is that shows
        hunt(KVMachine, rounds=20, first=first)
