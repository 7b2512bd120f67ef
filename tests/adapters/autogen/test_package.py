"""The package itself: what it declares, what importing it costs, how thin its files are."""

import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import autogen_memos
from tests.adapters.langchain.test_package import imported, names_of, normal

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "packages" / "autogen_memos"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def told(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_its_version_is_that_of_the_distribution():
    assert autogen_memos.__version__ == PROJECT["version"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_package_that_a_file_imports_is_declared(path):
    declared = names_of(PROJECT["dependencies"]) | {"pydantic"}  # autogen-core's own face is made of it
    if path.name == "agent_framework.py":
        declared |= names_of(PROJECT["optional-dependencies"]["agent-framework"])
    owners = packages_distributions() | {"memos_core": ["memos-suite-core"]}
    lacking = {
        module
        for module in imported(path)
        if module not in sys.stdlib_module_names and module != "autogen_memos"
        if not declared & {normal(owner) for owner in owners.get(module, [module])}
    }
    assert lacking == set()


def test_importing_the_package_loads_no_host_and_opens_nothing():
    hosts = ("autogen_core", "numpy", "pydantic", "agent_framework")
    code = f"import sys, autogen_memos; print([name for name in {hosts} if name in sys.modules])"
    assert told(code) == "[]"


def test_a_name_that_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = autogen_memos.Nothing
    assert set(autogen_memos.__all__) <= set(dir(autogen_memos))


@pytest.mark.parametrize("name", autogen_memos.__all__)
def test_every_public_name_says_what_it_gives(name):
    each = getattr(autogen_memos, name)
    assert (inspect.getdoc(each) or "").strip()
    if inspect.isclass(each):
        own = [m for n, m in vars(each).items() if not n.startswith("_") and inspect.isfunction(m)]
        assert [member.__name__ for member in own if not inspect.getdoc(member)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_file_is_a_thin_one(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
