from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memos_core.errors import InvalidInput
from memos_core.inference import Turn
from memos_core.reply import Sampling
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="adapters are PEFT's")

import peft
import torch

from memos_core.tiers.kv.hf import HfEngine

pytestmark = pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def opened(model: Any = None, template: str = "chatml") -> HfEngine:
    return HfEngine(model or kv_models.model("Llama"), kv_models.tokenizer(template))


def adapted(model: Any, name: str = "default", *, seed: int = 1) -> Any:
    """Return the model with an adapter in it that changes what it computes."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return peft.get_peft_model(model, config, adapter_name=name)


def test_equal_models_have_equal_identities() -> None:
    assert opened().identity == opened().identity


SLOWER = {"rope_type": "default", "rope_theta": 5e5}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("weights", lambda: opened(kv_models.model("Llama", seed=1))),
        ("dtype", lambda: opened(kv_models.model("Llama").to(torch.bfloat16))),
        ("config", lambda: opened(kv_models.model("Llama", rms_norm_eps=1e-4))),
        ("template", lambda: opened(template="dated")),
        ("rope", lambda: opened(kv_models.model("Llama", rope_parameters=SLOWER))),
        ("attention", lambda: opened(eager(kv_models.model("Llama")))),
        ("tokenizer", lambda: HfEngine(kv_models.model("Llama"), other_tokenizer())),
    ],
)  # fmt: skip
def test_whatever_the_states_depend_on_is_in_it(field: str, other: Callable[[], HfEngine]) -> None:
    one, another = opened().identity, other().identity
    assert getattr(one, field) != getattr(another, field)
    assert one.digest != another.digest


def eager(model: Any) -> Any:
    model.set_attn_implementation("eager")
    return model


def other_tokenizer() -> Any:
    tokenizer = kv_models.tokenizer()
    tokenizer.add_tokens(["Mira"])
    return tokenizer


def test_rounded_frequencies_are_other_frequencies() -> None:
    # .to(bfloat16) rounds them, too: keys computed with them fit no others
    assert opened(kv_models.model("Llama").to(torch.bfloat16)).identity.rope != opened().identity.rope


def test_a_weight_that_is_written_to_changes_it_at_once() -> None:
    engine = opened()
    before = engine.identity
    with torch.no_grad():
        engine._model().model.layers[0].mlp.up_proj.weight[0, 0] += 1
    assert engine.identity.weights != before.weights


def _put_in_place(model: Any) -> None:
    layer = model.model.layers[0].mlp.up_proj
    layer.weight = torch.nn.Parameter(layer.weight.detach() + 1)


def _load_others(model: Any) -> None:
    others = {name: each + 1 for name, each in model.state_dict().items()}
    model.load_state_dict(others, assign=True)


@pytest.mark.parametrize("replace", [_put_in_place, _load_others])
def test_a_weight_that_another_one_replaces_changes_it_at_once(replace: Any) -> None:
    engine = opened()
    before = engine.identity
    replace(engine._model())
    assert engine.identity.weights != before.weights


def test_frequencies_that_others_replace_change_it_at_once() -> None:
    engine = opened()
    before = engine.identity
    rotary = engine._model().model.rotary_emb
    rotary.inv_freq = rotary.inv_freq * 2
    assert engine.identity.rope != before.rope


def test_an_adapter_that_is_switched_on_changes_it_at_once_and_off_again_back() -> None:
    engine = opened()
    plain = engine.identity
    wrapped = adapted(engine._model())
    on = engine.identity
    with wrapped.disable_adapter():
        off = engine.identity
    assert (plain.adapter, off, on.weights) == ("", plain, plain.weights)
    assert on.adapter != ""
    assert engine.identity == on


def test_adapters_are_told_apart_by_name_and_by_what_they_hold() -> None:
    engine = opened()
    wrapped = adapted(engine._model(), "one")
    torch.manual_seed(2)
    wrapped.add_adapter("two", wrapped.peft_config["one"])
    seen = {engine.identity.adapter}
    wrapped.set_adapter("two")
    seen.add(engine.identity.adapter)
    with torch.no_grad():
        next(each for name, each in wrapped.named_parameters() if "lora_B.two" in name).mul_(2)
    seen.add(engine.identity.adapter)
    assert len(seen) == 3


def test_an_adapter_that_was_merged_in_is_told() -> None:
    engine = opened()
    plain = engine.identity
    wrapped = adapted(engine._model())
    on = engine.identity
    wrapped.merge_adapter()
    assert len({plain.digest, on.digest, engine.identity.digest}) == 3


def test_weights_with_an_adapter_merged_in_for_good_are_other_weights() -> None:
    engine = opened()  # PEFT writes them in a way that torch does not count
    plain = engine.identity
    alone = adapted(engine._model()).merge_and_unload()
    assert engine.identity == opened(alone).identity
    assert (engine.identity.adapter, engine.identity.weights != plain.weights) == ("", True)


def test_a_wrapped_model_has_the_identity_of_the_model_with_the_adapter_in_it() -> None:
    wrapped = adapted(kv_models.model("Llama"))
    assert opened(wrapped).identity == opened(wrapped.get_base_model()).identity


def test_an_engine_of_a_wrapped_model_answers_with_the_adapter() -> None:
    wrapped = adapted(kv_models.model("Llama"))
    engine, plain = opened(wrapped), opened()
    ids = engine.encode(("You keep an inn.",), (Turn("user", "Who are you?"),)).ids
    said = [list(each.generate(ids, [], Sampling(max_tokens=12))) for each in (engine, plain)]
    base = [engine.prefill(ids[:9], [])]
    assert list(engine.generate(ids, base, Sampling(max_tokens=12))) == said[0] != said[1]


def test_a_prompt_that_was_learned_is_refused() -> None:
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with pytest.raises(InvalidInput, match="tokens of its own"):
        opened(peft.get_peft_model(kv_models.model("Llama"), config))


def test_a_model_without_rotation_has_no_digest_of_one() -> None:
    assert opened(kv_models.model("GPT2")).identity.rope == ""
