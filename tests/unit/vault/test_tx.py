from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from memos_core import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    Link,
    NotFound,
    Principal,
    Relation,
    Revision,
    Source,
    State,
)
from memos_core.reader.keys import keys_of
from memos_core.vault import schema
from memos_core.vault.draft import Draft
from memos_core.vault.keyring import without_keys
from memos_core.vault.settings import EmbedderRecord

pytestmark = pytest.mark.databases

ANA = Principal("ana")


def rows(catalog, table, *columns):
    with catalog.read() as view:
        return [tuple(row) for row in view.connection.execute(select(*(table.c[name] for name in columns)))]


def revise(catalog, header, memory, text, *, expected=None, keys=None, **changes):
    with catalog.write(ANA) as tx:
        cube = tx.open(header.id)
        seq = tx.revise(cube, memory.id, changes={"text": text, **changes}, keys=keys, expected=expected)
        return tx.hydrate(cube, [seq])[seq]


def forget(catalog, header, memory):
    with catalog.write(ANA) as tx:
        return tx.erase(tx.open(header.id), memory.id)


def test_a_new_memory_has_version_source_tags_keys_audit_and_debt(catalog, header, add, clock):
    memory = add("Mira lives here", tags=("home", "mira"))[0]
    assert (memory.version, memory.text, memory.tags, memory.state) == (
        1,
        "Mira lives here",
        ("home", "mira"),
        State.GENERATED,
    )
    assert rows(catalog, schema.versions, "memory_seq", "version", "text", "written_by") == [
        (1, 1, "Mira lives here", "ana")
    ]
    assert rows(catalog, schema.sources, "memory_seq", "text", "speaker") == [(1, "Mira lives here", "ana")]
    assert rows(catalog, schema.tags, "memory_seq", "tag") == [(1, "home"), (1, "mira")]
    assert rows(catalog, schema.vectors, "memory_seq", "key_count") == [(1, 1)]
    assert rows(catalog, schema.lexical, "rowid", "terms") == [(1, "mira live")]
    assert rows(catalog, schema.audit, "verb", "memory_id", "change") == [
        ("create", None, 0),
        ("remember", memory.id, 1),
    ]
    assert rows(catalog, schema.outbox, "memory_id", "cube_id") == [(memory.id, header.id)]


def test_a_transaction_that_raises_leaves_no_trace(catalog, header, add, catalog_rows, tmp_path, embedder):
    add("kept")
    before = catalog_rows(tmp_path)
    draft = Draft(text="lost", digest="d", tags=("a",))
    with pytest.raises(RuntimeError), catalog.write(ANA) as tx:  # noqa: PT012 - the block is what raises
        tx.add(tx.open(header.id), [(draft, keys_of([draft], embedder)[0])])
        raise RuntimeError
    assert catalog_rows(tmp_path) == before


def test_turns_take_the_next_places_of_their_session(catalog, header, add):
    def positions(*texts, **fields):
        return [memory.header.descriptive.position for memory in add(*texts, **fields)]

    one = positions("a", "b", turn=True, session="s1")
    other = positions("c", turn=True, session="s2")
    nameless = positions("d", turn=True)
    again = positions("e", turn=True, session="s1")
    assert (one, other, nameless, again, positions("f", session="s1")) == ([0, 1], [0], [0], [2], [None])


def test_a_revision_is_the_next_version_and_keeps_the_one_before(catalog, header, add, clock, embedder):
    memory = add("Lisbon", tags=("home",))[0]
    clock.move(hours=1)
    draft = Draft(text="Porto", digest="d2")
    keys = keys_of([draft], embedder)[0]
    revised = revise(catalog, header, memory, "Porto", expected=1, keys=keys, kind="plan", tags=["new"])
    with catalog.read() as view:
        history = view.history(header, memory.id)
    same = {"state": State.GENERATED, "event_at": None, "written_by": "ana"}
    assert history == [
        Revision(
            version=1,
            text="Lisbon",
            kind="fact",
            tags=("home",),
            written_at=clock.now - timedelta(hours=1),
            **same,
        ),
        Revision(version=2, text="Porto", kind="plan", tags=("new",), written_at=clock.now, **same),
    ]
    assert (revised.id, revised.version, revised.header.descriptive.updated_at) == (memory.id, 2, clock.now)
    assert rows(catalog, schema.lexical, "rowid", "terms") == [(1, "porto")]
    assert rows(catalog, schema.tags, "tag") == [("new",)]


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_revision_of_another_version_is_a_conflict_and_no_change(
    catalog, header, add, catalog_rows, tmp_path, expected
):
    memory = add("one")[0]
    revise(catalog, header, memory, "two")
    before = catalog_rows(tmp_path)
    with pytest.raises(Conflict) as caught:
        revise(catalog, header, memory, "three", expected=expected)
    facts = (caught.value.memory_id, caught.value.expected, caught.value.found)
    assert (facts, catalog_rows(tmp_path) == before) == ((memory.id, expected, 2), True)


def test_a_frozen_memory_cannot_be_revised(catalog, header, add):
    memory = add("one")[0]
    with catalog.write(ANA) as tx:
        tx.connection.execute(update(schema.memories).values(state=State.FROZEN.value))
    with pytest.raises(IllegalTransition, match="frozen"):
        revise(catalog, header, memory, "two")


