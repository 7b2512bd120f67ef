"""A small adapter and its header, for tests."""

import numpy as np

from memos_core.adapter import AdapterHeader, Base, Evaluation, Recipe, adapter_key
from memos_core.segment import Origin
from memos_core.tiers.lora.layout import digest_of
from memos_core.training import Weights

BASE = Base(weights="w" * 64, config="c" * 64, tokenizer="t" * 64, template="p" * 64)
PASSED = Evaluation(questions=4, choice=1.0, choice_base=0.25, contains=1.0, unknown=1.0, neutral=1.01)
RECIPE = Recipe(  # every field, so that golden files outlast other defaults
    rank=2,
    alpha=4.0,
    targets="all-linear",
    rate=5e-4,
    warmup=4,
    batch=8,
    replay=0.5,
    texts=2,
    steps=200,
    look=10,
    patience=2,
)


def weights(*, rank=2):
    module = "base_model.model.model.layers.0.mlp.up_proj"
    a = np.arange(rank * 3, dtype=np.float32).reshape(rank, 3)
    return Weights(
        tensors={f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": np.ones((4, rank), np.float32)},
        rank=rank,
        alpha=4.0,
    )


def header(*, failed=(), evaluation=PASSED, base=BASE):
    facts = {
        "base": base,
        "cube": "the-cube",
        "sources": (Origin("m1", 3), Origin("m2", 1)),
        "syllabus": {"seed": 7, "persona": "Mira"},
        "recipe": RECIPE,
    }
    return AdapterHeader(
        key=adapter_key(**facts),
        **facts,
        steps=9,
        tensors=digest_of(weights().tensors),
        evaluation=evaluation,
        failed=tuple(failed),
    )
