import pytest

from memos_core import Cost, Message, Runtime, Sampling, Tier
from memos_core.heat import NEVER, Heat, cooled, expected, likely, rate, usefulness, warmed
from memos_core.scheduler.meter import echoed, machine_id
from memos_core.scheduler.stats import refreshed
from memos_core.testing import ScriptedEngine
from memos_core.vault import meters

DAY = 86_400.0


def test_a_count_halves_in_a_half_life_and_time_never_runs_back():
    heat = warmed(NEVER, 4, now=1000.0, half_life=100.0)
    assert [cooled(heat, now=now, half_life=100.0) for now in (900.0, 1000.0, 1100.0, 1200.0)] == [4, 4, 2, 1]


def test_a_use_in_the_past_counts_as_one_now():
    assert warmed(Heat(1.0, 1000.0), now=500.0) == Heat(2.0, 1000.0)


def test_what_is_expected_is_the_rate_over_a_short_span():
    heat = Heat(30.0, 1000.0)
    assert expected(heat, now=1090.0, span=0.1) == pytest.approx(0.1 * rate(heat, now=1090.0), rel=1e-2)


def test_nothing_is_expected_of_what_was_never_used():
    assert (expected(NEVER, now=5.0, span=DAY), rate(NEVER, now=5.0), likely(0.0)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("counts", "grade"),
    [
        ((0, 0, 0), 0.0),
        ((9, 0, 0), 0.0),
        ((1, 1, 0), 0.5),
        ((9, 9, 0), 0.9),
        ((9, 9, 1), 0.45),
        ((0, 1, 0), 0.5),
    ],
)
def test_usefulness_is_the_share_of_answers_halved_by_each_correction(counts, grade):
    hits, answered, corrected = counts
    assert usefulness(hits=hits, answered=answered, corrected=corrected) == pytest.approx(grade)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("She moved to Lisbon in May.", True),
        ("Lisbon, since May", True),
        ("I do not know where Mira lives.", False),
        ("", False),
    ],
)
def test_an_answer_says_what_a_memory_says_if_it_repeats_its_own_words(answer, said):
    assert echoed("Mira moved to Lisbon in May.", answer, asked="Where did Mira move?") is said


def test_a_machine_has_one_name():
    assert (len(machine_id()), machine_id()) == (16, machine_id())


def cost(write, samples, at=0.0):
    return Cost(
        tier=Tier.KV, model="m", unit="token", write=write, read=0.0, size=1.0, samples=samples, at=at
    )


def test_what_is_measured_anew_moves_what_is_known_by_its_weight():
    assert refreshed(cost(1.0, 300.0), cost(3.0, 100.0, at=7.0)) == cost(1.5, 400.0, at=7.0)


def test_a_long_past_does_not_outweigh_what_is_measured_now():
    found = refreshed(cost(1.0, 1e12), cost(2.0, 1e5))
    assert found.write == pytest.approx(1.5)


def test_what_was_not_measured_changes_nothing():
    known = cost(1.0, 10.0)
    assert (refreshed(None, known), refreshed(known, cost(9.0, 0.0))) == (known, known)


# --- in a store -----------------------------------------------------------------------------------


def meter_of(cube):
    cube._core.recaller.write_uses()
    with cube._core.catalog.read() as view:
        return meters.of_cubes(view.connection, [cube.id])[cube.id]


def test_a_cube_is_as_warm_as_it_is_asked(cube, clock):
    cube.remember("The harbour")
    for _ in range(4):
        cube.recall("harbour")
    meter_of(cube)
    clock.move(days=1)
    cube.recall("harbour")
    found = meter_of(cube)
    assert (found.asks, found.uses) == (5, Heat(3.0, clock().timestamp()))


def test_changes_between_questions_are_counted(cube, clock):
    cube.remember("The harbour")
    cube.recall("harbour")
    meter_of(cube)
    for number in range(3):
        cube.remember(f"Ship {number}")
    cube.recall("ship")
    assert meter_of(cube).changes == Heat(3.0, clock().timestamp())


