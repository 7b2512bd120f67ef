from datetime import timedelta

import pytest

from memos_core.cube import SYSTEM
from memos_core.errors import BackendError
from memos_core.segment import Origin
from memos_core.vault import artifacts

pytestmark = pytest.mark.databases


@pytest.fixture
def keep(memos, cube):
    """Store an artifact of some memories of the cube."""

    def keep(key, *memories, data=None, **given):
        facts = {"kind": "kv", "engine": "e", "facts": {}, "build_seconds": 2.0, **given}
        sources = [Origin(memory.id, memory.version) for memory in memories]
        return memos._core.derived.store(
            cube.id, key=key, data=data or key.encode(), sources=sources, **facts
        )

    return keep


@pytest.fixture
def servable(memos, cube):
    def servable(*keys):
        with memos._core.catalog.read() as view:
            header = view.header(cube.id)
        return set(memos._core.derived.servable(header, keys))

    return servable


def blobs(memos):
    return {path.read_bytes() for path in (memos._core.folder / "blobs").glob("??/*")}


@pytest.fixture
def three(cube):
    return [cube.remember(text) for text in ("one", "two", "three")]


def test_what_is_kept_can_be_served_with_its_bytes(memos, keep, servable, three):
    assert keep("a", three[0])
    assert keep("b")
    assert not keep("a", three[0], data=b"other bytes under the same key")
    assert servable("a", "b", "c") == {"a", "b"}
    assert blobs(memos) == {b"a", b"b"}


@pytest.mark.parametrize("change", ["revise", "forget"])
def test_a_change_of_a_source_makes_it_stale_in_the_same_transaction(
    memos, cube, keep, servable, three, change
):
    keep("both", three[0], three[1])
    keep("other", three[2])
    with memos._core.catalog.write(memos.principal) as tx:
        header = tx.open(cube.id)
        if change == "forget":
            receipt = tx.erase(header, three[0].id)
            assert receipt.erased["artifacts"] == 1
        else:
            tx.revise(header, three[0].id, changes={"text": "new"}, keys=None)
        assert set(artifacts.servable(tx.connection, header, ["both", "other"], now=tx.now)) == {"other"}
    assert servable("both", "other") == {"other"}


def test_a_change_that_is_rolled_back_leaves_it_as_it_was(memos, cube, keep, servable, three):
    keep("a", three[0])

    def broken_off():
        with memos._core.catalog.write(memos.principal) as tx:
            tx.erase(tx.open(cube.id), three[0].id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert servable("a") == {"a"}
    assert blobs(memos) == {b"a"}


def test_what_was_made_of_what_changed_meanwhile_is_not_kept(memos, cube, keep, three):
    cube.revise(three[0].id, "new")
    assert not keep("old", three[0])
    cube.forget(three[1].id)
    assert not keep("gone", three[1])
    assert blobs(memos) == set()


def test_what_was_made_of_what_expired_meanwhile_is_not_kept(cube, keep, clock):
    brief = cube.remember("brief", ttl=timedelta(minutes=1))
    clock.move(minutes=2)
    assert not keep("a", brief)


def test_another_cubes_artifacts_are_not_served(memos, keep, three):
    keep("a", three[0])
    other = memos.cube("other")
    with memos._core.catalog.read() as view:
        assert artifacts.servable(view.connection, view.header(other.id), ["a"], now=view.now) == {}


def test_a_cubes_artifacts_go_stale_together(memos, cube, keep, servable, three):
    keep("a", three[0])
    keep("b")
    with memos._core.catalog.write(memos.principal) as tx:
        assert artifacts.outdate_cube(tx.connection, tx.header(cube.id), reason="regranted") == 2
    assert servable("a", "b") == set()
    assert memos._core.derived.discard() == 2
    assert blobs(memos) == set()


def test_holders_in_ram_are_told(memos, keep, three, cube):
    class Holder:
        def __init__(self):
            self.dropped = []

        def drop(self, keys):
            self.dropped += keys

        def scrub(self):
            self.dropped.append("scrubbed")

    holder = Holder()
    memos._core.derived.register(holder)
    keep("a", three[0])
    cube.forget(three[0].id)
    assert holder.dropped[:2] == ["a", "scrubbed"]


def test_a_file_that_cannot_be_deleted_stays_owed(memos, keep, three, cube, monkeypatch):
    keep("a", three[0])

    def refuse(_name):
        raise PermissionError

    monkeypatch.setattr(memos._core.blobs, "delete", refuse)
    cube.forget(three[0].id)
    assert blobs(memos) == {b"a"}
    monkeypatch.undo()
    memos.drain()
    assert blobs(memos) == set()


def test_uses_are_counted_and_written_down(memos, keep, cube):
    keep("a")
    derived = memos._core.derived
    derived.used("a", seconds=1.5)
    derived.used("a", seconds=1.5)
    derived.used("unknown", seconds=1.0)
    derived.write_uses()
    with memos._core.catalog.read() as view:
        (found,) = artifacts.of_kind(view.connection, "kv")
    assert (found.hits, found.saved_seconds, found.last_used) == (2, 3.0, memos._core.catalog.clock())


def test_a_disk_that_does_not_take_it_leaves_nothing(memos, keep, monkeypatch, three):
    def full(_connection, _cube, _made, *, now):
        raise BackendError("full")

    monkeypatch.setattr(artifacts, "record", full)
    with pytest.raises(BackendError):
        keep("a", three[0])
    assert blobs(memos) == set()


def test_what_is_chosen_is_evicted(memos, keep, servable):
    keep("a")
    keep("b")
    assert memos._core.derived.fit("kv", lambda held, _now: [held[0].key]) == 1
    assert servable("a", "b") == {"b"}
    assert blobs(memos) == {b"b"}


def test_the_store_itself_owns_no_cube(memos):
    assert memos.as_principal(SYSTEM).cubes() == []
