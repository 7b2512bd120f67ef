"""What LangGraph expects of a store, blocking and awaited."""

import asyncio
import threading

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from langchain_memos import MemOSStore
from memos_core import Closed, Entry, InvalidInput, MemOS, NotFound
from memos_core.testing import HashEmbedder, InMemoryIndex

USER = ("users", "mira")


def keys(items):
    return [item.key for item in items]


class Awaited:
    """The awaited verbs under the names of the blocking ones, each in a loop of its own."""

    def __init__(self, store):
        self.store = store

    def __getattr__(self, name):
        verb = getattr(self.store, f"a{name}")

        async def call(*args, **kwargs):
            return await verb(*args, **kwargs)

        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@pytest.fixture(params=["blocking", "awaited"])
def either(store, request):
    return store if request.param == "blocking" else Awaited(store)


# --- items -----------------------------------------------------------------------------------


def test_an_item_that_was_put_is_got(either, clock):
    either.put(USER, "diet", {"text": "no walnuts", "tags": ["food", {"since": 2024}], "n": None})
    item = either.get(USER, "diet")
    assert (item.key, item.namespace, item.value) == (
        "diet",
        USER,
        {"text": "no walnuts", "tags": ["food", {"since": 2024}], "n": None},
    )
    assert (item.created_at, item.updated_at) == (clock.now, clock.now)


def test_what_is_not_there_is_none_and_asking_makes_no_cube(either, memos):
    assert (either.get(USER, "diet"), either.search(USER), either.list_namespaces()) == (None, [], [])
    either.delete(USER, "diet")
    assert memos.cubes() == []


def test_an_item_put_again_keeps_created_at(either, clock):
    either.put(USER, "a", {"n": 1})
    first = either.get(USER, "a")
    clock.move(hours=1)
    either.put(USER, "a", {"n": 2})
    second = either.get(USER, "a")
    assert (second.value, second.created_at, second.updated_at) == ({"n": 2}, first.created_at, clock.now)


def test_a_deleted_item_is_gone_and_found_no_more(either):
    either.put(USER, "a", {"text": "salt"})
    either.delete(USER, "a")
    assert (either.get(USER, "a"), either.search(USER, query="salt"), either.list_namespaces()) == (
        None,
        [],
        [],
    )


def test_a_value_is_not_shared_with_its_writer_or_its_readers(either):
    value = {"tags": ["a"]}
    either.put(USER, "a", value)
    value["tags"].append("b")
    either.get(USER, "a").value["tags"].append("c")
    either.search(USER)[0].value["tags"].append("d")
    assert either.get(USER, "a").value == {"tags": ["a"]}


def test_items_survive_reopening(folder):
    given = {"embedder": HashEmbedder(dimensions=64)}
    with MemOSStore.open(folder, index=InMemoryIndex(dimensions=64), **given) as store:
        store.put(USER, "a", {"text": "salt"})
    with MemOSStore.open(folder, index=InMemoryIndex(dimensions=64), **given) as store:
        assert (store.get(USER, "a").value, keys(store.search(USER, query="salt"))) == (
            {"text": "salt"},
            ["a"],
        )


# --- namespaces ------------------------------------------------------------------------------


def test_a_search_reaches_what_is_under_its_prefix_and_nothing_beside_it(either):
    for namespace in [("a",), ("a", "b"), ("a", "b", "c"), ("a", "bc"), ("ab",), ("b", "a"), ("a b",)]:
        either.put(namespace, "k", {"text": "salt"})
    assert sorted(item.namespace for item in either.search(("a", "b"))) == [("a", "b"), ("a", "b", "c")]
    assert sorted(item.namespace for item in either.search(("a", "b"), query="salt")) == [
        ("a", "b"),
        ("a", "b", "c"),
    ]
    assert len(either.search(())) == 7


def test_one_key_in_two_namespaces_is_two_items(either):
    either.put(("a",), "k", {"n": 1})
    either.put(("a", "b"), "k", {"n": 2})
    either.delete(("a",), "k")
    assert (either.get(("a",), "k"), either.get(("a", "b"), "k").value) == (None, {"n": 2})


