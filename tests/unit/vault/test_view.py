from datetime import UTC, datetime, timedelta

import pytest

from memos_core import InvalidInput, Link, NotFound, Principal, Relation, Where
from memos_core.cube import Right
from memos_core.reader.keys import keys_of
from memos_core.tiers.text.lexical import terms
from memos_core.vault import keyring

ANA, BOB = Principal("ana"), Principal("bob")
MAY = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def conversation(add):
    """Three sessions' turns, statements between them: one of each kind that a filter tells apart."""
    return [
        *add("turn one", kind="message", turn=True, speaker="Ana", session="s1", event_at=MAY),
        *add("turn two", kind="message", turn=True, speaker="Bo", session="s1", event_at=JUNE),
        *add("a plan", kind="plan", tags=("home", "work"), priority=5, sensitivity=3),
        *add("a secret", tags=("home",), sensitivity=9, priority=-9),
        *add("turn elsewhere", kind="message", turn=True, speaker="Ana", session="s2"),
    ]


def test_another_principal_cannot_enter(catalog, header):
    with catalog.read() as view, pytest.raises(NotFound):
        view.enter(header.id, BOB, Right.READ)


def test_a_snapshot_does_not_see_what_is_committed_meanwhile(catalog, header, add):
    with catalog.read() as view:
        before = view.count()
        add("new")
        assert (before, view.count(), view.enter(header.id, ANA, Right.READ).change) == (0, 0, 0)


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        (Where(), [0, 1, 2, 3, 4]),
        (Where(kinds=["plan", "message"]), [0, 1, 2, 4]),
        (Where(tags=["home"]), [2, 3]),
        (Where(tags=["home", "work"]), [2]),
        (Where(tags=["Home"]), []),
        (Where(speakers=["Ana"]), [0, 4]),
        (Where(sessions=["s1", "s2"], speakers=["Ana"]), [0, 4]),
        (Where(since=JUNE), [1, 2, 3, 4]),  # what has no event time is of when it was written
        (Where(until=JUNE), [0]),
        (Where(since=MAY, until=MAY), []),
        (Where(max_sensitivity=3), [0, 1, 2, 4]),
        (Where(max_sensitivity=0), [0, 1, 4]),
        (Where(min_priority=0), [0, 1, 2, 4]),
        (Where(kinds=["message"], tags=["home"]), []),
    ],
)
def test_every_field_of_a_filter_holds(catalog, header, conversation, where, numbers):
    with catalog.read() as view:
        found = view.listed(header, where, limit=None, offset=0)
    assert [conversation.index(memory) for memory in found] == numbers


