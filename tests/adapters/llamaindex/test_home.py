"""Where memories are: a value that is names only, and finds its open store again."""

import copy
import json
import pickle
import subprocess
import sys
import threading

import pytest
from pydantic import BaseModel

from llamaindex_memos import Home
from llamaindex_memos.home import HomeField, home_of
from memos_core import Closed, InvalidInput, MemOS, NotFound, Principal


class Holder(BaseModel):
    home: HomeField


def test_a_home_is_the_user_and_the_cube_of_an_open_store(memos, folder):
    home = Home(memos, user="mira")
    home.open().remember("a word")
    assert home.names() == {"folder": str(folder), "user": "mira", "cube": "memory", "owner": None}
    assert memos.as_principal("mira").cube("memory").count() == 1
    assert Home(memos).user == memos.principal.name
    assert Home(memos, user=Principal("mira")) == home != Home(memos, user="bo")
    assert len({home, Home(memos, user="mira")}) == 1


@pytest.mark.parametrize(
    "restored",
    [
        lambda home: pickle.loads(pickle.dumps(home)),
        lambda home: home_of(json.loads(json.dumps(home.names()))),
        lambda home: Holder.model_validate_json(Holder(home=home).model_dump_json()).home,
    ],
)
def test_restored_it_finds_the_store_that_is_open(memos, restored):
    memos.as_principal("mira").cube("memory").remember("a word")
    home = restored(Home(memos, user="mira"))
    assert home == Home(memos, user="mira")
    assert home.open().count() == 1


def test_a_copy_is_the_same(memos):
    home = Home(memos)
    assert copy.deepcopy(home) is copy.copy(home) is home
    assert Holder(home=home).model_copy(deep=True).home is home


def test_nothing_is_written_of_a_handle_and_nothing_secret(memos):
    assert pickle.dumps(Home(memos, user="mira")).count(b"MemOS") == 0


def test_of_a_store_that_is_closed_it_says_so_and_opens_nothing_behind_your_back(memos, folder):
    home = Home(memos)
    memos.close()
    with pytest.raises(Closed):
        home.open()
    with pytest.raises(NotFound):
        MemOS.opened(folder)


def test_what_is_asked_is_asked_of_the_cube_and_of_the_rights_of_now(memos):
    ana = memos.as_principal("ana").cube("notes")
    home = Home(memos, user="bo", owner="ana", cube="notes")
    with pytest.raises(NotFound):
        home.ask(lambda cube: cube.count())
    ana.grant("bo", "read")
    assert [home.ask(lambda cube: cube.count()) for _ in range(2)] == [0, 0]
    ana.revoke("bo")
    with pytest.raises(NotFound):
        home.ask(lambda cube: cube.count())


def test_a_handle_that_leads_nowhere_any_more_is_looked_up_again(memos):
    home = Home(memos)
    home.ask(lambda cube: cube.remember("a word"))
    home._cube._id = "of a cube that is gone"
    assert home.ask(lambda cube: cube.count()) == 1


def test_restored_where_the_folder_is_not_it_makes_none(tmp_path):
    home = home_of({"folder": str(tmp_path / "gone"), "user": "mira", "cube": "memory"})
    with pytest.raises(NotFound, match="gone"):
        home.open()
    assert not (tmp_path / "gone").exists()


def test_restored_in_another_process_it_opens_the_folder_and_lets_go_at_the_end(tmp_path):
    folder = tmp_path / "store"
    with MemOS.open(folder, embedder="minilm-int8") as memos:
        memos.as_principal("mira").cube("memory").remember("Mira lives in Porto.")
        told = json.dumps(Home(memos, user="mira").names())
    code = (
        "import json, sys\n"
        "from llamaindex_memos.home import home_of\n"
        "home = home_of(json.loads(sys.argv[1]))\n"
        "print(home.open().recall('Where does Mira live?').texts)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, told], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "['Mira lives in Porto.']"
    with MemOS.open(folder) as memos:
        assert memos.principal


def test_of_many_that_are_restored_at_once_the_first_opens_and_the_others_find(tmp_path):
    folder = tmp_path / "store"
    MemOS.open(folder).close()
    found, homes = [], [home_of({"folder": str(folder), "user": f"u{n}", "cube": "c"}) for n in range(8)]
    threads = [threading.Thread(target=lambda home=home: found.append(home.memos())) for home in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.folder for each in found}) == 1
    assert len(found) == 8
    found[0].close()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"folder": "x"},
        {"folder": "x", "user": ""},
        {"folder": "x", "user": 5},
        {"folder": "x", "user": "mira", "cube": " "},
        {"folder": "x", "user": "mira", "owner": ""},
    ],
)
def test_a_home_of_nobody_is_refused(given):
    with pytest.raises(InvalidInput):
        Home(**given)


@pytest.mark.parametrize("value", [None, "folder", {}, {"folder": "x", "user": "y"}])
def test_what_is_no_home_is_refused(value):
    with pytest.raises(InvalidInput):
        home_of(value)
