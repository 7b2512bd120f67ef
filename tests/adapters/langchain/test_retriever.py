"""LangChain's own suite, and what we promise beyond it."""

import asyncio
import json

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.runnables import ConfigurableField
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from langchain_memos import MemOSRetriever
from memos_core import InvalidInput, Message, NotFound, Where

TEXTS = ["Mira lives in Porto", "Mira eats no walnuts", "Ivo mends violins", "It rained in May"]


@pytest.fixture
def filled(memos):
    cube = memos.cube("mira")
    for text in TEXTS:
        cube.remember(text, tags=["said"] if "Mira" in text else [])
    return memos


@pytest.fixture
def retriever(filled):
    return MemOSRetriever(memos=filled, cube="mira")


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def given(self, filled):
        self.memos = filled

    @property
    def retriever_constructor(self):
        return MemOSRetriever

    @property
    def retriever_constructor_params(self):
        return {"memos": self.memos, "cube": "mira"}

    @property
    def retriever_query_example(self):
        return "Where does Mira live?"


def test_documents_come_best_first_with_id_score_and_provenance(retriever, memos):
    document = retriever.invoke("Mira lives in Porto")[0]
    memory = memos.cube("mira").get(document.id)
    told = document.metadata
    assert (document.page_content, told["version"], told["tags"], told["kind"], told["origin"]) == (
        memory.text,
        1,
        ["said"],
        "fact",
        "stated",
    )
    assert (told["cube"], told["at"]) == ("mira", memory.at.isoformat())
    assert 0 <= told["score"] <= 1
    assert told["likeness"] == pytest.approx(1, abs=2e-3)
    assert sum(told["why"].values()) == pytest.approx(told["score"], abs=1e-5)


def test_metadata_is_json(retriever, memos):
    memos.cube("mira").ingest([Message("Ana", "Mira lives here", id="m1")], session="s1")
    for document in retriever.invoke("Mira", budget=500):
        assert json.loads(json.dumps(document.metadata)) == document.metadata


def test_filters_may_be_given_once_or_to_one_call(filled):
    where = Where(tags=("said",))
    one = MemOSRetriever(memos=filled, cube="mira", where=where).invoke("walnuts violins")
    two = MemOSRetriever(memos=filled, cube="mira").invoke("walnuts violins", where=where)
    assert (
        {document.page_content for document in one}
        == {document.page_content for document in two}
        == set(TEXTS[:2])
    )


def test_a_session_and_a_budget_are_kept(memos):
    cube = memos.cube("talk")
    cube.ingest([Message("Ana", f"salt number {n}", id=f"{n}") for n in range(9)], session="one")
    cube.ingest([Message("Ana", "salt elsewhere", id="x")], session="two")
    retriever = MemOSRetriever(memos=memos, cube="talk", session="one")
    assert {document.metadata["session"] for document in retriever.invoke("salt")} == {"one"}
    assert 0 < len(retriever.invoke("salt", budget=40)) < 9


@pytest.mark.parametrize("fixed", [True, False])
def test_the_past_is_found_as_it_was(filled, fixed):
    cube = filled.cube("mira")
    before = cube.snapshot("before the move")
    cube.revise(cube.recall("Mira lives in Porto")[0].memory.id, "Mira lives in Lisbon")
    for at in (before, before.label):
        retriever = MemOSRetriever(memos=filled, cube="mira", k=1, at=at if fixed else None)
        found = retriever.invoke("Where does Mira live?", **({} if fixed else {"at": at}))
        assert [document.page_content for document in found] == ["Mira lives in Porto"]
    [now] = MemOSRetriever(memos=filled, cube="mira", k=1).invoke("Where does Mira live?")
    assert now.page_content == "Mira lives in Lisbon"


async def test_the_past_is_found_awaited(filled):
    cube = filled.cube("mira")
    cube.snapshot("s")
    cube.remember("Mira lives in a lighthouse")
    retriever = MemOSRetriever(memos=filled, cube="mira", at="s")
    assert "lighthouse" not in str(await retriever.ainvoke("lighthouse"))


def test_its_values_can_be_configured_per_call(retriever):
    configurable = retriever.configurable_fields(
        k=ConfigurableField(id="k"), cube=ConfigurableField(id="cube"), user=ConfigurableField(id="user")
    )
    assert len(configurable.invoke("Mira", config={"configurable": {"k": 2}})) == 2
    assert configurable.invoke("Mira", config={"configurable": {"cube": "ivo"}}) == []
    assert configurable.invoke("Mira", config={"configurable": {"user": "eve"}}) == []


def test_a_cube_that_was_never_written_has_no_documents_and_is_not_made(memos):
    assert MemOSRetriever(memos=memos, cube="nobody").invoke("x") == []
    assert memos.cubes() == []


def test_somebody_elses_cube_does_not_exist(filled):
    with pytest.raises(NotFound):
        MemOSRetriever(memos=filled, cube="mira", user="eve", owner="local").invoke("Mira")


def test_users_have_cubes_of_their_own_under_one_name(memos):
    for user in ("ana", "bo"):
        memos.as_principal(user).cube("notes").remember(f"{user} likes salt")
    found = MemOSRetriever(memos=memos, cube="notes", user="ana").invoke("salt")
    assert [document.page_content for document in found] == ["ana likes salt"]


@pytest.mark.parametrize(
    ("query", "given"),
    [
        ("", {}),
        ("x", {"k": 0}),
        ("x", {"budget": 0}),
        ("x", {"where": "a=1"}),
        ("x", {"at": 5}),
    ],
)
def test_what_makes_no_sense_is_refused(retriever, query, given):
    with pytest.raises(InvalidInput):
        retriever.invoke(query, **given)


def test_a_misspelt_field_is_refused(memos):
    with pytest.raises(ValidationError):
        MemOSRetriever(memos=memos, cube="a", top_k=4)


def test_awaiting_it_does_not_block_the_loop(retriever, unblocked):
    async def main():
        return await asyncio.gather(*(retriever.ainvoke(text, k=1) for text in TEXTS))

    assert [found[0].page_content for found in unblocked(main)] == TEXTS


def test_a_trace_names_it(retriever):
    told = {}

    class Listener(BaseCallbackHandler):
        def on_retriever_start(self, serialized, query, *, metadata=None, **_):
            told.update(metadata, query=query)

    retriever.invoke("Mira", config={"callbacks": [Listener()], "metadata": {"app": "inn"}})
    assert told == {
        "ls_retriever_name": "memos",
        "ls_vector_store_provider": "MemOS",
        "app": "inn",
        "query": "Mira",
    }


def test_dumping_it_tells_its_values_and_no_memory(retriever):
    told = json.dumps(dumpd(retriever))
    assert ("mira" in retriever.model_dump()["cube"], "memos" in retriever.model_dump()) == (True, False)
    assert not any(text in told for text in TEXTS)