@pytest.mark.parametrize(
    "namespace",
    [
        ("a/b", "\\c"),
        ("*", "%", "_"),
        ("用户", "мира"),
        ("a'b", 'c"d'),
        (" a ", "\n"),
        ("x" * 1000,),
        ("e\u0301",),
    ],
)
def test_strange_labels_are_kept_apart_and_found_again(either, namespace):
    either.put(namespace, "k", {"text": "salt"})
    assert either.get(namespace, "k").namespace == namespace
    assert keys(either.search(namespace, query="salt")) == ["k"]
    assert either.list_namespaces() == [namespace]


@pytest.mark.parametrize(
    "namespace",
    [
        (),
        ("",),
        ("a", ""),
        ("a.b",),
        ("a", "b\0"),
        ("langgraph", "a"),
        (5,),
        (" ",),
        ("x" * 1025,),
        ("\ud800",),
    ],
)
def test_namespaces_that_cannot_be_are_refused(either, memos, namespace):
    with pytest.raises(InvalidNamespaceError):
        either.put(namespace, "k", {"n": 1})
    assert memos.cubes() == []


def test_every_operation_is_checked_before_any_is_done(either, memos):
    with pytest.raises(InvalidNamespaceError):
        either.batch([PutOp(("a",), "k", {"n": 1}), GetOp(("a.b",), "k")])
    with pytest.raises(InvalidInput):
        either.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "l", {"n": {1, 2}})])
    with pytest.raises(ValueError, match="no operator"):
        either.batch([PutOp(("a",), "k", {"n": 1}), SearchOp(("a",), {"n": {"$near": 5}})])
    assert memos.cubes() == []


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (GetOp(("a",), "k" * 1025), "key"),
        (PutOp(("a",), "k" * 1025, None), "key"),
        (SearchOp(("a",), query="salt " * 250_000), "query"),
        (SearchOp(("a",), query=5), "query"),
        (SearchOp(("a",), {"n": {"$gt": 0, "unit": "g"}}), "not both"),
        (SearchOp(("a",), {"n": [{"$near": 5}]}), "no operator"),
        (ListNamespacesOp(match_conditions=(MatchCondition("infix", ("a",)),)), "infix"),
    ],
)
def test_what_a_later_operation_gets_wrong_lets_no_earlier_one_run(either, memos, second, named):
    with pytest.raises(ValueError, match=named):
        either.batch([PutOp(("a",), "k", {"n": 1}), second])
    assert memos.cubes() == []


def test_namespaces_are_listed_by_prefix_suffix_wildcard_and_depth(either):
    every = [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "f"), ("a", "c", "f"), ("b", "a", "f")]
    for namespace in every:
        either.put(namespace, "k", {"n": 1})
    assert either.list_namespaces() == every
    assert either.list_namespaces(prefix=("a", "b")) == every[:3]
    assert either.list_namespaces(suffix=("f",)) == every[2:]
    assert either.list_namespaces(prefix=("a", "*", "f"), suffix=("f",)) == every[2:4]
    assert either.list_namespaces(suffix=("*", "f"), limit=1, offset=2) == [("b", "a", "f")]
    assert either.list_namespaces(max_depth=2) == [("a", "b"), ("a", "c"), ("b", "a")]
    assert either.list_namespaces(prefix=("a", "b"), max_depth=3) == [
        ("a", "b", "c"),
        ("a", "b", "d"),
        ("a", "b", "f"),
    ]
    assert either.list_namespaces(prefix=("a", "b", "c", "d", "e")) == []


def test_cubes_whose_names_no_namespace_has_are_not_shown(store, memos):
    from memos_core import Entry

    for name in ("..", "a.", "plain"):
        memos.cube(name).records.put([Entry(key="k", data={})])
    assert (store.list_namespaces(), len(store.search(()))) == ([("plain",)], 1)


# --- search ----------------------------------------------------------------------------------