def test_a_question_to_a_model_warms_the_cube_though_nothing_is_recalled(cube):
    cube.remember("The harbour is closed.")
    with Runtime(ScriptedEngine()) as runtime:
        runtime.chat("Is it open?", cube)
    assert meter_of(cube).asks == 1


def test_an_answer_makes_what_it_says_useful(cube):
    said, unsaid = cube.remember("The harbour is closed."), cube.remember("Anselm bakes bread.")
    with Runtime(ScriptedEngine(lambda _prompt: "No, the harbour is closed.")) as runtime:
        runtime.chat("Can we sail?", cube, sampling=Sampling(max_tokens=100))
    cube._core.recaller.write_uses()
    assert [cube.get(each.id).header.behaviour.usefulness for each in (said, unsaid)] == [0.5, 0.0]


def test_a_correction_after_a_use_halves_it(cube):
    memory = cube.remember("The harbour is closed.")
    cube.recall("harbour")
    cube.credit([memory.id], "The harbour is closed.")
    cube.revise(memory.id, "The harbour is open.")
    cube._core.recaller.write_uses()
    assert cube.get(memory.id).header.behaviour.usefulness == 0.25


def test_a_correction_before_any_use_is_none(cube):
    memory = cube.remember("The harbour is closed.")
    cube.revise(memory.id, "The harbour is open.")
    cube.recall("harbour")
    cube.credit([memory.id], "The harbour is open.")
    cube._core.recaller.write_uses()
    assert cube.get(memory.id).header.behaviour.usefulness == 0.5


def test_a_successor_corrects_what_was_used(cube):
    old = cube.remember("The harbour is closed.")
    cube.recall("harbour")
    cube.credit([old.id], "The harbour is closed.")
    cube.link(cube.remember("The harbour is open.").id, "supersedes", old.id)
    cube._core.recaller.write_uses()
    assert cube.get(old.id).header.behaviour.usefulness == 0.25


def test_erased_memories_leave_no_row_in_the_meter(memos, cube, catalog_rows):
    memory = cube.remember("The harbour")
    cube.recall("harbour")
    cube._core.recaller.write_uses()
    before = len(catalog_rows(memos)["memory_meters"])
    cube.recall("harbour")
    cube.forget(memory.id)
    cube._core.recaller.write_uses()
    memos.forget_cube("notes")
    rows = catalog_rows(memos)
    assert (before, rows["memory_meters"], rows["cube_meters"]) == (1, [], [])


def test_reading_writes_nothing_before_a_batch_is_full(memos, cube, catalog_rows):
    cube.ingest([Message("Ana", "The harbour")])
    memos.drain()
    rows = catalog_rows(memos)
    cube.recall("harbour")
    assert catalog_rows(memos) == rows


def test_what_was_measured_once_is_not_measured_again(memos, monkeypatch):
    with Runtime(ScriptedEngine()) as runtime:
        first = memos.calibrate(runtime)
        computed = runtime.engine.computed
        again = memos.calibrate(runtime)
        assert (again, runtime.engine.computed) == (first, computed)
        memos.calibrate(runtime, anew=True)
        assert runtime.engine.computed > computed
    assert [(each.tier.value, each.unit) for each in first] == [("kv", "token"), ("text", "memory")]


def test_use_refreshes_what_was_measured_and_stats_show_it(memos, cube):
    cube.remember("The harbour is closed.")
    with Runtime(ScriptedEngine()) as runtime:
        memos.calibrate(runtime)
        before = next(each for each in memos.stats().costs if each.tier is Tier.KV)
        runtime.build(cube)
        cube.recall("harbour")
        tokens = runtime.prefix(cube).tokens
    after = {each.tier: each for each in memos.stats().costs}
    assert after[Tier.KV].samples == before.samples + tokens
    assert (after[Tier.RESIDENT].samples, after[Tier.RESIDENT].write > 0) == (1.0, True)
