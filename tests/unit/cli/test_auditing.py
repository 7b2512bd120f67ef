import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.unit.cli.conftest import Run


def test_the_audit_is_verified_and_its_head_can_be_noted(run: Run, store: Path) -> None:
    run("remember", "Ines plays the cello.", "--store", store)
    noted = run("audit", "verify", "--store", store, "--json").json
    run("remember", "And the viola.", "--store", store)
    later = run("audit", "verify", "--head", noted["head"], "--store", store)
    foreign = run("audit", "verify", "--head", "f" * 64, "--store", store, "--json")
    assert (noted["ok"], noted["lines"], later.code, foreign.code) == (True, 2, 0, 1)
    assert later.out.startswith("ok  3 lines, head ")


def test_a_line_that_was_changed_is_named_and_the_exit_code_says_so(run: Run, store: Path) -> None:
    run("remember", "Ines plays the cello.", "--store", store)
    with closing(sqlite3.connect(store / "catalog.db")) as connection:
        connection.executescript(
            "DROP TRIGGER audit_refuses_update; UPDATE audit SET verb = 'x' WHERE seq = 2;"
        )
    found = run("audit", "verify", "--store", store)
    assert (found.code, "line 2" in found.out) == (1, True)


def test_the_audit_is_exported_as_json_lines(run: Run, store: Path) -> None:
    run("remember", "Ines plays the cello.", "--store", store)
    lines = [json.loads(line) for line in run("audit", "export", "--store", store).out.splitlines()]
    assert [(line["seq"], line["verb"], line["principal"]) for line in lines] == [
        (1, "create", "local"), (2, "remember", "local"),
    ]  # fmt: skip
    others = run("audit", "export", "--as", "eve", "--store", store).out.splitlines()
    assert [sorted(json.loads(line)) for line in others] == [["hash", "seq"], ["hash", "seq"]]


def test_an_export_is_verified_without_the_store(run: Run, store: Path, tmp_path: Path) -> None:
    run("--purpose", "support", "remember", "Ines plays the cello.", "--store", store)
    run("remember", "And the viola.", "--as", "eve", "--store", store)
    head = run("audit", "verify", "--store", store, "--json").json["head"]
    text = run("audit", "export", "--store", store).out
    told = {}
    for name, data in {
        "whole": text,
        "changed": text.replace("support", "billing"),
        "cut": "\n".join(text.splitlines()[:-1]),
        "moved": "\n".join(reversed(text.splitlines())),
        "other": "{}",
        "none": "[1]",
    }.items():
        (tmp_path / name).write_text(data, encoding="utf-8")
        check = run("audit", "verify", "--file", tmp_path / name, "--head", head, "--json")
        told[name] = (check.code, check.json.get("blank"))
    assert told == {
        "whole": (0, 2), "changed": (1, 2), "cut": (1, 1), "moved": (1, 0),
        "other": (1, None), "none": (1, None),
    }  # fmt: skip