def test_without_a_query_the_last_written_comes_first_and_pages_do_not_overlap(either, clock):
    for number in range(5):
        clock.move(seconds=1)
        either.put(("a", str(number % 2)), f"k{number}", {"n": number})
    pages = [keys(either.search(("a",), limit=2, offset=start)) for start in (0, 2, 4)]
    assert pages == [["k4", "k3"], ["k2", "k1"], ["k0"]]
    assert [item.score for item in either.search(("a",))] == [None] * 5


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"kind": "report"}, ["a", "c"]),
        ({"kind": "report", "n": 1}, ["a"]),
        ({"n": {"$gt": 1}}, ["b", "c"]),
        ({"n": {"$gte": 1, "$lt": 3}}, ["a", "b"]),
        ({"n": {"$lte": 1}}, ["a"]),
        ({"kind": {"$ne": "report"}}, ["b", "d"]),
        ({"kind": {"$eq": "note"}}, ["b"]),
        ({"meta": {"lang": "en"}}, ["a"]),
        ({"meta": {"lang": {"$ne": "en"}}}, ["b"]),
        ({"tags": ["x", "y"]}, ["c"]),
        ({"n": True}, []),
        ({"n": {"$gt": "1"}}, ["d"]),
        ({"absent": None}, ["a", "b", "c", "d"]),
        ({}, ["a", "b", "c", "d"]),
    ],
)
def test_filters_compare_as_json_does(either, wanted, found):
    either.put(USER, "a", {"kind": "report", "n": 1, "meta": {"lang": "en"}})
    either.put(USER, "b", {"kind": "note", "n": 2.5, "meta": {"lang": "pt"}})
    either.put(USER, "c", {"kind": "report", "n": 3, "tags": ["x", "y"]})
    either.put(USER, "d", {"n": "many"})
    assert sorted(keys(either.search(USER, filter=wanted))) == found
    assert sorted(keys(either.search(USER, filter=wanted, query="report note"))) == found


def test_a_query_finds_by_meaning_and_scores_fall_within_their_range(either):
    for number, text in enumerate(["salt from the sea", "a violin maker", "rain over the hills"]):
        either.put(USER, f"k{number}", {"text": text})
    items = either.search(USER, query="violin maker")
    assert items[0].key == "k1"
    scores = [item.score for item in items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_pages_of_a_query_follow_each_other(either):
    for number in range(7):
        either.put(USER, f"k{number}", {"text": f"salt and word{number}"})
    pages = [keys(either.search(USER, query="salt", limit=3, offset=start)) for start in (0, 3, 6, 9)]
    assert [key for page in pages for key in page] == keys(either.search(USER, query="salt", limit=10))
    assert [len(page) for page in pages] == [3, 3, 1, 0]


def test_a_filter_that_leaves_few_is_filled_from_further_down(either):
    for number in range(60):
        either.put(USER, f"k{number}", {"text": "salt " * 5, "odd": number == 59})
    assert keys(either.search(USER, query="salt", filter={"odd": True}, limit=1)) == ["k59"]


def test_across_namespaces_items_are_ordered_by_likeness(either):
    either.put(("a", "1"), "exact", {"text": "violin maker"})
    either.put(("a", "2"), "other", {"text": "salt from the sea"})
    either.put(("a", "3"), "near", {"text": "a violin maker from the hills"})
    items = either.search(("a",), query="violin maker")
    assert keys(items) == ["exact", "near", "other"]
    assert items[0].score == pytest.approx(1, abs=2e-3)
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)


def test_an_overwritten_item_is_found_by_its_new_words_only(either):
    either.put(USER, "a", {"text": "salt"})
    either.put(USER, "b", {"text": "rain"})
    either.put(USER, "a", {"text": "violin"})
    assert [keys(either.search(USER, query=q, limit=1)) for q in ("violin", "rain")] == [["a"], ["b"]]
    assert either.search(USER, query="salt", limit=1)[0].score < 0.5


def test_items_that_are_not_indexed_come_last_without_a_score(either):
    either.put(USER, "mute", {"text": "violin maker"}, index=False)
    either.put(USER, "told", {"text": "salt"})
    items = either.search(USER, query="violin maker")
    assert [(item.key, item.score is None) for item in items] == [("told", False), ("mute", True)]
    assert either.get(USER, "mute").value == {"text": "violin maker"}


