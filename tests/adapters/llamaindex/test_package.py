"""The package itself: what it declares, what importing it costs, what LlamaHub reads of it."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import llamaindex_memos

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "packages" / "llamaindex_memos"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))
DECLARED = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = DECLARED["project"]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def told(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_its_version_is_that_of_the_distribution():
    assert llamaindex_memos.__version__ == PROJECT["version"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_package_that_a_file_imports_is_declared(path):
    declared = {normal(re.split(r"[ <>=!~;\[]", each, maxsplit=1)[0]) for each in PROJECT["dependencies"]}
    declared |= {"pydantic", "pydantic-core"}  # llama-index-core's own face is made of it
    owners = packages_distributions() | {
        "memos_core": ["memos-suite-core"],
        "llama_index": ["llama-index-core"],
    }
    lacking = {
        module
        for module in imported(path)
        if module not in sys.stdlib_module_names and module != "llamaindex_memos"
        if not declared & {normal(owner) for owner in owners.get(module, [module])}
    }
    assert lacking == set()


def test_importing_the_package_loads_no_host_and_opens_nothing():
    hosts = ("llama_index", "numpy", "pydantic")
    code = f"import sys, llamaindex_memos; print([name for name in {hosts} if name in sys.modules])"
    assert told(code) == "[]"


def test_a_name_that_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = llamaindex_memos.Nothing
    assert set(llamaindex_memos.__all__) <= set(dir(llamaindex_memos))


@pytest.mark.parametrize("name", llamaindex_memos.__all__)
def test_every_public_name_says_what_it_gives(name):
    each = getattr(llamaindex_memos, name)
    assert (inspect.getdoc(each) or "").strip()
    if inspect.isclass(each):
        own = [m for n, m in vars(each).items() if not n.startswith("_") and inspect.isfunction(m)]
        assert [member.__name__ for member in own if not inspect.getdoc(member)] == []


def test_llamahub_is_told_every_component_and_its_name():
    hub = DECLARED["tool"]["llamahub"]
    assert hub["import_path"] == "llamaindex_memos"
    components = [name for name in llamaindex_memos.__all__ if name.startswith("MemOS")]
    assert sorted(hub["class_authors"]) == sorted(components)
    named = [getattr(llamaindex_memos, name) for name in components]
    assert [each.class_name() for each in named if hasattr(each, "class_name")] == [
        each.__name__ for each in named if hasattr(each, "class_name")
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_file_is_a_thin_one(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
