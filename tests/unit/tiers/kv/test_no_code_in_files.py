"""Stored states are data: nothing in the KV tier may load anything that could run (ADR 0004)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import memos_core

TIER = Path(memos_core.__file__).parent / "tiers" / "kv"
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "np.load", "numpy.load"}


def runnable(source: str) -> list[str]:
    """Return what a module imports or calls that reads or writes code as data."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module)):
                names = {f"{module}.{alias.name}" for alias in node.names}
                found += [module] if module.partition(".")[0] in MODULES else sorted(names & CALLS)
            case ast.Attribute() if ast.unparse(node) in CALLS:
                found.append(ast.unparse(node))
            case ast.keyword(arg="allow_pickle" | "use_safetensors" as name, value=ast.Constant(value=value)):
                found += [name] if value is (name == "allow_pickle") else []
    return found


@pytest.mark.parametrize("path", sorted(TIER.glob("**/*.py")), ids=lambda path: path.name)
def test_no_module_of_the_tier_loads_what_could_run(path):
    assert runnable(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "open_model(use_safetensors=False)",
    ],
)
def test_it_would_be_noticed(source):
    assert runnable(source)
