"""Whatever a host writes down comes back with its settings, on the store that is open."""

import pickle

import pytest

from langchain_memos import ChatMemOS, MemOSMiddleware, MemOSRetriever, MemOSStore
from memos_core import Closed, MemOS, Settings, Where


@pytest.fixture
def named(folder):
    with MemOS.open(folder) as memos:
        yield memos


def again(value):
    return pickle.loads(pickle.dumps(value))


def test_a_store_keeps_its_fields_and_its_ttl_and_finds_its_items(named):
    store = MemOSStore(named, fields=["text"], ttl={"default_ttl": 5, "refresh_on_read": False})
    store.put(("users", "mira"), "home", {"text": "Porto"})
    copy = again(store)
    assert copy.get(("users", "mira"), "home").value == {"text": "Porto"}
    assert (copy.fields, copy.ttl_config) == (store.fields, store.ttl_config)
    copy.put(("users", "mira"), "shop", {"text": "Lisbon"})
    assert store.get(("users", "mira"), "shop").value == {"text": "Lisbon"}


def test_a_retriever_keeps_whose_eyes_it_has_and_what_it_looks_for(named):
    cube = named.as_principal("mira").cube("memory")
    cube.remember("Mira lives in Porto.", tags=["home"])
    cube.remember("Porto is on the Douro.")
    retriever = MemOSRetriever(memos=named, cube="memory", user="mira", where=Where(tags=("home",)))
    found = again(retriever).invoke("Porto")
    assert [document.page_content for document in found] == ["Mira lives in Porto."]


def test_a_middleware_and_a_chat_model_come_back_on_the_same_store(named):
    assert again(MemOSMiddleware(named, k=3)).memos._core is named._core
    copy = again(ChatMemOS(memos=named, user="mira", stop=["."]))
    assert (copy.memos._core, copy.user, copy.stop) == (named._core, "mira", ["."])


def test_what_was_written_down_opens_the_store_again_where_nobody_has_it_open(folder):
    with MemOS.open(folder) as memos:
        store = MemOSStore(memos)
        store.put(("users", "mira"), "home", {"text": "Porto"})
        written = pickle.dumps(store)
    with pytest.raises(Closed):
        store.get(("users", "mira"), "home")
    copy = pickle.loads(written)
    assert copy.get(("users", "mira"), "home").value == {"text": "Porto"}
    assert copy.memos.settings == Settings(folder=str(folder))
    copy.memos.close()
