"""The wheels are whole: built, installed away from the source tree, and used.

To save minutes the clean environment does not install the dependencies again: a .pth file lends it the
site-packages of this one. That cannot hide a part missing from our wheel, because `memos_core` is not
importable through it: an editable install is itself a .pth file, and those are read in an environment's own
site-packages only; the fixture makes sure. What it could hide, a dependency that was never declared, the last
test looks for.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "packages" / "core"
ADAPTERS = sorted(path.parent for path in ROOT.glob("packages/*_memos/pyproject.toml"))
LENT = Path(sysconfig.get_path("purelib"))

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

SMOKE = """
import json, sys
from importlib.metadata import version
from importlib.resources import files

import memos_core

memos_core.MemOS, memos_core.AsyncMemOS  # names are imported when they are asked for
heavy = sorted({"torch", "transformers", "pymilvus"} & set(sys.modules))
with memos_core.MemOS.open("store") as memos:  # runs every migration
    cube = memos.cube("mira")
    cube.remember("Mira moved to Lisbon in May 2024.")
    found = cube.recall("Which city did Mira move to?")  # vocabulary, weights of model and fusion
    told = memos.drain()
print(json.dumps({
    "file": memos_core.__file__,
    "versions": [memos_core.__version__, version("memos-suite-core")],
    "typed": (files("memos_core") / "py.typed").is_file(),
    "heavy": heavy,
    "texts": found.texts,
    "told": told,
}))
"""


SMOKES = {
    "autogen_memos": """
        import asyncio
        from autogen_core.memory import MemoryContent
        from autogen_memos import MemOSMemory
        memory = MemOSMemory(memos)
        asyncio.run(memory.add(MemoryContent(content="home", mime_type="text/plain")))
        print(asyncio.run(memory.query("home")).results[0].content)
    """,
    "langchain_memos": """
        from langchain_memos import MemOSStore
        store = MemOSStore(memos)
        store.put(("users", "mira"), "home", {"text": "Mira moved to Lisbon."})
        print(store.search(("users",), query="Lisbon")[0].key)
    """,
    "llamaindex_memos": """
        from llamaindex_memos import MemOSRetriever
        memos.cube("memory").remember("home")
        print(MemOSRetriever(memos).retrieve("home")[0].node.text)
    """,
}
"""For each adapter, what it does with an open store; it prints "home"."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each package, built from a copy, so that nothing is left in the source tree."""
    return {
        package.name: _built(package, tmp_path_factory.mktemp(package.name)) for package in (CORE, *ADAPTERS)
    }


@pytest.fixture(scope="session")
def wheel(wheels: dict[str, Path]) -> Path:
    return wheels["core"]


def _built(package: Path, folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    copy = shutil.copytree(package, folder / package.name, ignore=ignored)
    shared = ["--no-isolation"] if find_spec("hatchling") else []  # else it is fetched for the build
    run(sys.executable, "-m", "build", "--wheel", *shared, "--outdir", folder, copy)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment in which the wheels are installed."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    interpreter = folder / "bin" / "python"
    own = next(folder.glob("lib/python*/site-packages"))
    for name in ("memos_core", *(adapter.name for adapter in ADAPTERS)):
        assert not (LENT / name).exists(), f"{name} is installed, not editable: its wheel would not be tested"
    (own / "lent.pth").write_text(f"{LENT}\n", encoding="utf-8")
    missing = run(interpreter, "-I", "-c", "import importlib.util as u; print(u.find_spec('memos_core'))")
    assert missing.stdout.strip() == "None"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", "--force-reinstall", *wheels.values())
    return interpreter


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Any:
    words = [str(word) for word in command]
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        words, cwd=cwd, env=kept | (env or {}), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


# --- it works ---------------------------------------------------------------------------------


def test_the_installed_wheel_remembers_and_recalls(python: Path, tmp_path: Path) -> None:
    said = json.loads(run(python, "-I", "-c", SMOKE, cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"}).stdout)
    assert str(python.parents[1]) in said.pop("file")
    installed, declared = said.pop("versions")
    assert installed == declared
    assert said == {
        "typed": True,
        "heavy": [],
        "texts": ["Mira moved to Lisbon in May 2024."],
        "told": 1,
    }


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda path: path.name)
def test_an_installed_adapter_works_on_the_installed_core(
    adapter: Path, python: Path, tmp_path: Path
) -> None:
    opened = "import memos_core\nmemos = memos_core.MemOS.open('store')\n"
    code = (
        f"{opened}{dedent(SMOKES[adapter.name])}\nimport {adapter.name} as adapter\nprint(adapter.__file__)"
    )
    key, file = run(python, "-I", "-c", code, cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"}).stdout.split()
    assert (key, file.startswith(str(python.parents[1]))) == ("home", True)


def test_the_installed_command_helps(python: Path, tmp_path: Path) -> None:
    assert "recall" in run(python.with_name("memos"), "--help", cwd=tmp_path).stdout


def test_the_installed_command_tells_its_story(python: Path, tmp_path: Path) -> None:
    said = run(python.with_name("memos"), "demo", "--json", cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"}).stdout
    assert {"kept", "asked", "changed", "forgotten", "survived"} <= set(json.loads(said))


# --- it holds what it should ------------------------------------------------------------------


@pytest.mark.parametrize("package", [CORE, *ADAPTERS], ids=lambda path: path.name)
def test_it_holds_every_file_of_the_package_and_nothing_else(package: Path, wheels: dict[str, Path]) -> None:
    source = package / "src"
    wanted = {
        str(path.relative_to(source))
        for path in next(source.glob("*_*/")).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[package.name]) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted


@pytest.mark.parametrize("package", ADAPTERS, ids=lambda path: path.name)
def test_an_adapter_names_its_licence_and_is_typed(package: Path, wheels: dict[str, Path]) -> None:
    told = metadata(wheels[package.name])
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    with zipfile.ZipFile(wheels[package.name]) as archive:
        assert f"{package.name}/py.typed" in archive.namelist()


def test_its_metadata_names_licence_readme_and_command(wheel: Path) -> None:
    told = metadata(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        scripts = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert str(told.get_payload()).startswith("# memos-suite-core")
    assert "memos = memos_core.cli:main" in scripts


def test_it_declares_every_package_that_it_imports(wheel: Path) -> None:
    requirements = metadata(wheel).get_all("Requires-Dist") or []
    declared = {_normal(re.split(r"[ <>=!~;\[]", each, maxsplit=1)[0]) for each in requirements}
    owners = packages_distributions()
    undeclared = {
        module
        for module in imported(CORE / "src" / "memos_core")
        if module not in sys.stdlib_module_names and module != "memos_core"
        if not declared & {_normal(name) for name in owners.get(module, [module])}
    }
    assert undeclared <= BROUGHT_ALONG


BROUGHT_ALONG = {"grpc", "safetensors"}
"""Imported, and brought by what we declare: pymilvus needs grpcio, wordllama safetensors."""


def imported(package: Path) -> set[str]:
    """Return the top-level names that a package imports, wherever in its files."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    found |= {each.name.partition(".")[0] for each in names}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