def test_index_paths_say_what_an_item_is_found_by_and_the_best_counts(either):
    value = {
        "title": "rain",
        "parts": [{"text": "salt from the sea"}, {"text": "a violin maker"}],
        "hidden": "mapmaker",
    }
    either.put(("a", "1"), "parts", value, index=["title", "parts[*].text"])
    either.put(("a", "2"), "first", value, index=["parts[0].text", "absent.path"])
    best = {item.key: item.score for item in either.search(("a",), query="a violin maker")}
    assert best["parts"] == pytest.approx(1, abs=2e-3)
    assert best["first"] < 0.6
    assert max(item.score for item in either.search(("a",), query="mapmaker")) < 0.5


def test_the_store_has_fields_of_its_own_and_put_overrides_them(memos):
    store = MemOSStore(memos, fields=["text"])
    store.put(("a", "1"), "own", {"text": "salt", "more": "violin"})
    store.put(("a", "2"), "other", {"text": "salt", "more": "violin"}, index=["more"])
    assert [keys(store.search(("a",), query=q, limit=1)) for q in ("salt", "violin")] == [["own"], ["other"]]


def test_the_whole_value_may_be_indexed_as_json(memos):
    record = MemOSStore(memos, fields=["$"])
    record.put(USER, "a", {"b": 1, "a": "x"})
    assert memos.cube("users.mira").list()[0].text == '{"a": "x", "b": 1}'


def test_what_a_store_keeps_can_be_recalled_from_the_cube(store, memos):
    store.put(USER, "a", {"text": "Mira lives in Porto"})
    store.put(USER, "b", {"name": "Mira", "likes": ["tea", "rain"]})
    assert sorted(memos.cube("users.mira").recall("Mira").texts) == [
        "Mira lives in Porto",
        "name: Mira\nlikes: tea\nlikes: rain",
    ]


# --- batches ---------------------------------------------------------------------------------


def test_a_batch_reads_its_own_writes_in_order(either):
    results = either.batch(
        [
            GetOp(USER, "a"),
            PutOp(USER, "a", {"text": "salt"}),
            GetOp(USER, "a"),
            SearchOp(USER, query="salt"),
            ListNamespacesOp((MatchCondition("prefix", ("users",)),)),
            PutOp(USER, "a", {"text": "rain"}),
            PutOp(USER, "b", {"n": 1}),
            PutOp(USER, "a", None),
            GetOp(USER, "a"),
            SearchOp(USER),
        ]
    )
    assert (results[0], results[1], results[2].value, keys(results[3]), results[4]) == (
        None,
        None,
        {"text": "salt"},
        ["a"],
        [USER],
    )
    assert (results[8], keys(results[9])) == (None, ["b"])


def test_neighbouring_writes_to_a_namespace_are_one_transaction(store, memos, monkeypatch):
    from memos_core import Records

    store.put(USER, "a", {"n": 0})
    told = []
    put = Records.put
    monkeypatch.setattr(Records, "put", lambda self, *a, **k: told.append(1) or put(self, *a, **k))
    store.batch([PutOp(USER, "a", {"n": 1}), PutOp(USER, "b", {"n": 2}), PutOp(USER, "a", {"n": 3})])
    assert (len(told), store.get(USER, "a").value) == (1, {"n": 3})


def test_a_batch_may_be_any_iterable_and_empty(either):
    assert either.batch(op for op in [PutOp(USER, "a", {"n": 1})]) == [None]
    assert either.batch([]) == []


# --- time ------------------------------------------------------------------------------------


def test_an_item_lives_for_its_minutes_and_reading_renews_it(either, clock):
    either.put(USER, "a", {"text": "salt"}, ttl=5)
    clock.move(minutes=4)
    assert either.get(USER, "a") is not None
    clock.move(minutes=4)
    assert keys(either.search(USER, query="salt")) == ["a"]
    clock.move(minutes=4)
    assert either.get(USER, "a", refresh_ttl=False) is not None
    clock.move(minutes=1)
    assert (either.get(USER, "a"), either.search(USER), either.list_namespaces()) == (None, [], [])


