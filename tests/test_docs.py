"""The documents do what they say: their code runs, their links lead somewhere, their figures are measured.

Python blocks of one page run in order, in one namespace and one temporary folder. In shell blocks the
commands that start with `memos` run through the command line. `<!-- not run: reason -->` before a block
leaves it out; `<!-- check: expression -->` after one must be true in the page's namespace.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import autogen_memos
import langchain_memos
import llamaindex_memos
import memos_core

ROOT = Path(__file__).resolve().parents[1]
HOWTOS = sorted(ROOT.glob("docs/howto/*.md"))
GUIDES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")), *HOWTOS]
EXAMPLES = sorted(ROOT.glob("examples/**/*.py"))
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "packages/*/*.md", "benchmarks/**/*.md")
    for page in ROOT.glob(pattern)
)
GENERATED = {ROOT / "docs" / "benchmarks.md": ROOT / "benchmarks" / "report.py"}  # a page, and what writes it
WEIGHTS = ROOT / "benchmarks" / "results" / "weights_on_disk.json"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (not run|check): (.+?) -->")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page, at its first line; `checks` are what must be true afterwards."""

    language: str
    text: str
    line: int
    left_out: str | None
    checks: tuple[str, ...]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    for number, fence in enumerate(fences):
        before = text[fences[number - 1].end() if number else 0 : fence.start()].rstrip().rpartition("\n")[2]
        after = text[fence.end() : fences[number + 1].start() if number + 1 < len(fences) else None]
        skipped = _COMMENT.fullmatch(before.strip())
        yield Block(
            language=fence[1],
            text=fence[2],
            line=text.count("\n", 0, fence.start(2)) + 1,
            left_out=skipped[2] if skipped and skipped[1] == "not run" else None,
            checks=tuple(found[2] for found in _COMMENT.finditer(after) if found[1] == "check"),
        )


# --- code runs -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("thread_loop")
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    for block in blocks(page):
        if block.left_out is None and block.language == "python":
            run_python(block, page, namespace)
        elif block.left_out is None and block.language == "bash":
            run_commands(block, page, tools=tmp_path / "bin")
        for check in block.checks:
            assert eval(check, namespace), f"{page.name}:{block.line}: {check}"


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    padded = "\n" * (block.line - 1) + block.text  # a traceback names the page's own line
    exec(compile(padded, str(page), "exec"), namespace)


def run_commands(block: Block, page: Path, *, tools: Path) -> None:
    lines = [line for line in block.text.splitlines() if re.match(r"memos\b|export ", line)]
    if not any(line.startswith("memos") for line in lines):
        return
    script = "\n".join(["set -euo pipefail", *lines])
    done = subprocess.run(
        ["bash", "-c", script],
        env=with_memos(tools),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}:{block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"


def with_memos(tools: Path) -> dict[str, str]:
    """Return an environment in which `memos` is the command line of the package under test."""
    tools.mkdir(exist_ok=True)
    command = tools / "memos"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m memos_core "$@"\n', encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return environment() | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


def environment() -> dict[str, str]:
    """Return an environment with the package under test and none of our own settings."""
    source = os.pathsep.join(
        str(Path(str(each.__file__)).parents[1])
        for each in (memos_core, langchain_memos, llamaindex_memos, autogen_memos)
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_")}
    return kept | {"PYTHONPATH": source, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "default"}


_HASTE = {"04_lora_memory.py": ("--steps", "1")}  # a real training takes minutes


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.relative_to(ROOT)))
def test_an_example_runs_and_says_something(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example), *_HASTE.get(example.name, ())],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []  # it cleans up behind itself


def test_only_what_needs_a_server_or_a_key_is_left_out() -> None:
    reasons = {block.left_out for page in GUIDES for block in blocks(page) if block.left_out}
    assert {reason for reason in reasons if not re.search(r"server|key", reason)} == set()


# --- links lead somewhere --------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


def links(page: Path) -> Iterator[str]:
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for found in _LINK.finditer(prose):
        if not re.match(r"[a-z]+:", found[1]):
            yield found[1]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if target in GENERATED and not GENERATED[target].exists():
        return True  # its generator has not been written yet either
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_example_and_every_guide_is_listed() -> None:
    listed = {
        (page.parent / link).resolve()
        for page in (ROOT / "README.md", ROOT / "examples" / "README.md")
        for link in links(page)
    }
    assert [path for path in [*EXAMPLES, *HOWTOS] if path not in listed] == []


# --- names and figures are the real ones ------------------------------------------------------


def test_the_reference_names_exactly_what_is_public() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    part = page.partition("## memos_core.testing")[0]
    named = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    assert sorted(named) == sorted(memos_core.__all__)


def test_the_reference_names_every_verb() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    verbs = {
        name
        for owner in (memos_core.MemOS, memos_core.MemCube)
        for name, value in vars(owner).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, classmethod))
    }
    assert {verb for verb in verbs if not re.search(rf"`{verb}\(", page)} == set()


def test_the_readme_shows_the_measured_weights() -> None:
    measured = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    for weight in measured["weights"]:
        row = f"| `{weight['install']}` | {weight['site_packages_mib']:,} MiB |"
        assert row in shown, row
