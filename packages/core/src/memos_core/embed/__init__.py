"""Embedders: what turns a text into a unit vector, and how one is chosen by a word.

========================  ======================================================  ====
spec                      what it is                                              dims
========================  ======================================================  ====
None, "minilm-int8"       MiniLM with int8 weights on onnxruntime; comes along     384
"minilm"                  MiniLM in fp32 on sentence-transformers (`[minilm]`)     384
"static"                  averaged word vectors, no network at all (`[static]`)    256
"sentence-transformers:X" any model of that library, by name or folder (`[minilm]`)
"openai:X"                model X of OpenAI; other endpoints: OpenAIEmbedder
a function                `list[str] -> vectors`, see CallableEmbedder
========================  ======================================================  ====
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeGuard

from numpy.typing import ArrayLike

from memos_core.embed.cache import CachingEmbedder
from memos_core.embed.endpoint import OpenAIEmbedder
from memos_core.embed.function import CallableEmbedder
from memos_core.embed.onnx import OnnxMiniLM
from memos_core.embed.sentence import SentenceEmbedder, bundled_minilm
from memos_core.embed.static import StaticEmbedder
from memos_core.errors import InvalidInput
from memos_core.protocols import Embedder

EmbedderSpec: TypeAlias = str | Embedder | Callable[[list[str]], ArrayLike] | None
"""Everything that `open_embedder` accepts."""

__all__ = [
    "CachingEmbedder",
    "CallableEmbedder",
    "EmbedderSpec",
    "OnnxMiniLM",
    "OpenAIEmbedder",
    "SentenceEmbedder",
    "StaticEmbedder",
    "open_embedder",
]

_BY_NAME: dict[str, Callable[[], Embedder]] = {
    "minilm-int8": OnnxMiniLM,
    "minilm": bundled_minilm,
    "static": StaticEmbedder,
}
_BY_PREFIX: dict[str, Callable[[str], Embedder]] = {
    "sentence-transformers": SentenceEmbedder,
    "openai": lambda model: OpenAIEmbedder(model=model),
}
_VERBS = ("identity", "dimensions", "embed", "embed_query")


def open_embedder(spec: EmbedderSpec = None) -> Embedder:
    """Return the embedder that `spec` names (see the module's table); an Embedder is returned as it is.

    The default and "static" open in a fraction of a second and import no torch; the default reads
    its weights when it is first asked.

    Raises InvalidInput for a spec that means nothing here, and for a function without a name of its
    own; BackendError, naming what to install, where a package is missing or a model cannot be read.
    """
    if spec is None:
        return OnnxMiniLM()
    if isinstance(spec, str):
        return _named(spec)
    if _is_embedder(spec):
        return spec
    if callable(spec):
        return CallableEmbedder(spec, identity=_name_of(spec))
    raise InvalidInput(f"an embedder cannot be made of {type(spec).__name__}: {_known()}")


def _named(spec: str) -> Embedder:
    if spec in _BY_NAME:
        return _BY_NAME[spec]()
    prefix, _, model = spec.partition(":")
    if prefix in _BY_PREFIX and model.strip():
        return _BY_PREFIX[prefix](model)
    raise InvalidInput(f"no embedder is called {spec!r}: {_known()}")


def _known() -> str:
    names = [repr(name) for name in _BY_NAME] + [f"'{prefix}:MODEL'" for prefix in _BY_PREFIX]
    return f"known are {', '.join(names)}, a function from texts to vectors, or an Embedder"


def _is_embedder(spec: object) -> TypeGuard[Embedder]:
    # The type is looked at first: asking the object could run a property that loads a model.
    own = getattr(spec, "__dict__", ())
    return not isinstance(spec, type) and all(hasattr(type(spec), verb) or verb in own for verb in _VERBS)


def _name_of(function: Callable[[list[str]], ArrayLike]) -> str:
    name = getattr(function, "__qualname__", "")
    if not name or "<" in name:  # "<lambda>", "outer.<locals>.inner": another could bear the same name
        raise InvalidInput(
            "this function has no name of its own, and vectors are kept by their maker's name: "
            "give one with CallableEmbedder(function, identity='name@revision')"
        )
    return f"{function.__module__}.{name}@function"