def test_erasing_leaves_nothing_but_the_audit(catalog, header, add, clock):
    gone, kept = add("the password is swordfish", "kept", tags=("secret",))
    with catalog.write(ANA) as tx:
        cube = tx.open(header.id)
        tx.link(cube, gone.id, Relation.SUPPORTS, kept.id)
        tx.link(cube, kept.id, Relation.RELATED, gone.id)
    revise(catalog, header, gone, "the password is sturgeon")
    erasure = forget(catalog, header, gone)
    assert (erasure.memory_id, erasure.cube, erasure.at, erasure.owed) == (gone.id, header.id, clock.now, 1)
    assert erasure.erased == {
        "artifacts": 0, "links": 2, "sources": 1, "tags": 1, "vectors": 1, "lexical": 1,
        "versions": 2, "memories": 1,
    }  # fmt: skip
    for table in (schema.sources, schema.tags, schema.vectors, schema.versions):
        assert rows(catalog, table, "memory_seq") == [(2,)]
    assert (rows(catalog, schema.lexical, "rowid"), rows(catalog, schema.edges, "source")) == ([(2,)], [])
    assert rows(catalog, schema.audit, "verb", "memory_id")[-1] == ("forget", gone.id)
    with pytest.raises(NotFound):
        forget(catalog, header, gone)


def test_the_bytes_of_what_was_erased_are_gone_from_the_disk(catalog, header, add, tmp_path):
    memory = add("the xylotomous password", tags=("zugzwang",), session="quixotry", speaker="Vexillologist")[
        0
    ]
    add("something else", "and more")
    revise(catalog, header, memory, "the jabberwockian password")
    forget(catalog, header, memory)
    catalog.close()
    left = b"".join(path.read_bytes() for path in tmp_path.glob("catalog.db*")).lower()
    words = (b"xylotom", b"jabberwock", b"zugzwang", b"quixotr", b"vexillolog", b"password")
    assert [word for word in words if word in left] == []


def test_a_sequence_number_is_never_given_twice(catalog, header, add):
    last = add("one", "two")[1]
    forget(catalog, header, last)
    add("three")
    assert rows(catalog, schema.memories, "seq", "text") == [(1, "one"), (3, "three")]


def test_a_change_is_counted_once_a_transaction(catalog, header, add):
    memory = add("one", "two")[0]
    revise(catalog, header, memory, "three")
    forget(catalog, header, memory)
    assert rows(catalog, schema.cubes, "change") == [(3,)]


def test_a_link_that_exists_is_returned_as_it_is(catalog, header, add, clock):
    one, two = add("one", "two")

    def link():
        with catalog.write(ANA) as tx:
            return tx.link(tx.open(header.id), one.id, Relation.SUPPORTS, two.id)

    made = link()
    clock.move(hours=1)
    assert (made, link()) == (
        Link(source=one.id, relation=Relation.SUPPORTS, target=two.id, created_at=made.created_at),
    ) * 2
    assert len(rows(catalog, schema.edges, "source")) == 1


@pytest.mark.parametrize("swap", [False, True])
def test_a_link_does_not_leave_its_cube(catalog, header, add, swap):
    with catalog.write(ANA) as tx:
        other = tx.create_cube("other")
    ends = [add("here")[0].id, add("there", cube=other)[0].id]
    source, target = reversed(ends) if swap else ends
    with pytest.raises(NotFound), catalog.write(ANA) as tx:
        tx.link(tx.open(header.id), source, Relation.RELATED, target)


def test_one_more_source_is_one_more_row_and_a_line_in_the_audit(catalog, header, add, clock):
    memory = add("one")[0]
    with catalog.write(ANA) as tx:
        tx.add_source(tx.open(header.id), memory.id, Draft(text="one, again", digest="d", speaker="Bo"))
    with catalog.read() as view:
        told = view.sources(header, memory.id)
    same = {"memory_id": memory.id, "role": None, "session": None, "position": None, "event_at": None}
    assert told == [
        Source(text="one", speaker="ana", message_id=None, recorded_at=clock.now, **same),
        Source(text="one, again", speaker="Bo", message_id=None, recorded_at=clock.now, **same),
    ]
    assert rows(catalog, schema.audit, "verb")[-1] == ("restate",)


def test_a_circle_of_successors_is_refused_and_other_circles_are_not(catalog, header, add):
    one, two, three = add("one", "two", "three")

    def link(source, relation, target):
        with catalog.write(ANA) as tx:
            tx.link(tx.open(header.id), source.id, relation, target.id)

    link(two, Relation.SUPERSEDES, one)
    link(three, Relation.SUPERSEDES, two)
    link(one, Relation.SUPPORTS, three)
    with pytest.raises(InvalidInput, match="circle"):
        link(one, Relation.SUPERSEDES, three)
    assert len(rows(catalog, schema.edges, "source")) == 3


def test_another_embedder_owes_the_index_everything_and_drops_other_vectors(catalog, header, add, embedder):
    memories = add("one", "two", "three", "four")
    with catalog.write(ANA) as tx:
        tx.connection.execute(schema.outbox.delete())
    with catalog.read() as view:
        lacking = without_keys(view.connection, "new@1", limit=9)
    made = [(each, replace(keys_of([each.draft], embedder)[0], model="new@1")) for each in lacking]
    forget(catalog, header, memories[2])  # both between the making and the writing
    revise(catalog, header, memories[3], "another four")
    with catalog.write(ANA) as tx:
        tx.add_vectors(made)
    written = [seq for seq, model in rows(catalog, schema.vectors, "memory_seq", "model") if model == "new@1"]
    record = EmbedderRecord(identity="new@1", dimensions=64, spec=None)
    with catalog.write(ANA) as tx:
        tx.switch_embedder(record)
    with catalog.read() as view:
        assert (view.embedder_record(), written) == (record, [1, 2])
    assert rows(catalog, schema.vectors, "memory_seq", "model") == [(1, "new@1"), (2, "new@1")]
    owed_ids = {memory_id for (memory_id,) in rows(catalog, schema.outbox, "memory_id")}
    assert owed_ids == {memory.id for memory in memories}  # the deletion stays owed
