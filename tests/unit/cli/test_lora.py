import shutil
from pathlib import Path

import pytest

from memos_core import MemOS
from memos_core.testing import RoteTeacher
from tests.unit.cli.conftest import Filled, Run
from tests.unit.extract.test_endpoint import Endpoint, served

STEPS = ("--steps", "2", "--rank", "2")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model be the twin that learns by rote; the one called "forgetful" learns little."""

    def opened(_name: str, model: object, **_options: object) -> RoteTeacher:
        return RoteTeacher(forgetful=0.9 if model == "forgetful" else 0.0)

    monkeypatch.setattr("memos_core.tiers.kv.engines.opened", opened)


@pytest.fixture
def store(filled: Filled, tmp_path: Path, engines: None, run: Run) -> Path:
    copy = Path(shutil.copytree(filled.folder, tmp_path / "copy"))
    for text in ("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima."):
        assert run("remember", text, "--store", copy, "--cube", "people").code == 0
    return copy


@pytest.fixture
def key(store: Path, run: Run) -> str:
    trained = run("lora", "train", "--cube", "people", "--store", store, *STEPS, "--json")
    found: str = trained.json["adapters"][0]["key"]
    return found


def test_train_says_what_came_of_it(run: Run, store: Path) -> None:
    done = run("lora", "train", "--cube", "people", "--store", store, *STEPS)
    assert (done.code, done.out.startswith("people  "), "passed" in done.out) == (0, True, True)


def test_train_is_told_the_method_and_show_says_it(run: Run, store: Path) -> None:
    words = ("lora", "train", "--cube", "people", "--store", store, *STEPS, "--method")
    (made,) = run(*words, "distil", "--json").json["adapters"]
    shown = run("lora", "show", made["key"][:8], "--store", store)
    assert (made["recipe"]["method"], "distil, rank 2" in shown.out) == ("distil", True)
    wrong = run(*words, "magic")
    assert (wrong.code != 0, "pairs or distil" in wrong.err) == (True, True)


def test_train_asks_a_chat_model_for_other_words(run: Run, store: Path) -> None:
    words = ("lora", "train", "--cube", "people", "--store", store, *STEPS, "--json")
    plain = run(*words).json["adapters"][0]
    with served(Endpoint()) as server:
        server.content = '{"questions": [["In which town is Mira at home?"]]}'
        rich = run(*words, "--phraser", "m", "--phraser-url", server.url).json["adapters"][0]
    assert (len(server.seen), rich["key"] != plain["key"], rich["promoted"]) == (3, True, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--phraser", "m", "--phraser-url", "http://127.0.0.1:1", "--later"), "leave out `phraser`"),
        (("--phraser", "m", "--phraser-url", "http://127.0.0.1:1", "--renew"), "leave out `phraser`"),
        (("--phraser-url", "http://127.0.0.1:1"), "say which model by --phraser"),
    ],
)
def test_what_a_phraser_cannot_be_for_is_refused(
    run: Run, store: Path, words: tuple[str, ...], said: str
) -> None:
    done = run("lora", "train", "--cube", "people", "--store", store, *STEPS, *words)
    assert (done.code != 0, said in done.err) == (True, True)


def test_one_that_failed_says_why_and_exits_with_1(run: Run, store: Path) -> None:
    words = ("lora", "train", "--cube", "people", "--store", store, *STEPS, "--model", "forgetful")
    done = run(*words)
    assert (done.code, "FAILED" in done.out, "contains is" in done.out) == (1, True, True)


def test_list_and_show_tell_the_examination(run: Run, store: Path, key: str) -> None:
    listed, shown = run("lora", "list", "--store", store), run("lora", "show", key[:8], "--store", store)
    assert (key[:8] in listed.out, "people" in listed.out, "passed" in shown.out) == (True, True, True)
    facts = run("lora", "show", key[:8], "--store", store, "--json").json
    assert (facts["promoted"], len(facts["sources"]), facts["evaluation"]["questions"]) == (True, 3, 6)


def test_a_dry_run_says_what_it_would_take_and_trains_nothing(run: Run, store: Path) -> None:
    words = ("lora", "train", "--cube", "people", "--store", store, *STEPS, "--dry-run")
    done, told = run(*words), run(*words, "--json").json["cubes"]["people"]
    assert (done.code, "of 3 memories" in done.out, told["memories"], told["steps"]) == (0, True, 3, 2)
    assert run("lora", "list", "--store", store, "--json").json == {"adapters": []}


def test_recite_shows_what_the_adapter_says(run: Run, store: Path, key: str) -> None:
    done = run("lora", "recite", "--cube", "people", "--store", store)
    claims = run("lora", "recite", "--cube", "people", "--store", store, "--json").json["claims"]
    assert (done.code, "Lisbon" in done.out, len(claims), key != "") == (0, True, 3, True)
    assert all(claim["is_right"] for claim in claims)


def test_a_store_without_adapters_says_how_to_make_one(run: Run, store: Path) -> None:
    assert "memos lora train" in run("lora", "list", "--store", store).out


def test_export_and_drop(run: Run, store: Path, key: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(run("lora", "export", key[:8], out, "--store", store, "--json").json["files"]) == 3
    assert run("lora", "drop", key[:8], "--store", store, "--json").json == {"dropped": 1}
    gone = run("lora", "show", key[:8], "--store", store)
    assert (gone.code, "memos lora list" in gone.err, (out / "memos.json").is_file()) == (3, True, True)


def test_a_forgotten_memory_takes_its_adapter_along(run: Run, store: Path, key: str) -> None:
    with MemOS.open(store) as memos:
        cube = memos.cube("people")
        cube.forget(cube.list()[0].id)
    assert run("lora", "list", "--store", store, "--json").json == {"adapters": []}
