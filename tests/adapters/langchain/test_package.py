"""The package itself: what it declares, what importing it costs, what it says when an extra is missing."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import langchain_memos
from langchain_memos import classic

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "packages" / "langchain_memos"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of(requirements):
    return {normal(re.split(r"[ <>=!~;\[]", each, maxsplit=1)[0]) for each in requirements}


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
    assert langchain_memos.__version__ == PROJECT["version"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_package_that_a_file_imports_is_declared(path):
    declared = names_of(PROJECT["dependencies"]) | {"pydantic"}  # langchain-core's own face is made of it
    declared |= {name for extra in PROJECT["optional-dependencies"].values() for name in names_of(extra)}
    owners = packages_distributions() | {
        "memos_core": ["memos-suite-core"],
        "langgraph": ["langgraph-checkpoint"],
    }
    lacking = {
        module
        for module in imported(path)
        if module not in sys.stdlib_module_names and module != "langchain_memos"
        if not declared & {normal(owner) for owner in owners.get(module, [module])}
    }
    assert lacking == set()


def test_what_needs_no_extra_imports_none():
    without = (
        "import sys\n"
        "for name in ('langchain', 'langgraph.graph', 'langchain_classic'): sys.modules[name] = None\n"
        "from langchain_memos import MemOSRetriever, MemOSStore, NoUser, with_memories\n"
        "print('fine')"
    )
    assert told(without) == "fine"


@pytest.mark.parametrize("name", ["MemOSMiddleware", "memory_tools"])
def test_a_missing_extra_is_named(name):
    without = (
        "import sys\n"
        "sys.modules['langchain'] = None\n"
        "try:\n"
        f"    from langchain_memos import {name}\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    assert told(without).endswith("pip install 'langchain-memos[agents]'")


def test_importing_the_package_loads_no_host_and_opens_nothing():
    hosts = ("langchain_core", "numpy", "pydantic")
    code = f"import sys, langchain_memos; print([name for name in {hosts} if name in sys.modules])"
    assert told(code) == "[]"


def test_a_name_that_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = langchain_memos.Nothing
    assert set(langchain_memos.__all__) <= set(dir(langchain_memos))


@pytest.mark.parametrize(
    ("home", "name"), [(home, name) for home in (langchain_memos, classic) for name in home.__all__]
)
def test_every_public_name_says_what_it_gives(home, name):
    each = getattr(home, name)
    assert (inspect.getdoc(each) or "").strip()
    if inspect.isclass(each):
        own = [m for n, m in vars(each).items() if not n.startswith("_") and inspect.isfunction(m)]
        assert [member.__name__ for member in own if not inspect.getdoc(member)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_file_is_a_thin_one(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
