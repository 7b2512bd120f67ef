from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from memos_core import NotFound, Principal
from memos_core.vault import schema
from memos_core.vault.catalog import utc_now
from memos_core.vault.uses import Counted

pytestmark = pytest.mark.databases

ANA = Principal("ana")


def found(times):
    return Counted(found=Counter(times))


def test_the_present_moment_knows_its_zone():
    assert utc_now().utcoffset() is not None


def test_uses_are_added_up_and_erased_memories_passed_over(catalog, header, add, clock):
    memory = add("one")[0]
    catalog.count_uses(found({1: 2, 99: 5}))
    clock.move(hours=1)
    catalog.count_uses(found({1: 1}))
    with catalog.read() as view:
        behaviour = view.memory(header, memory.id).header.behaviour
    assert (behaviour.hits, behaviour.last_used) == (3, clock.now)


def test_using_a_memory_is_no_change_of_the_cube(catalog, header, add):
    add("one")
    catalog.count_uses(found({1: 1}))
    with catalog.read() as view:
        assert view.find_cube("ana", "notes").change == 1


def test_the_index_is_told_nothing_by_a_refused_write(catalog, header):
    with pytest.raises(NotFound), catalog.write(Principal("bob")) as tx:
        tx.open(header.id)
    with catalog.read() as view:
        assert view.connection.execute(select(schema.cubes.c.change)).scalar_one() == 0


def test_eight_threads_write_one_after_the_other(catalog, header, add):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: add(str(number)), range(40)))
    with catalog.read() as view:
        found = (view.count(), view.find_cube("ana", "notes").change)
    assert found == (40, 40)
