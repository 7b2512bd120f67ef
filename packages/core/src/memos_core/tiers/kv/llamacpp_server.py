"""llama.cpp's own server inside this process, with one slot, reached through a private socket.

xllamacpp has no call for what a slot needs (save, restore, erase, tokenise), so the server's HTTP
interface is used. Where the system has Unix sockets no port is opened: the socket lies in a folder
that only this user may enter. Elsewhere it is a random port on the loopback. An API key guards both.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import tempfile
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from memos_core.errors import BackendError, Closed, InvalidInput

if TYPE_CHECKING:
    import xllamacpp

BATCH = 512  # tokens computed at once
GREEDY: Mapping[str, Any] = {"temperature": 0.0, "samplers": ["temperature"]}

_PATH_LIMIT = 100  # bytes, of a Unix socket; the kernels allow 103 or 107
_HAS_MEMORY_FILES = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()
_ANSWER = ["content", "tokens", "stop_type", "timings"]


class Step(NamedTuple):
    """What computing a prompt gave: the next token, and how many tokens were there already.

    `text` has U+FFFD in place of bytes that are no character yet. `ended` says that the token is
    one with which the model ends its answer.
    """

    id: int
    text: str
    ended: bool
    cached: int


class LlamaServer:
    """One model, one slot. Not to be called from two threads at once, except `tokens` and `templated`.

    `context` is in tokens; `threads` None leaves the number to llama.cpp. Flash attention is off and
    weights keep their layout: with either, a token's keys depend on how many were computed with it.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        threads: int | None,
        gpu_layers: int,
        dtype: str,
        adapter: Path | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="memos-"))
        self._key = secrets.token_urlsafe(32)
        held: dict[str, Any] = {}
        self._close = weakref.finalize(self, _released, held, self._folder)
        try:
            params = _params(path, context=context, threads=threads, gpu_layers=gpu_layers, dtype=dtype)
            if adapter is not None:
                params.lora_adapters = [_lora(adapter)]
            params.hostnames, params.api_keys = [_hostname(self._folder)], [self._key]
            params.slot_save_path = "/proc/self/fd/" if _HAS_MEMORY_FILES else f"{self._folder}{os.sep}"
            held["server"] = _started(params, path)
            self._address: str = held["server"].listening_address
            self.context = int(self._asked("GET", "/props")["default_generation_settings"]["n_ctx"])
            self.erase()  # by its loop: one that is stopped before the loop runs never ends
        except BaseException:
            self._close()
            raise

    def close(self) -> None:
        """Stop the server's threads and remove its folder. Closing twice is no error."""
        self._close()

    def templated(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the conversation in the model's own template; InvalidInput where it refuses."""
        text: str = self._asked("POST", "/apply-template", {"messages": list(messages)})["prompt"]
        return text

    def tokens(self, content: str | Sequence[str | int], *, markup: bool, begin: bool = False) -> list[int]:
        """Return the ids of a text, or of texts among ids.

        Only with `markup` does text like "<|im_end|>" become a control token. `begin` adds what the
        model wants before everything.
        """
        asked = {"content": content, "parse_special": markup, "add_special": begin}
        ids: list[int] = self._asked("POST", "/tokenize", asked)["tokens"]
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of ids, with U+FFFD for bytes that are no character."""
        content: str = self._asked("POST", "/detokenize", {"tokens": list(ids)})["content"]
        return content

    def compute(self, ids: Sequence[int], *, tokens: int, options: Mapping[str, Any] = GREEDY) -> Step:
        """Compute what the slot does not hold of `ids`; with `tokens` 1, choose the next token, too.

        What the slot holds beyond the part that it has in common with `ids` is dropped.
        """
        asked = {
            "prompt": list(ids),
            "n_predict": tokens,
            "id_slot": 0,
            "cache_prompt": True,
            "return_tokens": True,
            "response_fields": _ANSWER,
            **options,
        }
        told = self._asked("POST", "/completion", asked)
        if not told["tokens"]:
            raise BackendError("llama.cpp chose no token: open the engine anew")
        ended, cached = told["stop_type"] == "eos", int(told["timings"]["cache_n"])
        return Step(told["tokens"][0], told["content"], ended, cached)

    def erase(self) -> None:
        """Leave nothing in the slot."""
        self._asked("POST", "/slots/0?action=erase", {})

    def save(self, tokens: int) -> bytes:
        """Return the slot's bytes; it must hold so many tokens."""
        with _exchanged(self._folder) as (name, file):
            told = self._asked("POST", "/slots/0?action=save", {"filename": name})
            data = file.read()
        if told["n_saved"] != tokens or told["n_written"] != len(data) or not data:
            raise BackendError(
                f"llama.cpp saved {told['n_saved']} tokens in {len(data)} bytes where {tokens} tokens were "
                "computed: free some memory and disk space, and try again"
            )
        return data

    def restore(self, data: bytes) -> None:
        """Put a slot's bytes back. They must be sound: llama.cpp ends the process over damaged ones."""
        with _exchanged(self._folder) as (name, file):
            file.write(data)
            file.flush()
            self._asked("POST", "/slots/0?action=restore", {"filename": name})

    def _asked(self, method: str, path: str, body: object = None) -> Any:
        if not self._close.alive:
            raise Closed
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            with closing(_connection(self._address)) as connection:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                raw = response.read()
            told = json.loads(raw)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise BackendError(f"llama.cpp does not answer ({exc}): open the engine anew") from exc
        if response.status == 200:
            return told
        message = told.get("error", {}).get("message", raw[:200])
        kind = InvalidInput if response.status == 400 else BackendError
        raise kind(f"llama.cpp refused: {message}")


def system_info() -> str:
    """Return which build of xllamacpp computes here, and with which instructions of the CPU."""
    import xllamacpp  # noqa: PLC0415 - an extra

    return f"xllamacpp {xllamacpp.__version__} {xllamacpp.get_system_info()}"


# --- starting and stopping -------------------------------------------------------------------


def _params(path: Path, *, context: int, threads: int | None, gpu_layers: int, dtype: str) -> Any:
    import xllamacpp  # noqa: PLC0415 - 0.1 s, and an extra

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.n_threads_http = context, 1, 2
    params.n_batch = params.n_ubatch = BATCH
    params.n_gpu_layers = gpu_layers
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{dtype.upper()}")
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.no_extra_bufts = True
    params.swa_full = True  # a sliding window would lose what a saved slot needs
    params.endpoint_slots = True
    params.cache_ram_mib = params.n_ctx_checkpoints = 0  # nothing of a request is kept but the slot
    params.cache_idle_slots = params.ctx_shift = params.fit_params = False
    params.prefill_assistant = params.ui = params.warmup = False
    params.verbosity = -1
    if threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    return params


def _lora(path: Path) -> Any:
    import xllamacpp  # noqa: PLC0415 - as above

    return xllamacpp.CommonAdapterLoraInfo(str(path), 1.0)


def _started(params: Any, path: Path) -> xllamacpp.Server:
    import xllamacpp  # noqa: PLC0415 - imported with the parameters

    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError) as exc:
        raise BackendError(f"llama.cpp cannot run {path}: {exc}") from exc


def _released(held: dict[str, Any], folder: Path) -> None:
    held.clear()  # the server stops its threads when it goes
    shutil.rmtree(folder, ignore_errors=True)


# --- reaching it -----------------------------------------------------------------------------


class _UnixConnection(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def _hostname(folder: Path) -> str:
    path = str(folder / "llama.sock")  # llama.cpp knows a socket by this ending
    fits = hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _PATH_LIMIT
    return path if fits else "127.0.0.1"


def _connection(address: str) -> http.client.HTTPConnection:
    kind, _, where = address.partition("://")
    return _UnixConnection(where) if kind == "unix" else http.client.HTTPConnection(where)


@contextmanager
def _exchanged(folder: Path) -> Generator[tuple[str, BinaryIO]]:
    """Yield a file that lives no longer than this block, in memory where the system can, and its name."""
    if _HAS_MEMORY_FILES:
        with os.fdopen(os.memfd_create("memos-slot"), "w+b") as file:
            yield str(file.fileno()), file
        return
    path = folder / "slot.bin"
    try:
        with path.open("w+b") as file:
            yield path.name, file
    finally:
        path.unlink(missing_ok=True)
