"""An adapter in GGUF: llama.cpp puts it on, and says with it what the same model says with PEFT's."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")
pytest.importorskip("xllamacpp", reason="needs the extra llama-cpp")

from memos_core.errors import FormatError, InvalidInput
from memos_core.inference import Turn
from memos_core.reply import Sampling
from memos_core.tiers.kv.gguf import read_header
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.llamacpp import LlamaCppEngine, bundled_file
from memos_core.tiers.lora import gguf_out
from memos_core.tiers.lora.teacher import HfTeacher
from memos_core.training import Weights

SMALL = {"context": 256, "threads": 1, "kv_dtype": "f32"}
ASKED = ("Name three things that one can see from a bridge.", "Why do cats sleep so much?", "Tell me a joke.")
TOKENS = 6
TURNED = ("self_attn.q_proj", "self_attn.k_proj")
PARTS = (*TURNED, "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")


@pytest.fixture(scope="module")
def bundled():
    engine = HfEngine.open("smollm2-135m")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def weights(bundled):
    """An adapter by chance over layers of every kind."""
    return by_chance(bundled, PARTS, alpha=6.0)


def by_chance(engine, parts, *, alpha):
    chance, modules, tensors = np.random.default_rng(5), dict(engine.model.named_modules()), {}
    for layer in (3, 11, 20, 28):
        for part in parts:
            name = f"model.layers.{layer}.{part}"
            rows, columns = modules[name].weight.shape
            tensors[f"base_model.model.{name}.lora_A.weight"] = _matrix(chance, 4, columns)
            tensors[f"base_model.model.{name}.lora_B.weight"] = _matrix(chance, rows, 4)
    return Weights(tensors=tensors, rank=4, alpha=alpha)


def _matrix(chance, rows, columns):
    return (chance.standard_normal((rows, columns)) * 0.09).astype(np.float32)


def said(engine):
    """Return the first tokens of its answers."""
    found = []
    for asked in ASKED:
        ids = engine.encode([], [Turn("user", asked)]).ids
        found.append([token.id for token in engine.generate(ids, [], Sampling(max_tokens=TOKENS))])
    return found


def agreed(one, other):
    """Return how many tokens are the same up to the first that is not: llama.cpp rounds otherwise."""
    pairs = [zip(a, b, strict=True) for a, b in zip(one, other, strict=True)]
    return sum(sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], each)) for each in pairs)


@pytest.mark.parametrize(("parts", "alpha"), [(TURNED, 40.0), (PARTS, 6.0)], ids=["turned", "all"])
def test_llama_cpp_says_with_it_what_transformers_says_with_it(bundled, tmp_path, parts, alpha):
    weights, base = by_chance(bundled, parts, alpha=alpha), read_header(bundled_file())
    gguf_out.check(weights, base)
    tuned = LlamaCppEngine.open(adapter=gguf_out.written(weights, base, tmp_path / "adapter.gguf"), **SMALL)
    try:
        found = said(tuned)
    finally:
        tuned.close()
    expected = said(HfTeacher(bundled).engine_with(weights, digest="a" * 64))
    whole = len(ASKED) * TOKENS
    assert agreed(found, expected) >= 0.85 * whole
    assert agreed(found, said(bundled)) <= 0.8 * whole


def test_an_adapter_is_in_the_identity(bundled, weights, tmp_path):
    path = gguf_out.written(weights, read_header(bundled_file()), tmp_path / "adapter.gguf")
    engines = [LlamaCppEngine.open(**SMALL), LlamaCppEngine.open(adapter=path, **SMALL)]
    plain, tuned = (engine.identity for engine in engines)
    for engine in engines:
        engine.close()
    assert (plain.adapter, tuned.adapter) == ("", hashlib.sha256(path.read_bytes()).hexdigest())
    assert plain.digest != tuned.digest


def test_a_model_of_another_kind_is_refused(weights):
    header = read_header(bundled_file())
    other = type(header)(values={**header.values, "general.architecture": "qwen2"}, digests=header.digests)
    with pytest.raises(InvalidInput, match="qwen2"):
        gguf_out.check(weights, other)


def test_an_adapter_with_other_layers_is_refused(weights):
    header = read_header(bundled_file())
    tensors = {name.replace("layers.28", "layers.99"): each for name, each in weights.tensors.items()}
    with pytest.raises(InvalidInput, match="such layer"):
        gguf_out.check(Weights(tensors=tensors, rank=4, alpha=6.0), header)


def test_what_is_no_adapter_is_not_put_on():
    with pytest.raises(FormatError, match="no adapter"):
        LlamaCppEngine.open(adapter=Path(bundled_file()), **SMALL)
