from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from memos_core import IllegalTransition, State
from memos_core.lifecycle import STEPS, Standing, Trigger, advanced, check_writable, diagram, moved

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "life-cycle.md"

G, A, M, R, E, F = (
    State.GENERATED,
    State.ACTIVATED,
    State.MERGED,
    State.ARCHIVED,
    State.EXPIRED,
    State.FROZEN,
)
WRITTEN_DOWN = {  # the table again, by hand, where every guard holds
    Trigger.USE: {G: A},
    Trigger.OVERLAP: {G: M, A: M},
    Trigger.AGE: {G: R, A: R, M: R},
    Trigger.TTL: {G: E, A: E, M: E, R: E},
    Trigger.ACTIVATE: {G: A, M: A},
    Trigger.ARCHIVE: {G: R, A: R, M: R},
    Trigger.RESTORE: {R: A},
    Trigger.FREEZE: {G: F, A: F, M: F},
    Trigger.UNFREEZE: {F: A},
}


def standing(state, trigger):
    return Standing(
        state=state,
        expires_at=NOW if trigger is Trigger.TTL else None,
        rested_since=NOW - 2 * HOUR,
        now=NOW,
        idle=HOUR,
    )


@pytest.mark.parametrize(("state", "trigger"), list(product(State, Trigger)))
def test_every_state_and_trigger_lead_where_the_table_says(state, trigger):
    assert moved(standing(state, trigger), trigger) == WRITTEN_DOWN[trigger].get(state)


@pytest.mark.parametrize(("state", "trigger"), list(product(State, Trigger)))
def test_what_is_not_in_the_table_is_refused_with_both_facts(state, trigger):
    if state in WRITTEN_DOWN[trigger]:
        assert advanced("m1", standing(state, trigger), trigger) == WRITTEN_DOWN[trigger][state]
        return
    with pytest.raises(IllegalTransition) as caught:
        advanced("m1", standing(state, trigger), trigger)
    assert (caught.value.memory_id, caught.value.state, caught.value.verb) == ("m1", state, trigger)


@pytest.mark.parametrize(
    ("expires_at", "to"),
    [(None, None), (NOW + HOUR, None), (NOW, State.EXPIRED), (NOW - HOUR, State.EXPIRED)],
)
def test_only_what_is_overdue_expires(expires_at, to):
    at = Standing(state=State.ACTIVATED, expires_at=expires_at, rested_since=NOW, now=NOW)
    assert moved(at, Trigger.TTL) == to


@pytest.mark.parametrize(("expires_at", "to"), [(None, A), (NOW + HOUR, A), (NOW, None)])
def test_what_is_overdue_is_not_restored(expires_at, to):
    at = Standing(state=State.ARCHIVED, expires_at=expires_at, rested_since=NOW, now=NOW)
    assert moved(at, Trigger.RESTORE) == to


@pytest.mark.parametrize(("idle", "to"), [(None, None), (HOUR, None), (HOUR / 2, R)])
def test_only_what_rested_for_longer_is_archived_by_age(idle, to):
    at = Standing(state=State.ACTIVATED, expires_at=None, rested_since=NOW - HOUR, now=NOW, idle=idle)
    assert moved(at, Trigger.AGE) == to


def test_a_frozen_memory_is_not_written_and_the_error_says_what_to_do():
    with pytest.raises(IllegalTransition, match="copy\\(\\)") as caught:
        check_writable("m1", State.FROZEN, verb="revise")
    assert (caught.value.state, caught.value.verb) == ("frozen", "revise")


@pytest.mark.parametrize("state", [state for state in State if state is not State.FROZEN])
def test_every_other_memory_may_be_written(state):
    assert check_writable("m1", state, verb="revise") is None


def test_nobody_adds_a_step_while_the_program_runs():
    with pytest.raises(TypeError):
        STEPS[State.EXPIRED, Trigger.RESTORE] = STEPS[State.ARCHIVED, Trigger.RESTORE]


def test_the_diagram_in_the_documentation_is_that_of_the_table():
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text(encoding="utf-8")


def test_the_diagram_has_every_step():
    drawn = diagram()
    missing = [
        (state, trigger)
        for (state, trigger), step in STEPS.items()
        if not any(f"{state} --> {step.to}:" in line and trigger in line for line in drawn.splitlines())
    ]
    assert missing == []