def test_the_store_may_set_a_ttl_and_whether_reading_renews(memos, clock):
    store = MemOSStore(memos, ttl={"default_ttl": 5, "refresh_on_read": False})
    store.put(USER, "brief", {"n": 1})
    store.put(USER, "kept", {"n": 2}, ttl=None)
    clock.move(minutes=4)
    store.get(USER, "brief")
    clock.move(minutes=2)
    assert keys(store.search(USER)) == ["kept"]


def test_a_sweep_erases_what_is_over_in_every_namespace(either, clock, memos):
    for name in ("a", "b"):
        either.put((name,), "k", {"text": "salt"}, ttl=1)
        either.put((name,), "kept", {"n": 1})
    clock.move(minutes=2)
    assert (either.sweep_ttl(), either.sweep_ttl()) == (2, 0)
    assert sum(cube.count() for cube in memos.cubes()) == 2


def test_a_cube_that_is_erased_during_a_sweep_ends_no_sweeper(store, clock, memos, monkeypatch):
    for name in ("a", "b"):
        store.put((name,), "k", {"n": 1}, ttl=1)
    clock.move(minutes=2)
    there = memos.cubes()
    memos.forget_cube("a")
    monkeypatch.setattr(MemOS, "cubes", lambda *_, **__: there)
    assert store.sweep_ttl() == 1


def test_the_sweeper_sweeps_until_it_is_stopped(store, clock):
    store.put(USER, "a", {"n": 1}, ttl=1)
    clock.move(minutes=2)
    swept, sweep = threading.Event(), store._sweeper._sweep
    store._sweeper._sweep = lambda: sweep() and swept.set()
    done = store.start_ttl_sweeper(0.0005)
    assert store.start_ttl_sweeper(0.0005) is done
    assert swept.wait(10)
    assert (store.stop_ttl_sweeper(10), done.done(), store.stop_ttl_sweeper()) == (True, True, True)


def test_cancelling_its_future_stops_the_sweeper(store):
    done = store.start_ttl_sweeper(0.0005)
    done.cancel()
    assert store.stop_ttl_sweeper(10)
    assert store.start_ttl_sweeper(60) is not done
    assert store.stop_ttl_sweeper(10)


def test_a_sweeper_ends_when_its_store_is_closed(folder):
    memos = MemOS.open(folder, embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64))
    done = MemOSStore(memos).start_ttl_sweeper(0.0005)
    memos.close()
    assert done.result(10) is None


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e300, "5", True])
def test_a_ttl_that_is_no_time_is_refused(either, ttl):
    with pytest.raises(ValueError, match="ttl"):
        either.put(USER, "a", {"n": 1}, ttl=ttl)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [{"n": {1}}, {"n": float("nan")}, {1: "a"}, {"t": b"x"}, {"x": object()}, ["a"], "text", {"s": "\ud800"}],
)
def test_a_value_that_is_no_json_is_refused(either, memos, value):
    with pytest.raises(InvalidInput):
        either.put(USER, "a", value)
    assert memos.cubes() == []


@pytest.mark.parametrize("key", ["", " ", "x" * 1025])
def test_a_key_that_names_nothing_is_refused(either, key):
    with pytest.raises(InvalidInput):
        either.put(USER, key, {"n": 1})


@pytest.mark.parametrize("paths", [[5], True, "text", {"text": 1}])
def test_an_index_that_names_no_paths_is_refused(either, memos, paths):
    with pytest.raises(InvalidInput, match="JSON paths"):
        either.put(USER, "k", {"text": "salt"}, index=paths)
    assert memos.cubes() == []


@pytest.mark.parametrize("given", [{"limit": -1}, {"offset": -1}, {"limit": "5"}, {"filter": [1]}])
def test_a_search_that_makes_no_sense_is_refused(either, given):
    with pytest.raises(ValueError, match=r"limit|offset|filter"):
        either.search(USER, **given)


