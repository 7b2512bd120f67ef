import json
from pathlib import Path

import pytest

from memos_core import Erasure, MemCube, MemOS
from tests.unit.cli.conftest import Run


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "nowhere" / "yet"


def jsonl(folder: Path, *lines: object, name: str = "chat.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def listed(run: Run, store: Path, *words: str) -> list[str]:
    return [memory["text"] for memory in run("list", "--store", store, "--json", *words).json["memories"]]


class TestRemember:
    def test_a_new_store_is_made_and_the_memory_is_in_main(self, run: Run, nowhere: Path) -> None:
        done = run("remember", "Ines plays the cello.", "--tag", "music", "--kind", "taste",
                   "--at", "2024-05-03", "--ttl", "30d", "--store", nowhere, "--json")  # fmt: skip
        kept = done.json
        assert done.code == 0
        assert done.err == ""
        assert (kept["cube"], kept["text"], kept["kind"], kept["tags"], kept["at"], kept["new"]) == (
            "main", "Ines plays the cello.", "taste", ["music"], "2024-05-03T00:00:00+00:00", True,
        )  # fmt: skip
        assert kept["header"]["governance"]["expires_at"] is not None

    def test_the_same_statement_again_is_not_new(self, run: Run, store: Path) -> None:
        words = ("remember", "Ines plays the cello.", "--store", store)
        first = run(*words)
        again = run(*words)
        assert "remembered" in first.out
        assert "known already" in again.out
        assert listed(run, store) == ["Ines plays the cello."]

    def test_a_dash_reads_standard_input(self, run: Run, store: Path) -> None:
        run("remember", "-", "--store", store, stdin="Zoë likes 猫.\n")
        assert listed(run, store) == ["Zoë likes 猫."]

    def test_the_environment_names_store_and_principal(
        self, run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMOS_STORE", str(store))
        monkeypatch.setenv("MEMOS_PRINCIPAL", "ada")
        kept = run("remember", "Ada counts.", "--json").json
        assert kept["header"]["governance"]["owner"] == "ada"
        assert run("list", "--as", "bob", "--json").json["memories"] == []

    def test_what_steers_a_terminal_is_shown_harmlessly(self, run: Run, store: Path) -> None:
        done = run("remember", "red \x1b[31m alert [bold]", "--store", store)
        assert "\x1b" not in done.out
        assert "red �[31m alert [bold]" in done.out

    @pytest.mark.parametrize(
        ("words", "part"),
        [
            (["  "], "empty"),
            (["x", "--at", "yesterday"], "ISO 8601"),
            (["x", "--ttl", "soon"], "30d"),
            (["x", "--embedder", "psychic"], "no embedder is called 'psychic'"),
        ],
    )
    def test_bad_input_is_an_error_with_its_remedy(
        self, run: Run, store: Path, words: list[str], part: str
    ) -> None:
        done = run("remember", *words, "--store", store, "--json")
        assert done.code == 1
        assert done.json["error"] == "InvalidInput"
        assert part in done.json["message"]
        assert part in done.err.replace("\n", " ")


class TestIngest:
    def test_turns_are_kept_in_order_and_again_adds_nothing(
        self, run: Run, store: Path, tmp_path: Path
    ) -> None:
        chat = jsonl(
            tmp_path,
            {"speaker": "Ada", "text": "One.", "at": "2024-05-03T18:30:00+00:00"},
            {"speaker": "Bob", "text": "Two.", "at": "2024-05-03T18:31:00+00:00"},
        )
        first = run("ingest", chat, "--store", store, "--json")
        again = run("ingest", chat, "--store", store)
        assert {k: first.json[k] for k in ("turns", "new", "cubes")} == {
            "turns": 2, "new": 2, "cubes": {"main": 2},
        }  # fmt: skip
        assert first.err == ""
        assert "0 new, 2 known already" in again.out
        assert listed(run, store, "--session", "chat") == ["One.", "Two."]

    def test_a_broken_line_is_named_and_nothing_is_ingested(
        self, run: Run, nowhere: Path, tmp_path: Path
    ) -> None:
        chat = jsonl(
            tmp_path, {"speaker": "Ada", "text": "One."}, {"speaker": "Ada", "text": "Two."}, "{oops"
        )
        done = run("ingest", chat, "--store", nowhere, "--json")
        assert (done.code, done.json["error"]) == (1, "FormatError")
        assert done.json["message"].startswith("line 3:")
        assert not nowhere.exists()

    def test_a_session_without_a_name_stops_it_before_anything_is_written(
        self, run: Run, nowhere: Path, tmp_path: Path
    ) -> None:
        chat = jsonl(tmp_path, {"speaker": "Ada", "text": "One.", "session": "a"},
                     {"speaker": "Ada", "text": "Two.", "session": " "})  # fmt: skip
        done = run("ingest", chat, "--store", nowhere)
        assert done.code == 1
        assert "session is empty" in done.err
        assert not nowhere.exists()

    def test_locomo_samples_go_to_cubes_of_their_names(self, run: Run, store: Path, tmp_path: Path) -> None:
        path = locomo(tmp_path)
        done = run("ingest", path, "--store", store, "--json")
        assert done.json["cubes"] == {"conv-1": 1, "conv-2": 1}
        assert listed(run, store, "--cube", "conv-2") == ["Hello from conv-2."]

    def test_with_a_cube_named_sessions_bear_the_conversations_name(
        self, run: Run, store: Path, tmp_path: Path
    ) -> None:
        run("ingest", locomo(tmp_path), "--cube", "all", "--store", store)
        found = run("list", "--cube", "all", "--store", store, "--json").json["memories"]
        assert [memory["session"] for memory in found] == ["conv-1/session_1", "conv-2/session_1"]

    @pytest.mark.parametrize(
        "text",
        [
            '{"speaker": "Ada", "text": "Hi."}\n',
            '[{"role": "user", "content": "Hi."}]',
            '{\n"messages": [\n{"role": "user", "content": "Hi."}]}',
        ],
    )
    def test_a_dash_reads_standard_input_and_sees_what_it_is(self, run: Run, store: Path, text: str) -> None:
        assert run("ingest", "-", "--store", store, stdin=text).code == 0
        assert listed(run, store) == ["Hi."]

    def test_an_empty_file_is_no_error_and_makes_no_store(
        self, run: Run, nowhere: Path, tmp_path: Path
    ) -> None:
        done = run("ingest", jsonl(tmp_path), "--store", nowhere)
        assert done.code == 0
        assert "no messages" in done.out
        assert not nowhere.exists()

    def test_what_is_no_text_file_is_refused(self, run: Run, store: Path, tmp_path: Path) -> None:
        binary = tmp_path / "chat.jsonl"
        binary.write_bytes(b"\xff\xfe\x00")
        assert "not UTF-8" in run("ingest", binary, "--store", store).err
        assert "not UTF-8" in run("ingest", "-", "--store", store, stdin=b"\xff\xfe").err
        folder = run("ingest", tmp_path, "--store", store)
        assert folder.code == 1
        assert "is a folder" in folder.err
        assert run("ingest", tmp_path / "none.jsonl", "--store", store).code == 3
        assert run("ingest", binary, "--format", "morse", "--store", store).code == 1

    def test_interrupted_it_says_so_and_keeps_what_was_written(
        self, run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = MemCube.ingest

        def second_time(
            self: MemCube, messages: object, *, session: str | None = None, **given: str
        ) -> object:
            if session == "b":
                raise KeyboardInterrupt
            return whole(self, messages, session=session, **given)  # type: ignore[arg-type]

        monkeypatch.setattr(MemCube, "ingest", second_time)
        chat = jsonl(tmp_path, {"speaker": "Ada", "text": "One.", "session": "a"},
                     {"speaker": "Ada", "text": "Two.", "session": "b"})  # fmt: skip
        done = run("ingest", chat, "--store", store, "--json")
        assert (done.code, done.json["error"]) == (130, "Interrupted")
        assert listed(run, store) == ["One."]


class TestReviseAndForget:
    def test_a_revision_is_the_next_version_and_a_late_one_is_refused(self, run: Run, store: Path) -> None:
        first = run("remember", "Ines plays the cello.", "--store", store, "--json").json["id"]
        second = run("revise", first[:8], "Ines plays the oboe.", "--expected", 1, "--store", store, "--json")
        late = run("revise", first, "Ines sings.", "--expected", 1, "--store", store)
        history = run("history", first[:8], "--store", store, "--json").json
        assert (second.json["version"], second.json["text"]) == (2, "Ines plays the oboe.")
        assert late.code == 1
        assert "at version 2, not 1" in late.err
        assert [each["text"] for each in history["versions"]] == [
            "Ines plays the cello.", "Ines plays the oboe.",
        ]  # fmt: skip
        assert "2 versions" in run("history", first, "--store", store).out
        assert "version 3" in run("revise", first, "-", "--store", store, stdin="Ines rests.\n").out

    def test_forgetting_prints_the_receipt_and_the_memory_is_gone(self, run: Run, store: Path) -> None:
        keys = [run("remember", text, "--store", store, "--json").json["id"] for text in ("One.", "Two.")]
        spoken = run("forget", keys[0][:8], "--store", store)
        document = run("forget", keys[1], "--yes", "--store", store, "--json").json
        assert spoken.code == 0
        assert keys[0] in spoken.out
        assert "versions 1" in spoken.out
        assert set(document) == {*Erasure.__slots__, "memory_id", "cube"} - {"texts"}
        assert document["erased"]["memories"] == 1
        assert run("show", keys[0], "--store", store).code == 3

    @pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("n\n", 1, ["One."])])
    def test_on_a_terminal_it_asks_first(
        self, run: Run, store: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
    ) -> None:
        key = run("remember", "One.", "--store", store, "--json").json["id"]
        monkeypatch.setattr("memos_core.cli.erasing.on_terminal", lambda: True)
        done = run("forget", key, "--store", store, "--json", stdin=answer)
        assert done.code == code
        assert "Erase this" in done.err
        assert listed(run, store) == left


def locomo(folder: Path) -> Path:
    samples = [
        {
            "sample_id": name,
            "conversation": {
                "session_1_date_time": "1:56 pm on 8 May, 2023",
                "session_1": [{"speaker": "Ada", "dia_id": "D1:1", "text": f"Hello from {name}."}],
            },
        }
        for name in ("conv-1", "conv-2")
    ]
    path = folder / "samples.json"
    path.write_text(json.dumps(samples))
    return path


def test_what_was_written_is_there_for_the_library(run: Run, store: Path) -> None:
    run("remember", "One.", "--cube", "notes", "--store", store)
    with MemOS.open(store) as memos:
        assert [memory.text for memory in memos.cube("notes").list()] == ["One."]


def test_long_work_shows_a_bar_on_a_terminal_and_only_there(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = jsonl(tmp_path, {"speaker": "Ada", "text": "One."})
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert "keeping turns" in run("ingest", chat, "--store", store).err
    assert run("ingest", chat, "--store", store, "--json").err == ""
    assert "remembering" in run("remember", "Two.", "--store", store).err
