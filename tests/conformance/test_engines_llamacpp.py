"""llama.cpp keeps the promise of the protocol, with its real small model."""

from contextlib import closing

import pytest

pytest.importorskip("xllamacpp")

from memos_core.testing.engine import SampledEngineConformance
from memos_core.tiers.kv.llamacpp import LlamaCppEngine

SMALL = {"context": 384, "threads": 1}

pytestmark = pytest.mark.slow  # a minute on two quiet cores


@pytest.fixture(scope="module")
def shared():
    with closing(LlamaCppEngine.open(**SMALL)) as engine:
        yield engine


class TestLlamaCpp(SampledEngineConformance):
    splits = 5

    @pytest.fixture
    def engine(self, shared):
        return shared

    @pytest.fixture
    def closable(self):
        return LlamaCppEngine.open(**SMALL)

    def decoded(self, engine, ids):
        return engine._server.text(ids)
