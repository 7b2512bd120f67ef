from datetime import timedelta

import pytest
from sqlalchemy import select, update

from memos_core import Principal, State
from memos_core.vault import outbox, schema
from memos_core.vault.outbox import LEASE, claim, owed, owed_memories, release, settle, truth

pytestmark = pytest.mark.databases

ANA = Principal("ana")
SECOND = timedelta(seconds=1)


@pytest.fixture
def claimed(catalog, clock):
    def claim_as(by, *, limit=99):
        with catalog.connection() as connection:
            return claim(connection, by=by, now=clock.now, limit=limit)

    return claim_as


@pytest.fixture
def settled(catalog, embedder):
    def settle_as(by, debts, told):
        with catalog.connection() as connection:
            return settle(connection, debts, told, by=by, model=embedder.identity)

    return settle_as


def revise(catalog, header, memory, text):
    with catalog.write(ANA) as tx:
        tx.revise(tx.open(header.id), memory.id, changes={"text": text}, keys=None)


def debt(catalog):
    with catalog.read() as view:
        return owed(view.connection)


def test_debts_are_claimed_oldest_first_and_once(add, claimed):
    memories = add("one", "two", "three")
    first, second, nothing = claimed("a", limit=2), claimed("b"), claimed("c")
    ids = [each.memory_id for each in (*first, *second)]
    assert (ids, nothing) == ([memory.id for memory in memories], [])


@pytest.mark.parametrize(
    ("passed", "free"),
    [
        (LEASE - SECOND, False),
        (LEASE, True),
        (timedelta(days=400), True),
        (-SECOND, True),  # set back: a lease further ahead than any lease can be is nobody's
        (timedelta(days=-400), True),
        (timedelta(0), False),
    ],
    ids=str,
)
def test_a_lease_holds_until_it_runs_out_or_the_clock_is_set_back(add, claimed, clock, passed, free):
    add("one")
    claimed("a")
    clock.now += passed
    assert bool(claimed("b")) is free


def test_a_claim_counts_the_attempt_and_leaves_other_leases_alone(add, catalog, claimed, clock):
    add("one", "two", "three")
    first = claimed("a", limit=1)
    with catalog.connection() as connection:  # the middle one is with somebody else
        connection.execute(
            update(schema.outbox)
            .where(schema.outbox.c.seq == 2)
            .values(lease_by="x", lease_until=clock.now + LEASE)
        )
        release(connection, [first[0].seq], by="a")
    claimed("b")
    with catalog.read() as view:
        found = view.connection.execute(
            select(schema.outbox.c.lease_by, schema.outbox.c.attempts).order_by(schema.outbox.c.seq)
        ).all()
    assert [tuple(row) for row in found] == [("b", 2), ("x", 0), ("b", 1)]


def test_the_truth_is_what_is_present_now(add, catalog, header, embedder):
    kept, revised, erased = add("kept", "old", "erased", tags=("t",), session="s1", sensitivity=2, priority=3)
    revise(catalog, header, revised, "new")
    with catalog.write(ANA) as tx:
        tx.erase(tx.open(header.id), erased.id)
    with catalog.read() as view:
        found = truth(view.connection, [kept.id, revised.id, erased.id, "unknown"], model=embedder.identity)
    entry = found[kept.id]
    assert {memory_id: (each.version, each.text) for memory_id, each in found.items()} == {
        kept.id: (1, "kept"), revised.id: (2, "new"),
    }  # fmt: skip
    assert (entry.kind, entry.session, entry.at, entry.sensitivity, entry.priority) == (
        "fact", "s1", kept.at, 2, 3,
    )  # fmt: skip
    assert header.id not in entry.cube


@pytest.mark.parametrize("state", [State.ARCHIVED, State.EXPIRED])
def test_what_is_out_of_sight_does_not_belong_in_the_index(add, catalog, embedder, state):
    memory = add("one")[0]
    with catalog.write(ANA) as tx:
        tx.connection.execute(update(schema.memories).values(state=state.value))
    with catalog.read() as view:
        assert truth(view.connection, [memory.id], model=embedder.identity) == {}


