"""The promise of an Engine, kept by the transformers engine with small random models and a real one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")

from memos_core.inference import AnyEngine
from memos_core.testing import SampledEngineConformance
from memos_core.tiers.kv.hf import HfEngine
from tests import kv_models


class _HfConformance(SampledEngineConformance):
    kind = "Llama"
    template: str | None = "chatml"

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[AnyEngine]:
        with closing(cls._made()) as engine:
            yield engine

    @pytest.fixture
    def closable(self) -> AnyEngine:
        return self._made()

    def decoded(self, engine: HfEngine, ids: Sequence[int]) -> str:
        return engine.decode(ids)

    @classmethod
    def _made(cls) -> HfEngine:
        return HfEngine(kv_models.model(cls.kind), kv_models.tokenizer(cls.template))


class TestHfLlama(_HfConformance):
    splits = 40


class TestHfQwen3WithDates(_HfConformance):
    kind, template = "Qwen3", "dated"


class TestHfGemmaWithoutSystemRole(_HfConformance):
    kind, template = "Gemma", "refusing"


class TestHfGpt2WithoutTemplate(_HfConformance):
    kind, template = "GPT2", None


@pytest.mark.slow
class TestHfSmolLM2(_HfConformance):
    answer = 4
    splits = 4

    @classmethod
    def _made(cls) -> HfEngine:
        return HfEngine.open("smollm2-135m", context=320, device="cpu")
