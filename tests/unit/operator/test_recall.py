from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memos_core import Message, Where
from memos_core.query import estimate_tokens

MAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture(params=[1 << 30, 0], ids=["resident", "proposed"])
def cube(request, open_memos):
    return open_memos(resident_bytes=request.param).cube("notes")


def test_an_empty_cube_gives_an_empty_answer(cube):
    assert (len(cube.recall("anything")), cube.recall("anything", budget=50).render()) == (0, "")


def test_the_best_hit_comes_first_and_scores_fall(cube):
    cube.ingest([Message("Ana", text) for text in ("We ate fish.", "The bicycle is red.", "Rain again.")])
    found = cube.recall("Which colour has the bicycle?")
    scores = [hit.score for hit in found]
    assert (found.texts[0], scores) == ("The bicycle is red.", sorted(scores, reverse=True))


def test_k_hits_are_returned_and_no_more(cube):
    cube.ingest([Message("Ana", f"turn {number}") for number in range(20)])
    assert [len(cube.recall("turn", k=k)) for k in (1, 7, 20, 100)] == [1, 7, 20, 20]


def test_a_session_is_looked_at_alone(cube):
    for session in ("s1", "s2"):
        cube.ingest([Message("Ana", f"The harbour of {session}")], session=session)
    assert cube.recall("harbour", session="s2").texts == ["The harbour of s2"]


def test_what_supersedes_stands_above_what_it_supersedes(cube):
    old = cube.remember("Mira lives in Lisbon, in the old town of Lisbon.")
    new = cube.remember("Moved to the north.")
    cube.remember("Something else about Lisbon")
    cube.link(new.id, "supersedes", old.id)
    ids = [memory.id for memory in cube.recall("Where in Lisbon does Mira live?", k=3).memories]
    assert ids.index(new.id) == ids.index(old.id) - 1


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"sensitivity": 9}, Where(max_sensitivity=3)),
        ({"kind": "rumour"}, Where(kinds=["fact"])),
        ({"priority": -9}, Where(min_priority=0)),
        ({"at": MAY}, Where(since=datetime(2026, 1, 1, tzinfo=UTC))),
    ],
    ids=str,
)
@pytest.mark.parametrize("budget", [None, 200])
def test_no_link_brings_in_what_a_filter_leaves_out(cube, fields, where, budget):
    old = cube.remember("The safe code is 1234")
    new = cube.remember("It became 9876", **fields)
    cube.link(new.id, "supersedes", old.id)
    assert cube.recall("safe code", where=where, budget=budget).memories == [cube.get(old.id)]


@pytest.mark.parametrize("way", ["forgotten", "expired"])
def test_a_successor_that_is_gone_is_not_put_in(cube, clock, way):
    old = cube.remember("The safe code is 1234")
    new = cube.remember("It became 9876", ttl=timedelta(hours=1))
    cube.link(new.id, "supersedes", old.id)
    if way == "forgotten":
        cube.forget(new.id)
    else:
        clock.move(hours=1)
    assert cube.recall("safe code").texts == ["The safe code is 1234"]


def test_a_long_chain_of_successors_is_followed_to_the_newest(cube):
    chain = cube.ingest([Message("Ana", f"note {number}") for number in range(30)])
    first = cube.remember("The harbour is closed")
    for older, newer in zip([first, *chain], chain, strict=False):
        cube.link(newer.id, "supersedes", older.id)
    assert cube.recall("Is the harbour closed?", k=1).memories[0].id == chain[-1].id


def test_an_answer_brings_the_question_that_makes_it_readable(cube):
    cube.ingest(
        [Message("Bo", "Where do you keep the spare key?"), Message("Ana", "Under the blue flower pot.")]
    )
    cube.ingest([Message("Ana", f"filler number {number}") for number in range(90)], session="other")
    found = cube.recall("blue flower pot", k=1, budget=60)
    assert [(hit.memory.text, hit.context) for hit in found] == [
        ("Under the blue flower pot.", False), ("Where do you keep the spare key?", True),
    ]  # fmt: skip


def test_a_companion_that_a_filter_leaves_out_stays_away(cube):
    cube.ingest(
        [Message("Bo", "Where do you keep the spare key?"), Message("Ana", "Under the blue flower pot.")]
    )
    found = cube.recall("blue flower pot", k=1, budget=60, where=Where(speakers=["Ana"]))
    assert found.texts == ["Under the blue flower pot."]


def test_a_successor_never_falls_behind_for_want_of_budget(cube):
    old = cube.remember("The office is in Lisbon.")
    new = cube.remember("The office is in Porto since last summer, on the third floor above the old bakery.")
    cube.link(new.id, "supersedes", old.id)
    assert [cube.recall("office", budget=budget).texts for budget in (20, 200)] == [[], [new.text, old.text]]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(budget=st.integers(1, 300), k=st.integers(1, 30))
def test_a_recall_with_a_budget_renders_whole_within_it(cube, budget, k):
    if not cube.count():
        turns = [
            "Is it far?" if n % 3 == 0 else f"The way is long {'and winding ' * (n % 5)}{n}."
            for n in range(30)
        ]
        cube.ingest([Message("Ana", text) for text in turns])
    found = cube.recall("How long is the way?", k=k, budget=budget)
    rendered = found.render(budget)
    assert (len(rendered.splitlines()), estimate_tokens(rendered) <= budget) == (len(found), True)


def test_uses_are_counted_and_written_down(cube, clock):
    memory = cube.remember("The harbour")
    cube.recall("harbour")
    cube.recall("harbour")
    cube._core.recaller.write_uses()
    behaviour = cube.get(memory.id).header.behaviour
    assert (behaviour.hits, behaviour.last_used) == (2, clock.now)


def test_uses_of_what_was_forgotten_are_passed_over(cube):
    memory, kept = cube.remember("The harbour"), cube.remember("Another harbour")
    cube.recall("harbour")
    cube.forget(memory.id)
    cube._core.recaller.write_uses()
    assert cube.get(kept.id).header.behaviour.hits == 1


def test_a_recall_succeeds_though_its_uses_cannot_be_written(cube, monkeypatch):
    from memos_core import BackendError

    def full(_uses):
        raise BackendError("the disk is full")

    monkeypatch.setattr("memos_core.vault.uses.USES_HELD", 1)
    memory = cube.remember("The harbour")
    with monkeypatch.context() as patch:
        patch.setattr(cube._core.catalog, "count_uses", full)
        texts = cube.recall("harbour").texts
    cube._core.recaller.write_uses()
    assert (texts, cube.get(memory.id).header.behaviour.hits) == (["The harbour"], 1)
