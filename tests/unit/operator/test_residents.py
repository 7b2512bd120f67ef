from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memos_core import Principal, Right
from memos_core.operator.residents import KEY_OVERHEAD, Residents
from memos_core.tiers.text.resident import Resident

pytestmark = pytest.mark.databases

PER_KEY = 4 * 64 + KEY_OVERHEAD
AMPLE = 1 << 30


def entered(view, owner, name):
    return view.enter(view.find_cube(owner, name).id, Principal(owner), Right.READ)


@pytest.fixture
def seqs(catalog, embedder):
    """Return which memories of a cube are resident; None where the cube is not."""

    def resident_seqs(residents, cube, model=None):
        with catalog.read() as view:
            cube = entered(view, cube.owner, cube.name)
            with residents.using(view, cube, model=model or embedder.identity, dimensions=64) as keys:
                return None if keys is None else sorted(keys.arrays.traits.seqs.tolist())

    return resident_seqs


def test_a_cube_in_use_is_resident_and_follows_its_changes(seqs, add, revise, forget, header):
    residents = Residents(budget=AMPLE)
    one, two = add("one", "two")
    found = [seqs(residents, header)]
    add("three")
    found.append(seqs(residents, header))
    forget(one)
    revise(two, "second")
    found.append(seqs(residents, header))
    assert found == [[1, 2], [1, 2, 3], [2, 3]]


def test_a_change_is_applied_and_not_built_anew(seqs, catalog, add, revise, header, monkeypatch):
    residents = Residents(budget=AMPLE)
    first = add(*map(str, range(20)))[0]
    seqs(residents, header)
    applied = []
    apply = Resident.apply

    def noting(self, rows, **given):
        rows = list(rows)
        applied.append([row.seq for row in rows])
        apply(self, rows, **given)

    monkeypatch.setattr(Resident, "apply", noting)
    revise(first, "another text")
    seqs(residents, header)
    seqs(residents, header)
    assert applied == [[1]]


def test_a_revised_memory_has_its_new_vector_alone(catalog, add, revise, header, embedder):
    residents = Residents(budget=AMPLE)
    memory = add("the harbour", "the market")[0]

    def likeness(query):
        with catalog.read() as view:
            cube = entered(view, "ana", "notes")
            with residents.using(view, cube, model=embedder.identity, dimensions=64) as keys:
                place = int(np.flatnonzero(keys.arrays.traits.seqs == 1)[0])
                return round(float(keys.cosines(embedder.embed_query(query))[place]), 2)

    before = likeness("the harbour")
    revise(memory, "a quiet street")
    assert (before, likeness("a quiet street"), likeness("the harbour") < 0.5) == (1.0, 1.0, True)


def test_a_cube_that_is_larger_than_the_budget_is_not_resident(seqs, add, header):
    add(*map(str, range(500)))
    found = [seqs(Residents(budget=budget), header) for budget in (1000 * PER_KEY, 500 * PER_KEY - 1, 0)]
    assert found == [list(range(1, 501)), None, None]


def test_a_cube_that_outgrows_the_budget_is_resident_no_more(seqs, add, header):
    residents = Residents(budget=400 * PER_KEY)
    add(*map(str, range(100)))
    before = seqs(residents, header)
    for start in range(100, 1000, 100):
        add(*map(str, range(start, start + 100)))
        seqs(residents, header)
    assert (len(before), seqs(residents, header), residents.size() <= residents.budget) == (100, None, True)


def test_the_least_recently_used_cube_gives_way(seqs, add, new_cube):
    cubes = [new_cube(name) for name in "abc"]
    for cube in cubes:
        add(*(f"{cube.name} {n}" for n in range(300)), cube=cube)
    alone = Residents(budget=AMPLE)
    seqs(alone, cubes[0])
    residents = Residents(budget=int(2.5 * alone.size()))
    for number in (0, 1, 0, 2):  # b is the one not used for longest
        seqs(residents, cubes[number])
    kept = {key[0] if isinstance(key, tuple) else key for key in residents._places}
    assert (residents.count(), kept, residents.size() <= residents.budget) == (
        2,
        {cubes[0].id, cubes[2].id},
        True,
    )


def test_what_gave_way_comes_back_complete(seqs, add, new_cube):
    cubes = [new_cube(name) for name in "ab"]
    for cube in cubes:
        add(*(f"{cube.name} {n}" for n in range(300)), cube=cube)
    alone = Residents(budget=AMPLE)
    seqs(alone, cubes[0])
    residents = Residents(budget=int(1.5 * alone.size()))
    found = [len(seqs(residents, cubes[number])) for number in (0, 1, 0, 1)]
    assert (found, residents.count()) == ([300] * 4, 1)


def test_a_reader_with_an_older_view_does_not_set_a_cube_back(seqs, catalog, add, header, embedder):
    residents = Residents(budget=AMPLE)
    add("one")
    with catalog.read() as old:
        cube = entered(old, "ana", "notes")
        add("two")
        newer = seqs(residents, header)
        with residents.using(old, cube, model=embedder.identity, dimensions=64) as keys:
            older = sorted(keys.arrays.traits.seqs.tolist())
    assert (newer, older, seqs(residents, header)) == ([1, 2], [1, 2], [1, 2])


def test_keys_of_another_model_are_never_served(seqs, add, header, embedder):
    residents = Residents(budget=AMPLE)
    add("one")
    found = [seqs(residents, header, model=model) for model in ("other@1", embedder.identity, "other@1")]
    assert found == [[], [1], []]


def test_clearing_forgets_everything_and_nothing_is_lost(seqs, add, header):
    residents = Residents(budget=AMPLE)
    add("one")
    seqs(residents, header)
    residents.clear()
    assert (residents.count(), residents.size(), seqs(residents, header)) == (0, 0, [1])


def test_an_exception_while_keys_are_used_sets_them_free(seqs, catalog, add, header, embedder):
    residents = Residents(budget=AMPLE)
    add("one")
    with catalog.read() as view, pytest.raises(RuntimeError):  # noqa: PT012 - the block is what raises
        cube = entered(view, "ana", "notes")
        with residents.using(view, cube, model=embedder.identity, dimensions=64):
            raise RuntimeError
    with ThreadPoolExecutor(1) as thread:  # another thread, so that a lock held on would show
        assert thread.submit(seqs, residents, header).result(timeout=10) == [1]


def test_eight_threads_read_while_one_writes(seqs, add, new_cube):
    cubes = [new_cube(name) for name in "abcd"]
    for cube in cubes:
        add(*(f"{cube.name} {n}" for n in range(30)), cube=cube)
    residents = Residents(budget=60 * 4 * PER_KEY)

    def read(number):
        if number % 8 == 0:
            add(f"new {number}", cube=cubes[number % 4])
        return len(seqs(residents, cubes[number % 4])) >= 30

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(read, range(64))) == {True}