def test_a_page_is_a_slice_of_the_whole(catalog, header, conversation):
    with catalog.read() as view:
        pages = [view.listed(header, Where(), limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [memory for page in pages for memory in page] == conversation


def test_what_expired_does_not_exist_from_that_very_moment(catalog, header, add, clock):
    memory = add("short-lived", expires_at=clock.now + HOUR)[0]

    def counts():
        with catalog.read() as view:
            return (
                view.count(),
                len(view.listed(header, Where(), limit=None, offset=0)),
                len(view.hydrate(header, [1])),
            )

    clock.move(hours=1, microseconds=-1)
    before = counts()
    clock.move(microseconds=1)
    assert (before, counts()) == ((1, 1, 1), (0, 0, 0))
    with catalog.read() as view, pytest.raises(NotFound):
        view.memory(header, memory.id)


@pytest.mark.parametrize("verb", ["memory", "history", "sources"])
def test_an_id_of_another_cube_is_not_found(catalog, header, add, verb):
    with catalog.write(ANA) as tx:
        other = tx.create_cube("other")
    memory = add("elsewhere", cube=other)[0]
    with catalog.read() as view, pytest.raises(NotFound):
        getattr(view, verb)(header, memory.id)


def test_a_cube_hydrates_its_own_only(catalog, header, add):
    with catalog.write(ANA) as tx:
        other = tx.create_cube("other")
    mine, theirs = add("mine")[0], add("theirs", cube=other)[0]
    with catalog.read() as view:
        found = view.hydrate(header, [1, 2, 3, -1])
        ids = view.seqs_of(header, [mine.id, theirs.id, "nothing"])
    assert (found, ids) == ({1: mine}, {mine.id: 1})


def test_more_ids_than_one_statement_takes_are_all_hydrated(catalog, header, add):
    memories = add(*map(str, range(1203)))
    with catalog.read() as view:
        assert list(view.hydrate(header, range(1, 1204)).values()) == memories


def test_an_id_is_found_by_its_beginning(catalog, header, add):
    memories = add(*map(str, range(40)))  # forty ids: two begin alike
    first = {memory.id[0] for memory in memories}
    assert len(first) < 40
    shared = next(digit for digit in first if sum(m.id.startswith(digit) for m in memories) > 1)
    with catalog.read() as view:
        assert view.id_starting(header, memories[7].id[:20]) == memories[7].id
        with pytest.raises(InvalidInput, match="several memories"):
            view.id_starting(header, shared)


@pytest.mark.parametrize("prefix", ["%", "_", "x", "' OR 1=1 --", "\\"])
def test_a_prefix_is_no_pattern(catalog, header, add, prefix):
    add("a memory")
    with catalog.read() as view, pytest.raises(NotFound):
        view.id_starting(header, prefix)


def test_turns_beside_are_of_the_same_session_and_within_reach(catalog, header, add):
    def turns(session, count):
        return add(*(f"{session} {n}" for n in range(count)), turn=True, session=session, kind="message")

    turns("a", 6)
    turns("b", 3)
    turns(None, 3)
    add("a statement", session="a")
    with catalog.read() as view:
        found = [keyring.beside(view.connection, header, [seq], reach=2) for seq in (1, 4, 7, 10, 13)]
    assert found == [[1, 2, 3], [2, 3, 4, 5, 6], [7, 8, 9], [10, 11, 12], [13]]


def test_changes_are_told_by_the_cubes_own_counter(catalog, header, add, clock):
    add("one", "two")
    clock.move(days=-1)  # the clock is no counter
    add("three")
    with catalog.read() as view:
        assert [keyring.changed_since(view.connection, header, change) for change in (0, 1, 2)] == [
            [1, 2, 3],
            [3],
            [],
        ]


def test_links_are_those_that_start_here(catalog, header, add, clock):
    one, two, three = add("one", "two", "three")
    with catalog.write(ANA) as tx:
        for target in (two, three):
            tx.link(tx.open(header.id), one.id, Relation.SUPERSEDES, target.id)
        tx.link(tx.open(header.id), two.id, Relation.RELATED, one.id)
    with catalog.read() as view:
        lineage = set(view.memory(header, one.id).header.behaviour.lineage)
        pairs = set(view.successors(header, [one.id, two.id, three.id]))
    made = {"source": one.id, "relation": Relation.SUPERSEDES, "created_at": clock.now}
    assert lineage == {Link(target=two.id, **made), Link(target=three.id, **made)}
    assert pairs == {(one.id, two.id), (one.id, three.id)}


NASTY_QUERIES = [
    '"', '""', "a\" OR cube:\"", "cube:x", "NEAR(a b)", "a AND", "NOT", "*", "^a", "{cube terms}:a",
    "-a", "a*", "\0", "'; DROP TABLE lexical; --", "😀", "你好", "𞤀𞤁", "word " * 3000,
    "".join(map(chr, range(32, 400))),
]  # fmt: skip


@pytest.mark.parametrize("query", NASTY_QUERIES, ids=lambda query: repr(query[:20]))
def test_no_query_is_an_expression_of_the_full_text_language(catalog, header, add, query):
    with catalog.write(ANA) as tx:
        other = tx.create_cube("other")
    add(f"a word {query}", cube=other)
    with catalog.read() as view:
        assert keyring.lexical_matches(view.connection, header, terms(query), limit=9) == []


def test_words_find_their_memories_best_first(catalog, header, add):
    add("the harbour", "harbour harbour", "the market")
    with catalog.read() as view:
        found = keyring.lexical_matches(view.connection, header, terms("harbour"), limit=9)
        assert ([seq for seq, _ in found], found[0][1] > found[1][1]) == ([2, 1], True)
        assert keyring.lexical_matches(view.connection, header, terms("harbour"), limit=1) == found[:1]


def test_memories_that_lack_an_embedders_vectors_are_counted_and_drafted(catalog, header, add, embedder):
    add("said", speaker="Ana", event_at=MAY, kind="message")
    with catalog.read() as view:
        drafts = keyring.without_keys(view.connection, "another@1", limit=9)
        counts = (
            keyring.count_without_keys(view.connection, "another@1"),
            keyring.count_without_keys(view.connection, embedder.identity),
        )
    made = keys_of([drafts[0].draft], embedder)[0]
    with catalog.read() as view:
        row = next(keyring.key_rows(view.connection, header, embedder.identity))
    assert (counts, drafts[0][:2], made.packed() == row.vectors) == ((1, 0), (1, 1), True)


def test_a_sound_catalog_is_found_sound(catalog, add):
    add("one")
    with catalog.read() as view:
        assert view.check_integrity() == "ok"
