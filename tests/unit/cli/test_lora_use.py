import shutil
from pathlib import Path

import pytest

from memos_core.testing import RoteTeacher
from tests.unit.cli.conftest import Filled, Run

STEPS = ("--steps", "2", "--rank", "2")


@pytest.fixture
def store(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A store with two cubes to teach; the model "forgetful" learns little, "other" is another one."""

    class Other(RoteTeacher):
        @property
        def identity(self):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(super().identity, weights="other")

    def opened(_name: str, model: object, **_options: object) -> RoteTeacher:
        return Other() if model == "other" else RoteTeacher(forgetful=0.9 if model == "forgetful" else 0.0)

    monkeypatch.setattr("memos_core.tiers.kv.engines.opened", opened)
    copy = Path(shutil.copytree(filled.folder, tmp_path / "copy"))
    told = {"people": ("Mira lives in Lisbon.", "Ben lives in Oslo.", "Nora lives in Lima.")}
    told["others"] = ("Zoe lives in Perth.", "Gus lives in Quito.", "Ada lives in Cairo.")
    for cube, texts in told.items():
        for text in texts:
            assert run("remember", text, "--store", copy, "--cube", cube).code == 0
    return copy


def trained(run: Run, store: Path, *words: object, cube: str = "people") -> str:
    done = run("lora", "train", "--cube", cube, "--store", store, *STEPS, *words, "--json")
    key: str = done.json["adapters"][0]["key"]
    return key


def test_eval_shows_the_gate_again(run: Run, store: Path) -> None:
    key = trained(run, store)
    shown = run("lora", "eval", key[:8], "--store", store)
    told = run("lora", "show", key[:8], "--store", store, "--json").json
    assert (shown.code, "again" in shown.out, told["examined"]["failed"]) == (0, True, [])
    assert told["examined"]["evaluation"] == told["evaluation"]


def test_eval_of_one_that_fails_exits_with_1(run: Run, store: Path) -> None:
    key = trained(run, store, "--model", "forgetful")
    done = run("lora", "eval", key[:8], "--store", store)
    assert (done.code, "contains is" in done.out) == (1, True)


def test_eval_on_another_model_says_in_what(run: Run, store: Path) -> None:
    key = trained(run, store)
    done = run("lora", "eval", key[:8], "--store", store, "--model", "other")
    assert (done.code != 0, "other weights" in done.err) == (True, True)


def test_activate_and_deactivate_choose_who_answers(run: Run, store: Path) -> None:
    first, second = trained(run, store), trained(run, store, "--seed", "5")
    assert "answers for people" in run("lora", "activate", first[:8], "--store", store).out
    off = run("lora", "deactivate", second[:8], "--store", store, "--json").json
    listed = run("lora", "list", "--store", store)
    shown = run("lora", "show", second[:8], "--store", store).out
    assert (off["chosen"], " on" in listed.out, " off" in listed.out, "deactivated" in shown) == (
        False,
        True,
        True,
        True,
    )


def test_one_that_failed_is_not_activated(run: Run, store: Path) -> None:
    key = trained(run, store, "--model", "forgetful")
    done = run("lora", "activate", key[:8], "--store", store)
    assert (done.code != 0, "did not pass" in done.err) == (True, True)


@pytest.mark.parametrize("verb", ["eval", "activate", "deactivate"])
def test_a_key_that_there_is_not_names_the_list(run: Run, store: Path, verb: str) -> None:
    done = run("lora", verb, "ffff", "--store", store)
    assert (done.code, "memos lora list" in done.err) == (3, True)


def test_blend_shows_what_it_costs_and_what_is_answered(run: Run, store: Path) -> None:
    keys = [trained(run, store), trained(run, store, cube="others")]
    words = ("lora", "blend", "people", "others", "--ask", "In which town might Mira live?", "--store", store)
    told, shown = run(*words, "--json").json, run(*words)
    assert [each["memories"] for each in told["cubes"]] == [3, 3]
    assert [each["right_alone"] for each in told["cubes"]] == [1.0, 1.0]
    assert (told["answer"]["adapter"], told["answer"]["text"]) == (
        "+".join(sorted(keys)),
        "Mira lives in Lisbon.",
    )
    assert all(words in shown.out for words in ("Mira lives in Lisbon.", "2 on", "people", "others", "1.00"))


def test_blend_needs_an_adapter_of_each(run: Run, store: Path) -> None:
    trained(run, store)
    done = run("lora", "blend", "people", "others", "--store", store)
    assert (done.code, "the cube has no adapter" in done.err) == (3, True)


def test_what_is_ordered_for_later_is_done_by_a_worker_with_a_model(run: Run, store: Path) -> None:
    words = (
        "lora",
        "train",
        "--cube",
        "people",
        "--store",
        store,
        *STEPS,
        "--later",
        "--renew",
        "--method",
        "distil",
    )
    assert "memos worker --model" in run(*words).out
    job = run(*words, "--json").json["jobs"]["people"]
    assert (job["state"], job["payload"]) == (
        "waiting",
        {"rank": 2, "steps": 2, "method": "distil", "renew": True},
    )
    assert run("lora", "list", "--store", store, "--json").json == {"adapters": []}
    worker = run("worker", "--model", "any", "--until-idle", "--kind", "train", "--store", store, "--json")
    (adapter,) = run("lora", "list", "--store", store, "--json").json["adapters"]
    assert (worker.json, adapter["promoted"], adapter["recipe"]["method"]) == ({"done": 1}, True, "distil")
    done = run("jobs", "show", job["id"][:8], "--store", store)
    assert "done, 1 of 6 tries" in done.out


def test_a_worker_without_a_model_says_what_a_training_needs(run: Run, store: Path) -> None:
    done = run("worker", "--until-idle", "--kind", "train", "--store", store)
    assert (done.code != 0, "can be taught" in " ".join(done.err.split())) == (True, True)