def test_an_empty_query_is_none_and_limit_zero_finds_nothing(either):
    either.put(USER, "a", {"text": "salt"})
    assert (keys(either.search(USER, query=" ")), either.search(USER, query="salt", limit=0)) == (["a"], [])


def test_after_close_every_operation_says_so(folder):
    with MemOSStore.open(folder, embedder=HashEmbedder(), index=InMemoryIndex(dimensions=64)) as store:
        pass
    for call in (lambda: store.get(USER, "a"), lambda: store.put(USER, "a", {}), lambda: store.search(())):
        with pytest.raises(Closed):
            call()


def test_another_principal_sees_nothing_of_it(store, memos):
    store.put(USER, "a", {"text": "salt"})
    other = MemOSStore(memos.as_principal("eve"))
    assert (other.get(USER, "a"), other.search(()), other.list_namespaces()) == (None, [], [])
    with pytest.raises(NotFound):
        memos.as_principal("eve").cube("users.mira", owner="local")


# --- threads and loops ------------------------------------------------------------------------


def test_threads_and_loops_share_one_store(store):
    def work(name):
        async def main():
            await asyncio.gather(*(store.aput((name,), f"k{n}", {"text": f"{name} {n}"}) for n in range(5)))
            return len(await store.asearch((name,), query=name))

        counts.append(asyncio.run(main()))
        store.put(("shared",), name, {"n": 1})

    counts = []
    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counts, len(store.search(("shared",)))) == ([5] * 4, 4)


def test_concurrent_writers_of_one_key_leave_one_whole_value(store):
    async def main():
        await asyncio.gather(*(store.aput(USER, "a", {"text": f"word{n}", "n": n}) for n in range(12)))
        return await store.asearch(USER)

    items = asyncio.run(main())
    assert [item.value["text"] for item in items] == [f"word{items[0].value['n']}"]


def test_no_awaited_verb_blocks_the_loop(folder, unblocked):
    async def main():
        options = {"embedder": HashEmbedder(), "index": InMemoryIndex(dimensions=64)}
        async with MemOSStore.aopen(folder, ttl={"sweep_interval_minutes": 1}, **options) as store:
            await store.aput(USER, "a", {"text": "salt"}, ttl=5)
            found = await store.asearch(USER, query="salt")
            await store.adelete(USER, "a")
            return (
                keys(found),
                await store.aget(USER, "a"),
                await store.alist_namespaces(),
                await store.asweep_ttl(),
            )

    assert unblocked(main) == (["a"], None, [], 0)


def test_a_cancelled_write_is_done_whole_or_not_at_all(store):
    async def main():
        await store.aput(USER, "warm", {"text": "warm"})
        tasks = [
            asyncio.create_task(
                store.abatch([PutOp((f"n{n}",), "a", {"text": "x"}), PutOp((f"n{n}",), "b", {"text": "y"})])
            )
            for n in range(10)
        ]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())  # waits for its threads at the end
    assert {len(store.search((f"n{n}",))) for n in range(10)} <= {0, 2}


def test_a_value_changed_while_its_write_is_awaited_is_kept_as_it_was(store):
    async def main():
        value = {"n": [1]}
        task = asyncio.create_task(store.aput(USER, "a", value))
        await asyncio.sleep(0)
        value["n"].append(2)
        await task

    asyncio.run(main())
    assert store.get(USER, "a").value == {"n": [1]}


def test_a_cube_that_somebody_else_shares_is_no_namespace_here(memos, clock):
    store = MemOSStore(memos, ttl={"default_ttl": 1})
    theirs = memos.as_principal("bob").cube("users.mira")
    theirs.grant(memos.principal, "read")
    theirs.records.put([Entry(key="a", data={"text": "salt"}, texts=("salt",))], visibility="shared")
    store.put(USER, "b", {"text": "pepper"})
    assert keys(store.search(("users",))) == keys(store.search(("users",), query="salt")) == ["b"]
    assert store.list_namespaces() == [USER]
    clock.move(minutes=2)
    assert store.sweep_ttl() == 1
    assert theirs.records.count() == 1
