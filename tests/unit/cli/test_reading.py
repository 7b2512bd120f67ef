from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from memos_core.cli.reading import in_turns
from tests.unit.cli.conftest import Filled, Run


class TestRecall:
    def test_hits_come_with_score_date_speaker_text_and_reasons(self, run: Run, filled: Filled) -> None:
        done = run("recall", "Which river does the balcony look at?", "--cube", "talk", "-k", 1,
                   "--store", filled.folder)  # fmt: skip
        assert done.code == 0
        assert done.err == ""
        for part in (
            "2024-05-03",
            "Mira",
            "the balcony looks at the river",
            "lexical",
            "1 hit of 3 memories",
        ):
            assert part in done.out
        assert max(map(len, done.out.splitlines())) <= 80

    def test_the_document_says_the_same(self, run: Run, filled: Filled) -> None:
        found = run("recall", "balcony", "--cube", "talk", "-k", 2, "--store", filled.folder, "--json").json
        assert set(found) == {"query", "hits", "cubes", "memories", "seconds"}
        assert (found["cubes"], found["memories"], len(found["hits"])) == (["talk"], 3, 2)
        top = found["hits"][0]
        assert top["memory"]["speaker"] == "Mira"
        assert 0 <= top["score"] <= 1
        assert sum(top["why"].values()) == pytest.approx(top["score"], abs=1e-4)

    def test_without_a_cube_all_are_asked_and_each_has_its_turn(self, run: Run, filled: Filled) -> None:
        words = ("recall", "When does the ferry leave?", "-k", 3, "--store", filled.folder)
        found = run(*words, "--json").json
        assert found["cubes"] == ["main", "talk"]
        assert {hit["memory"]["cube"] for hit in found["hits"][:2]} == {"main", "talk"}
        assert "take turns" in run(*words).out

    def test_prompt_lines_stay_within_the_budget(self, run: Run, filled: Filled) -> None:
        done = run("recall", "ferry", "--cube", "main", "--prompt", "--budget", 24, "--store", filled.folder)
        assert done.out == '- [2024-05-03] "The ferry to Cacilhas leaves at noon."\n'

    def test_a_budget_over_several_cubes_is_a_usage_error(self, run: Run, filled: Filled) -> None:
        done = run("recall", "ferry", "--budget", 40, "--store", filled.folder, "--json")
        assert done.code == 2
        assert done.json["error"] == "UsageError"
        assert "--cube" in done.json["message"]

    def test_filters_hold(self, run: Run, filled: Filled) -> None:
        found = run("recall", "flat", "--speaker", "Anselm", "--store", filled.folder, "--json").json
        assert [hit["memory"]["speaker"] for hit in found["hits"]] == ["Anselm"]

    def test_finding_nothing_is_an_answer(self, run: Run, filled: Filled, store: Path) -> None:
        empty = run("recall", "anything", "--store", store)
        filtered = run("recall", "flat", "--speaker", "Nobody", "--store", filled.folder)
        assert empty.code == filtered.code == 0
        assert "There is nothing here yet" in " ".join(empty.out.split())
        assert "Nothing comes to mind. I looked through 5 memories in 2 cubes." in filtered.out
        assert run("recall", "anything", "--store", store, "--json").json["hits"] == []

    def test_an_empty_question_is_an_error_even_where_there_is_no_cube(self, run: Run, store: Path) -> None:
        assert run("recall", " ", "--store", store).code == 1
        assert run("recall", "x", "-k", 0, "--store", store).code == 1


def test_turns_go_by_score_and_stop_at_k() -> None:
    def hits(cube: str, *scores: float) -> list[tuple[str, Any]]:
        return [(cube, cast("Any", SimpleNamespace(score=score))) for score in scores]

    found = in_turns([hits("a", 0.5, 0.4), hits("b", 0.7), hits("c")], most=3)
    assert [(cube, hit.score) for cube, hit in found] == [("b", 0.7), ("a", 0.5), ("a", 0.4)]


class TestList:
    def test_memories_come_in_the_order_of_writing_a_page_at_a_time(self, run: Run, filled: Filled) -> None:
        def page(*words: object) -> tuple[list[str], bool]:
            found = run("list", "--store", filled.folder, "--json", *words).json
            return [memory["text"][:10] for memory in found["memories"]], found["more"]

        assert page("-n", 2) == (["The ferry ", "Anselm is "], True)
        assert page("-n", 2, "--offset", 3) == (["How is the", "Small, but"], False)
        assert page("-n", 0)[1] is False
        assert len(page("-n", 0)[0]) == 5
        assert page("--tag", "ferry") == (["The ferry "], False)
        assert page("--since", "2024-05-04", "--kind", "fact") == (["Anselm is "], False)

    def test_the_table_fits_80_columns(self, run: Run, filled: Filled) -> None:
        done = run("list", "--store", filled.folder, "-n", 4)
        assert filled.fact[:8] in done.out
        assert "#ferry" in done.out
        assert "more: --offset 4" in done.out
        assert max(map(len, done.out.splitlines())) <= 80

    def test_nothing_to_list_is_said(self, run: Run, filled: Filled) -> None:
        assert "No memory matches" in run("list", "--kind", "song", "--store", filled.folder).out
        assert "No memory is left" in run("list", "--offset", 9, "--store", filled.folder).out


class TestShow:
    def test_a_memory_is_shown_with_header_and_sources(self, run: Run, filled: Filled) -> None:
        spoken = run("show", filled.turn[:8], "--store", filled.folder)
        document = run("show", filled.turn, "--store", filled.folder, "--json").json
        for part in (filled.turn, "talk (owner local)", "s1, turn 1", "2024-05-03 18:30"):
            assert part in spoken.out
        assert [source["message_id"] for source in document["sources"]] == ["t1"]

    def test_history_of_what_never_changed_is_one_version(self, run: Run, filled: Filled) -> None:
        found = run("history", filled.fact, "--store", filled.folder, "--json").json
        assert [each["version"] for each in found["versions"]] == [1]
        assert "1 version " in run("history", filled.fact, "--store", filled.folder).out
