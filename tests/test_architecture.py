"""Rules that no single file can show."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import memos_core

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "packages").glob("*/src/**/*.py"))
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "pymilvus",
    "milvus_lite",
    "onnxruntime",
    "openai",
    "peft",
)
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
PICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path):
    return str(path.relative_to(ROOT / "packages"))


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_there_are_sources_to_look_at():
    assert "core/src/memos_core/memos.py" in map(name_of, SOURCES)


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, memos_core; print([name for name in {HEAVY!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_importing_the_package_sets_up_no_logging_and_starts_no_thread():
    code = (
        "import logging, threading, memos_core; "
        "print(logging.getLogger().handlers, logging.getLogger('memos_core').handlers); "
        "print(threading.active_count())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["[]", "[]", "1"]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_fits_on_a_screen(path):
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    allowed = {"upgrade"} if "migrations" in path.parts else set()  # a schema is a list, not a procedure
    assert set(long) - allowed == set(), long


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_stored_bytes_are_never_code(path):
    tree = tree_of(path)
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert (PICKLERS & set(imported(tree)), {"eval", "exec"} & called) == (set(), set())


@pytest.mark.parametrize("path", [path for path in SOURCES if "cli" not in path.parts], ids=name_of)
def test_the_library_reads_no_environment(path):
    tree = tree_of(path)
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }
    assert ({"os.environ", "os.getenv", "os.environb"} & attributes, {"environ", "getenv"} & names) == (
        set(),
        set(),
    )


@pytest.mark.parametrize("path", [path for path in SOURCES if "cli" not in path.parts], ids=name_of)
def test_the_library_prints_nothing_and_configures_no_logging(path):
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)} | {
        call.attr for call in calls if isinstance(call, ast.Attribute)
    }
    assert names & {"print", "basicConfig", "addHandler", "setLevel"} == set()


def test_only_supervisors_catch_everything():
    broad = [
        name_of(path)
        for path in SOURCES
        if "cli" not in path.parts
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    supervisors = [
        "operator/indexer.py",
        "scheduler/worker.py",
        "scheduler/worker.py",
    ]  # of threads, of a handler
    assert broad == [f"core/src/memos_core/{each}" for each in supervisors]


def test_the_import_contracts_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def public_names():
    for name in memos_core.__all__:
        each = getattr(memos_core, name)
        yield name, each
        if inspect.isclass(each):
            for part, member in vars(each).items():
                if not part.startswith("_") and inspect.isfunction(
                    inspect.unwrap(getattr(member, "__func__", member))
                ):
                    yield f"{name}.{part}", member


@pytest.mark.parametrize(
    ("name", "each"), list(public_names()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_public_name_says_what_it_gives(name, each):
    said = inspect.getdoc(each) or ""
    assert said.strip() != ""
    assert not said.startswith(f"{name}(")  # the docstring that a dataclass makes by itself


def test_what_is_exported_is_there_and_sorted_out():
    assert sorted(memos_core.__all__) == sorted(
        name for name in set(memos_core.__all__) if hasattr(memos_core, name)
    )


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads((ROOT / "packages/core/pyproject.toml").read_text())["project"]
    assert memos_core.__version__ == project["version"]


def test_every_module_says_what_it_is_for():
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]
    assert silent == []
