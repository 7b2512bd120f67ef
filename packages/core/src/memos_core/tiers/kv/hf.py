"""The transformers engine: a decoder model that computes on from attached states."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from memos_core.errors import BackendError, FormatError, InvalidInput
from memos_core.inference import Prompt, Token, Turn
from memos_core.reply import Sampling
from memos_core.segment import EngineIdentity
from memos_core.tiers.kv.codec import TensorCodec
from memos_core.tiers.kv.compose import composed
from memos_core.tiers.kv.hf_attention import register
from memos_core.tiers.kv.hf_cache import Rooms, detached
from memos_core.tiers.kv.hf_forward import advanced
from memos_core.tiers.kv.hf_identity import Identities
from memos_core.tiers.kv.hf_models import Progress, default_cache, found, quiet
from memos_core.tiers.kv.hf_mover import Mover, mover_of
from memos_core.tiers.kv.hf_support import check_composed, check_served, longest_context
from memos_core.tiers.kv.hf_template import ChatTemplate
from memos_core.tiers.kv.hf_text import Texts
from memos_core.tiers.kv.hf_tokens import Chooser, Speller
from memos_core.tiers.kv.rope import Rotation, rotation_of
from memos_core.tiers.kv.states import TensorState, checked_chain

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ATTENTIONS = ("sdpa", "eager", "flash_attention_2")


class HfEngine:
    """A transformers model behind the seam `memos_core.inference.Engine`; it can compose as well.

    The model is used as it is, on its device and in its dtype, and put into evaluation mode; it may
    have PEFT adapters. `context` is the most tokens used, by default all that the model was made for.
    `form` is how its states are stored (see `TensorCodec`).

    InvalidInput names the model and the reason where it cannot be served from stored prefixes.
    """

    cumulative = False

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        context: int | None = None,
        form: str = "exact",
        weights: str = "",
    ) -> None:
        self.context = longest_context(model) if context is None else context
        if self.context < 2:
            raise InvalidInput(f"context must be at least 2 tokens, not {context!r}")
        self._loaded: PreTrainedModel | None = model.eval()
        self._rooms = Rooms(layers=check_served(model, context=self.context))
        self._texts = Texts(tokenizer)
        self._template = ChatTemplate(tokenizer, self._texts)
        self._identities = Identities(
            model, weights=weights, tokenizer=self._texts.digest(), template=self._template.digest
        )
        self._ends = _ends(model, tokenizer)
        self._end = getattr(tokenizer, "eos_token_id", None)
        self.around: Callable[[], AbstractContextManager[object]] = nullcontext
        self._changes = ""
        self._rotations: dict[str, Rotation] = {}
        self._rotation_lock = threading.Lock()
        self.codec = TensorCodec(form=form, rotation=self.rotation)

    @classmethod
    def open(
        cls,
        model: str | Path,
        *,
        dtype: str = "float32",
        device: str | None = None,
        attention: str = "sdpa",
        context: int | None = None,
        form: str = "exact",
        cache: str | Path | None = None,
        progress: Progress | None = None,
    ) -> HfEngine:
        """Return an engine with a model by name (see `hf_models.found`) or from a folder; takes seconds.

        `dtype` is "float32", "bfloat16" or "float16"; `device` torch's word, by default CUDA where there
        is one, else the CPU; `attention` is "sdpa", "eager" or "flash_attention_2". `cache` is the folder
        for unpacked models, by default ~/.cache/memos. `progress` is told what takes long.
        """
        if dtype not in _DTYPES:
            raise InvalidInput(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
        if attention not in _ATTENTIONS:
            raise InvalidInput(f"attention must be one of {', '.join(_ATTENTIONS)}, not {attention!r}")
        at = device or ("cuda" if torch.cuda.is_available() else "cpu")
        kind = register() if attention == "sdpa" and at == "cpu" else attention
        where = found(model, cache=Path(cache) if cache else default_cache(), progress=progress)
        try:
            with quiet():
                tokenizer: Any = AutoTokenizer.from_pretrained(where.folder)
                loaded: Any = AutoModelForCausalLM.from_pretrained(
                    where.folder, dtype=_DTYPES[dtype], attn_implementation=kind, use_safetensors=True
                )
                loaded = loaded.to(at)
        except ImportError as exc:
            raise BackendError(f"the model {str(model)!r} needs a package that is missing: {exc}") from exc
        except (OSError, ValueError, KeyError, SafetensorError) as exc:
            raise FormatError(f"the model at {where.folder} cannot be loaded: {exc}") from exc
        except RuntimeError as exc:
            raise BackendError(f"the model {str(model)!r} cannot be loaded: {exc}") from exc
        return cls(loaded, tokenizer, context=context, form=form, weights=where.weights)

    @property
    def model(self) -> PreTrainedModel:
        """The model itself, for adapters and measurements."""
        return self._model()

    @property
    def identity(self) -> EngineIdentity:
        """What the states depend on, as it is now: an adapter that was switched on is in it."""
        self._model()
        found = self._identities.now()
        if not self._changes:
            return found
        both = f"{found.adapter}\0{self._changes}".encode()
        return replace(found, adapter=hashlib.sha256(both).hexdigest() if found.adapter else self._changes)

    @property
    def mover(self) -> Mover | None:
        """What moves states between device and host, None where they are the same."""
        return mover_of(self._model().device)

    def rotation(self) -> Rotation:
        """Return the model's own rotation of keys; InvalidInput where its states cannot be moved."""
        model = self._model()
        rope = self.identity.rope
        with self._rotation_lock:
            if rope not in self._rotations:
                check_composed(model, context=self.context)
                self._rotations[rope] = rotation_of(model)
            return self._rotations[rope]

    def encode(self, system: Sequence[str], turns: Sequence[Turn]) -> Prompt:
        """Return the templated ids of a conversation; see `ChatTemplate.encode`."""
        return self._template.encode(system, turns)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, control tokens left out."""
        return self._texts.decode(ids)

    def spelled(self, answer: str) -> list[int]:
        """Return the ids of an answer as the model would give it, with the token that ends it."""
        ends = [self._end] if isinstance(self._end, int) else sorted(self._ends)[:1]
        return [*self._texts.literal(answer), *ends]

    def under(self, around: Callable[[], AbstractContextManager[object]], *, changes: str) -> HfEngine:
        """Return an engine with the same model that computes within `around()`, beside this one.

        `changes` is the digest of what that changes. It stands in the identity as the adapter.
        """
        self._model()
        other = copy.copy(self)
        other.around, other._changes = around, changes
        return other

    def prefill(self, ids: Sequence[int], base: Sequence[TensorState]) -> TensorState:
        """Compute all of `ids` beyond `base` and return its state; InvalidInput if they are too many."""
        start, slot = self._checked(ids, base, room=0), sum(state.kept for state in base)
        model = self._model()
        capacity = slot + len(ids) - start
        with (
            self._rooms.attached(base, capacity=capacity, device=model.device) as cache,
            torch.inference_mode(),
            self.around(),
        ):
            advanced(model, cache, ids[start:], start)
            return detached(cache, slot=slot, start=start, end=len(ids))

    def generate(
        self, ids: Sequence[int], base: Sequence[TensorState], sampling: Sampling
    ) -> Iterator[Token]:
        """Yield the answer token by token; InvalidInput, at once, if the ids leave no room for one."""
        start = self._checked(ids, base, room=1)
        return self._generated(list(ids), start, list(base), sampling)

    def compose(
        self,
        head: TensorState,
        parts: Sequence[TensorState],
        ids: Sequence[int],
        *,
        recompute: str = "first",
        amount: float = 16,
    ) -> TensorState:
        """Return one state of everything after `head`; see `Composer`. InvalidInput where that is refused."""
        rotation = self.rotation()
        with self.around():
            return composed(self._model(), rotation, head, parts, ids, recompute=recompute, amount=amount)

    def close(self) -> None:
        """Release the model. Closing twice is no error; an answer under way ends as it would have."""
        self._loaded = None
        self._rooms.close()
        self._identities.close()
        with self._rotation_lock:
            self._rotations.clear()

    def scrub(self) -> None:
        """Overwrite what the last calls left in working memory."""
        self._rooms.scrub()

    def _generated(
        self, ids: list[int], start: int, base: list[TensorState], sampling: Sampling
    ) -> Iterator[Token]:
        model = self._model()
        limit = min(sampling.max_tokens, self.context - len(ids))
        chooser, speller = Chooser(sampling), Speller(self._texts.decode)
        capacity = sum(state.kept for state in base) + len(ids) - start + limit
        end = len(ids) + limit
        with self._rooms.attached(base, capacity=capacity, device=model.device) as cache:
            with torch.inference_mode(), self.around():  # not across a yield: both are the thread's
                token = chooser.choose(advanced(model, cache, ids[start:], start))
            for place in range(len(ids), end):
                if token in self._ends:
                    return
                yield Token(token, speller.spell(token))
                if place + 1 == end:
                    return
                with torch.inference_mode(), self.around():
                    token = chooser.choose(advanced(model, cache, [token], place))

    def _model(self) -> PreTrainedModel:
        model = self._loaded
        if model is None:
            raise BackendError("this engine was closed: open the model again")
        if model.training:
            raise InvalidInput(
                "the model is in training mode, in which it answers at random: call model.eval()"
            )
        return model

    def _checked(self, ids: Sequence[int], base: Sequence[TensorState], *, room: int) -> int:
        """Return where computing begins; there must be something to compute, and room for an answer."""
        self._model()
        end = checked_chain(base)
        if end >= len(ids):
            raise InvalidInput(f"nothing is left to compute: the base covers {end} of {len(ids)} tokens")
        if len(ids) + room > self.context:
            raise InvalidInput(
                f"{len(ids)} tokens are too many for a context of {self.context}"
                f"{' with an answer' if room else ''}: give less text"
            )
        return end


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that end an answer."""
    ends: set[int] = set()
    for named in (model.generation_config, model.config, tokenizer):
        end = getattr(named, "eos_token_id", None)
        ends |= {end} if isinstance(end, int) else set(end or ())
    return frozenset(ends)
