"""The retriever, its filters, and the postprocessor: alone and in LlamaIndex's own engines."""

import asyncio
import pickle
from datetime import UTC, datetime

import pytest
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from llamaindex_memos import MemOSBudgetPostprocessor, MemOSRetriever, where_of
from memos_core import BackendUnavailable, Closed, InvalidInput, Message, NotFound, Where
from tests.adapters.llamaindex.scripted import Scripted

MAY = datetime(2024, 5, 3, 12, tzinfo=UTC)


@pytest.fixture
def cube(memos):
    cube = memos.as_principal("mira").cube("memory")
    cube.remember("Mira lives in Porto.", tags=["home", "city"], priority=3)
    cube.remember("Mira eats no walnuts.", kind="rule", sensitivity=5)
    cube.ingest([Message("Ana", "I saw Mira in Porto.", at=MAY, role="user")], session="s1")
    return cube


@pytest.fixture
def retriever(memos, cube):
    return MemOSRetriever(memos, user="mira")


def found(retriever, query="Where does Mira live? In Porto?"):
    return [each.node.get_content() for each in retriever.retrieve(query)]


def test_nodes_are_memories_under_their_ids_with_scores(retriever, cube):
    nodes = retriever.retrieve("Where did Ana see Mira in Porto?")
    best = nodes[0]
    assert cube.get(best.node_id).text == best.text == "I saw Mira in Porto."
    assert [each.score for each in nodes] == sorted((each.score for each in nodes), reverse=True)
    assert 0 <= best.score <= 1
    told = {
        "speaker": "Ana",
        "role": "user",
        "session": "s1",
        "at": "2024-05-03T12:00:00+00:00",
        "cube": "memory",
        "version": 1,
    }
    assert {name: best.metadata[name] for name in told} == told
    assert best.metadata["why"]


def test_a_model_is_shown_when_and_who_and_no_figures(retriever):
    node = retriever.retrieve("Ana saw Mira")[0].node
    assert node.get_content(MetadataMode.LLM) == (
        "speaker: Ana\nat: 2024-05-03T12:00:00+00:00\n\nI saw Mira in Porto."
    )
    assert node.get_content(MetadataMode.EMBED) == "I saw Mira in Porto."


def test_at_most_so_many(memos, cube):
    assert len(found(MemOSRetriever(memos, user="mira", similarity_top_k=2))) == 2


def test_within_one_session_and_within_a_budget(memos, cube):
    assert found(MemOSRetriever(memos, user="mira", session="s1")) == ["I saw Mira in Porto."]
    assert len(found(MemOSRetriever(memos, user="mira", budget=12))) < 3


@pytest.mark.parametrize(
    ("key", "operator", "value", "texts"),
    [
        ("kind", "==", "rule", {"Mira eats no walnuts."}),
        ("kind", "in", ["rule", "message"], {"Mira eats no walnuts.", "I saw Mira in Porto."}),
        ("tags", "contains", "home", {"Mira lives in Porto."}),
        ("tags", "all", ["home", "city"], {"Mira lives in Porto."}),
        ("speaker", "==", "Ana", {"I saw Mira in Porto."}),
        ("session", "==", "s1", {"I saw Mira in Porto."}),
        ("session_id", "in", ["s1", "s2"], {"I saw Mira in Porto."}),
        ("at", "<", "2025-01-01T00:00:00+00:00", {"I saw Mira in Porto."}),
        ("at", ">=", "2025-01-01T00:00:00+00:00", {"Mira eats no walnuts.", "Mira lives in Porto."}),
        ("sensitivity", "<=", 4, {"Mira lives in Porto.", "I saw Mira in Porto."}),
        ("priority", ">=", 1, {"Mira lives in Porto."}),
    ],
)
def test_filters_as_llamaindex_words_them(memos, cube, key, operator, value, texts):
    filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])
    assert set(found(MemOSRetriever(memos, user="mira", filters=filters))) == texts


def test_all_conditions_hold_nested_ones_too():
    tagged = MetadataFilters(filters=[MetadataFilter(key="tags", value="a", operator="contains")])
    both = MetadataFilters(
        filters=[tagged, MetadataFilter(key="kind", value="fact"), *tagged.filters], condition="and"
    )
    assert where_of(both) == Where(tags=["a"], kinds=["fact"])
    assert where_of(MetadataFilters(filters=[])) == Where()
    assert where_of(None) is None
    assert where_of(Where(kinds=["fact"])) == Where(kinds=["fact"])


@pytest.mark.parametrize(
    "filters",
    [
        [{"key": "colour", "value": "red"}],
        [{"key": "kind", "value": "fact", "operator": "!="}],
        [{"key": "tags", "value": ["a", "b"], "operator": "any"}],
        [{"key": "at", "value": "yesterday", "operator": ">="}],
        [{"key": "at", "value": "2024-05-03T12:00:00", "operator": ">="}],
        [{"key": "at", "value": 5, "operator": "<"}],
        [{"key": "kind", "value": "a"}, {"key": "kind", "value": "b"}],
        [{"key": "kind", "value": None}],
        [{"key": "sensitivity", "value": 12, "operator": "<="}],
    ],
)
def test_a_filter_that_cannot_be_applied_is_refused_not_ignored(filters):
    with pytest.raises(InvalidInput):
        where_of(MetadataFilters.from_dicts(filters))


