"""Equal settings meet in one store; what cannot be written down is refused; closing hurts nobody else."""

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from dataclasses import asdict, replace

import pytest

from memos_core import AsyncMemOS, Closed, InvalidInput, Locked, MemOS, Redaction, Settings
from memos_core.testing import HashEmbedder, InMemoryIndex


@pytest.fixture
def named(folder):
    """A store that was opened with names only."""
    with MemOS.open(folder, resident_bytes=1 << 20, redaction="mask") as memos:
        yield memos


def test_settings_are_json_and_come_back_equal(named, folder):
    settings = named.settings
    assert Settings(**json.loads(json.dumps(asdict(settings)))) == settings
    assert (settings.folder, settings.resident_bytes, settings.redaction) == (str(folder), 1 << 20, "mask")


def test_equal_settings_share_the_open_store(named):
    named.cube("notes").remember("The key is under the mat.")
    other = MemOS.connect(named.settings)
    assert other._core is named._core
    assert other.cube("notes").list()[0].text == "The key is under the mat."


def test_a_pickled_store_comes_back_as_the_same_store_and_principal(named):
    mira = named.as_principal("mira")
    mira.cube("notes").remember("I am Mira.")
    copy = pickle.loads(pickle.dumps(mira))
    assert (copy._core, copy.principal.name) == (named._core, "mira")
    assert copy.cube("notes").count() == 1


def test_a_store_that_nobody_has_open_is_opened_and_closes_with_its_last_share(folder):
    with MemOS.open(folder) as memos:
        settings = memos.settings
        memos.cube("notes").remember("It rained.")
    first, second = MemOS.connect(settings), MemOS.connect(settings)
    seen = second.as_principal("mira")
    assert first._core is second._core is seen._core
    first.close()
    first.close()
    assert second.cube("notes").count() == 1
    second.close()
    with pytest.raises(Closed):
        seen.cube("notes")
    MemOS.open(folder).close()


def test_closing_a_share_leaves_the_owner_s_store_open_and_the_owner_closes_it_for_all(named):
    share = MemOS.connect(named.settings)
    share.close()
    assert named.cube("notes").count() == 0
    share = MemOS.connect(named.settings)
    named.close()
    with pytest.raises(Closed):
        share.cube("notes")


def test_another_process_is_told_that_the_folder_is_taken(named):
    code = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, pickle.dumps(named).hex()], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Locked" in done.stderr


def test_other_settings_for_an_open_folder_are_refused(named):
    with pytest.raises(InvalidInput, match="other settings"):
        MemOS.connect(replace(named.settings, redaction="refuse"))
    with pytest.raises(Locked):
        MemOS.open(named.settings.folder)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"embedder": HashEmbedder(dimensions=8)}, "embedder"),
        (
            {"index": InMemoryIndex(dimensions=8), "embedder": HashEmbedder(dimensions=8)},
            "embedder and index",
        ),
        ({"redaction": Redaction(patterns={"badge": r"B\d+"})}, "redaction"),
        ({"index": "http://root:secret@localhost:19530"}, "password"),
    ],
)
def test_what_is_alive_or_secret_is_not_written_down(folder, given, named):
    with MemOS.open(folder, **given) as memos:
        with pytest.raises(InvalidInput, match=named):
            memos.settings  # noqa: B018 - the property raises
        with pytest.raises(InvalidInput, match=named):
            pickle.dumps(memos)


def test_a_clock_of_one_s_own_is_not_written_down(folder, clock):
    with MemOS.open(folder, clock=clock) as memos, pytest.raises(InvalidInput, match="clock"):
        pickle.dumps(memos)


def test_threads_that_connect_at_once_open_it_once(folder):
    with MemOS.open(folder) as memos:
        settings = memos.settings
    found = []
    threads = [threading.Thread(target=lambda: found.append(MemOS.connect(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each._core) for each in found}) == 1
    for each in found:
        each.close()
    MemOS.open(folder).close()


@pytest.mark.parametrize("settings", [None, "./memory", {"folder": "./memory"}])
def test_connect_takes_settings(settings):
    with pytest.raises(InvalidInput, match="Settings"):
        MemOS.connect(settings)


async def awaited(settings):
    memos = await AsyncMemOS.connect(settings)
    async with memos:
        return memos.settings


def test_the_awaited_skin_connects(named):
    assert asyncio.run(awaited(named.settings)) == named.settings
