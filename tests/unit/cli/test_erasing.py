import json
from pathlib import Path

from memos_core import MemOS, Message
from tests.unit.cli.conftest import Run


def test_a_filter_forgets_in_one_cube_and_the_receipt_is_verified(
    run: Run, store: Path, tmp_path: Path
) -> None:
    with MemOS.open(store) as memos:
        memos.cube("talk").ingest([Message("Mira", "The xylotomous password."), Message("Ivo", "Hush.")])
    saved = tmp_path / "receipt.json"
    refused = run("forget", "--speaker", "Mira", "--store", store)
    done = run(
        "forget", "--speaker", "Mira", "--cube", "talk", "--receipt", saved, "--store", store, "--json"
    )
    left = run("list", "--cube", "talk", "--store", store, "--json").json["memories"]
    known = run("erasure", "list", "--store", store).out
    check = run("erasure", "verify", saved, "--store", store)
    words = tmp_path / "words.txt"
    words.write_text("The xylotomous password.\n", encoding="utf-8")
    again = run("erasure", "verify", done.json["id"][:8], "--words-from", words, "--store", store, "--json")
    assert (refused.code, done.code, [each["text"] for each in left]) == (1, 0, ["Hush."])
    assert json.loads(saved.read_text())["texts"] == ["The xylotomous password."]
    assert "texts" not in done.json
    assert done.json["id"][:8] in known
    assert (check.code, check.out.startswith("ok  nothing is left in")) == (0, True)
    assert (again.json["ok"], again.json["looked_for"]) == (True, 1)


def test_what_is_left_is_told_and_the_exit_code_says_so(run: Run, store: Path) -> None:
    with MemOS.open(store) as memos:
        receipt = memos.cube("main").forget(memos.cube("main").remember("The xylotomous password.").id)
    (store / "notes.txt").write_text("mark: the xylotomous PASSWORD, The xylotomous password.")
    found = run(
        "erasure",
        "verify",
        receipt.id,
        "--words-from",
        "-",
        "--store",
        store,
        stdin="The xylotomous password.",
    )
    blind = run("erasure", "verify", receipt.id, "--store", store)
    nobody = run("erasure", "verify", receipt.id, "--as", "eve", "--store", store)
    assert (found.code, "LEFT  notes.txt: utf-8 at byte 31" in found.out) == (1, True)
    assert (blind.code, "no words (none given)" in blind.out, nobody.code) == (0, True, 3)


def test_a_cube_and_a_person_are_erased(run: Run, store: Path) -> None:
    with MemOS.open(store) as memos:
        memos.cube("talk").ingest([Message("Mira", "One."), Message("Ivo", "Two.")])
        memos.cube("main").remember("Three.")
    person = run("forget-principal", "Mira", "--store", store, "--json").json
    cube = run("forget-cube", "talk", "--store", store)
    left = run("list", "--store", store, "--json").json["memories"]
    assert (person["erased"]["memories"], cube.code) == (1, 0)
    assert ([each["text"] for each in left], run("forget-cube", "talk", "--store", store).code) == (
        ["Three."],
        3,
    )


def test_a_purpose_is_given_before_the_command(run: Run, store: Path) -> None:
    run("remember", "One.", "--store", store)
    run("limit", "--for", "support", "--cube", "main", "--store", store)
    refused = run("remember", "Two.", "--store", store)
    served = run("--purpose", "support", "remember", "Two.", "--store", store)
    assert (refused.code, "--purpose" in refused.err, served.code) == (1, True, 0)