@pytest.mark.parametrize("condition", ["or", "not"])
def test_other_ways_of_joining_are_refused(condition):
    filters = [{"key": "kind", "value": "a"}, {"key": "speaker", "value": "b"}]
    with pytest.raises(InvalidInput, match="AND"):
        where_of(MetadataFilters.from_dicts(filters, condition=condition))


# --- who sees what ---------------------------------------------------------------------------


def test_two_users_never_see_each_other(memos, cube):
    memos.as_principal("bo").cube("memory").remember("Bo lives in Porto, too.")
    assert found(MemOSRetriever(memos, user="bo")) == ["Bo lives in Porto, too."]


def test_a_cube_of_your_own_that_is_not_there_yet_has_no_nodes(memos):
    assert found(MemOSRetriever(memos, user="new")) == []
    assert memos.as_principal("new").cubes() == []


def test_somebody_elses_cube_has_to_be_granted(memos, cube):
    retriever = MemOSRetriever(memos, user="bo", owner="mira")
    with pytest.raises(NotFound):
        found(retriever)
    cube.classify(cube.list()[0].id, visibility="shared")
    cube.grant("bo", "read")
    assert found(retriever) == ["Mira lives in Porto."]


def test_failure_is_no_empty_answer(memos, retriever, embedder, monkeypatch):
    def fails(*_):
        raise BackendUnavailable("the embedder is away")

    monkeypatch.setattr(embedder, "embed", fails)
    with pytest.raises(BackendUnavailable):
        found(retriever, "something that nobody asked before")
    memos.close()
    with pytest.raises(Closed):
        found(retriever)


@pytest.mark.parametrize("query", ["", "  ", "\n"])
def test_where_nothing_is_asked_there_are_no_nodes(retriever, query):
    assert retriever.retrieve(QueryBundle(query)) == []


# --- in company ------------------------------------------------------------------------------


async def test_awaited_it_answers_the_same(retriever):
    assert await retriever.aretrieve("Porto") == retriever.retrieve("Porto")


def test_awaited_it_does_not_block_the_loop(retriever, unblocked):
    async def main():
        return len(await retriever.aretrieve("Porto"))

    assert unblocked(main) == 3


async def test_many_at_once(retriever):
    told = await asyncio.gather(*(retriever.aretrieve(f"Mira {n}") for n in range(20)))
    assert {len(each) for each in told} == {3}


def test_in_a_query_engine_with_its_own_postprocessors(retriever):
    llm = Scripted(lines=["In Porto."])
    engine = RetrieverQueryEngine.from_args(
        retriever,
        llm=llm,
        node_postprocessors=[
            SimilarityPostprocessor(similarity_cutoff=0.0),
            MemOSBudgetPostprocessor(budget=30),
        ],
    )
    response = engine.query("Where does Mira live?")
    assert str(response) == "In Porto."
    assert "Mira lives in Porto." in llm.asked[0][-1].content
    assert len(response.source_nodes) == 1


def test_fused_with_another_retriever(memos, retriever):
    memos.as_principal("bo").cube("memory").remember("Bo lives in Porto, too.")
    both = QueryFusionRetriever(
        [retriever, MemOSRetriever(memos, user="bo")],
        llm=Scripted(lines=[]),
        similarity_top_k=9,
        num_queries=1,
        use_async=False,
    )
    assert "Bo lives in Porto, too." in [each.text for each in both.retrieve("Porto")]


# --- the postprocessor -----------------------------------------------------------------------


def node(text, score=None):
    return NodeWithScore(node=TextNode(text=text), score=score)


def packed(nodes, **given):
    post = MemOSBudgetPostprocessor(tokenizer_fn=str.split, **given)
    return [each.text for each in post.postprocess_nodes(nodes, query_str="?")]


def test_the_best_that_fit_are_kept_best_first():
    nodes = [node("a b", 0.1), node("c d e", 0.9), node("f", 0.5), node("g", None)]
    assert packed(nodes, budget=4) == ["c d e", "f"]
    assert packed(nodes, budget=99) == ["c d e", "f", "a b", "g"]
    assert packed(nodes, budget=1) == ["f"]
    assert packed([], budget=1) == []


def test_of_those_that_say_the_same_the_best_stays():
    assert packed([node("a  b", 0.1), node("a b", 0.9), node("a\nb")], budget=9) == ["a b"]


def test_without_scores_the_order_is_kept():
    assert packed([node("a"), node("b"), node("c")], budget=2) == ["a", "b"]


def test_nodes_are_counted_as_a_model_is_shown_them():
    dated = NodeWithScore(node=TextNode(text="a b", metadata={"at": "2024"}), score=1.0)
    assert packed([dated], budget=3) == []
    assert packed([dated], budget=4) == ["a b"]


@pytest.mark.parametrize("budget", [0, -1, "many"])
def test_no_budget_is_refused(budget):
    with pytest.raises(ValueError, match="budget"):
        MemOSBudgetPostprocessor(budget=budget)


async def test_awaited_and_written_it_is_the_same():
    post = MemOSBudgetPostprocessor(budget=7)
    nodes = [node("a b", 0.5)]
    assert await post.apostprocess_nodes(nodes, query_str="?") == nodes
    again = (pickle.loads(pickle.dumps(post)), MemOSBudgetPostprocessor.from_dict(post.to_dict()))
    assert [each.budget for each in again] == [7, 7]