def test_what_was_told_and_still_holds_is_settled(add, catalog, claimed, settled):
    one, two = add("one", "two")
    assert (settled("a", claimed("a"), {one.id: 1, two.id: 1}), debt(catalog)) == (2, 0)


def test_a_revision_between_telling_and_settling_leaves_the_debt(add, catalog, header, claimed, settled):
    memory = add("one")[0]
    debts = claimed("a")
    revise(catalog, header, memory, "two")
    first = settled("a", debts, {memory.id: 1})
    again = settled("b", claimed("b"), {memory.id: 2})
    assert (first, again, debt(catalog)) == (0, 2, 0)  # released at once: nobody waits for the lease


def test_an_erasure_between_telling_and_settling_leaves_the_debt(add, catalog, header, claimed, settled):
    memory = add("one")[0]
    debts = claimed("a")
    with catalog.write(ANA) as tx:
        tx.erase(tx.open(header.id), memory.id)
    assert (settled("a", debts, {memory.id: 1}), debt(catalog)) == (0, 2)
    assert (settled("b", claimed("b"), {memory.id: None}), debt(catalog)) == (2, 0)


def test_a_payer_that_was_overtaken_settles_nothing(add, catalog, claimed, settled, clock):
    memory = add("one")[0]
    slow = claimed("slow")
    clock.now += LEASE
    claimed("fast")
    assert (settled("slow", slow, {memory.id: 1}), debt(catalog)) == (0, 1)


def test_what_a_payer_tells_after_its_time_is_owed_anew(add, catalog, header, claimed, settled, clock):
    memory = add("one")[0]
    slow = claimed("slow")
    revise(catalog, header, memory, "two")
    clock.now += LEASE
    assert (settled("fast", claimed("fast"), {memory.id: 2}), debt(catalog)) == (2, 0)
    assert (settled("slow", slow, {memory.id: 1}), debt(catalog)) == (0, 1)  # it told an old truth, and last
    assert (settled("fast", claimed("fast"), {memory.id: 2}), debt(catalog)) == (1, 0)


def test_what_is_told_of_the_erased_after_its_time_is_owed_anew(
    add, catalog, header, claimed, settled, clock
):
    memory = add("one")[0]
    slow = claimed("slow")
    with catalog.write(ANA) as tx:
        tx.erase(tx.open(header.id), memory.id)
    clock.now += LEASE
    assert (settled("fast", claimed("fast"), {memory.id: None}), debt(catalog)) == (2, 0)
    assert (settled("slow", slow, {memory.id: 1}), debt(catalog)) == (0, 1)


def test_a_payer_gives_back_its_own_leases_only(add, catalog, claimed):
    add("one")
    debts = claimed("a")
    with catalog.connection() as connection:
        release(connection, [each.seq for each in debts], by="b")
    nothing = claimed("c")
    with catalog.connection() as connection:
        release(connection, [each.seq for each in debts], by="a")
    assert (nothing, claimed("c")) == ([], debts)


def test_debt_is_counted_by_cube_and_named_once_a_memory(add, catalog, header):
    memory = add("one")[0]
    revise(catalog, header, memory, "two")
    with catalog.write(ANA) as tx:
        other = tx.create_cube("other")
    add("elsewhere", cube=other)
    with catalog.read() as view:
        found = (
            owed(view.connection),
            owed(view.connection, cube_id=header.id),
            owed_memories(view.connection, header.id, limit=9),
        )
    assert found == (3, 2, [memory.id])


def test_more_debts_than_one_statement_takes_are_settled(add, catalog, claimed, settled):
    memories = add(*map(str, range(1200)))
    debts = claimed("a", limit=5000)
    assert (settled("a", debts, {memory.id: 1 for memory in memories}), debt(catalog)) == (1200, 0)


def test_the_lease_outlasts_a_slow_batch():
    assert timedelta(seconds=30) <= outbox.LEASE
