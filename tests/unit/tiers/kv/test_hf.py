from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from memos_core.errors import BackendError, InvalidInput
from memos_core.inference import Turn
from memos_core.reply import Sampling
from tests import kv_models

pytest.importorskip("torch", reason="needs the extra local-llm")

import torch
from transformers.cache_utils import DynamicCache

from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.kv.hf_attention import register
from memos_core.tiers.kv.hf_cache import BufferLayer, Rooms, ScatterLayer, detached
from memos_core.tiers.kv.states import TensorState

SHORT = Sampling(max_tokens=10)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine() -> Iterator[HfEngine]:
    with closing(HfEngine(kv_models.model("Llama"), kv_models.tokenizer())) as engine:
        yield engine


def ids_of(engine: HfEngine, question: str = "Where does Mira live?") -> tuple[int, ...]:
    return engine.encode(("You keep an inn.\n", "Mira lives in Lisbon.\n"), (Turn("user", question),)).ids


def said(engine: HfEngine, ids: Sequence[int], base: Sequence[TensorState] = ()) -> list[int]:
    return [token.id for token in engine.generate(ids, base, SHORT)]


def tensors(state: TensorState) -> list[Any]:
    return [each.clone() for each in (*state.keys, *state.values)]


# --- the engine ------------------------------------------------------------------------------


def test_it_says_what_transformers_itself_generates(engine: HfEngine) -> None:
    ids = ids_of(engine)
    theirs = engine._model().generate(torch.tensor([ids]), max_new_tokens=10, do_sample=False, pad_token_id=0)
    assert said(engine, ids) == [each for each in theirs[0, len(ids) :].tolist() if each != 2]


def test_a_state_is_what_transformers_own_cache_holds(engine: HfEngine) -> None:
    ids = ids_of(engine)
    state = engine.prefill(ids, [engine.prefill(ids[:11], [])])
    with torch.inference_mode():
        cache = engine._model()(torch.tensor([ids]), use_cache=True).past_key_values
    for layer, keys, values in zip(cache.layers, state.keys, state.values, strict=True):
        assert torch.allclose(layer.keys[0, :, 11:], keys, atol=1e-5)
        assert torch.allclose(layer.values[0, :, 11:], values, atol=1e-5)


def test_stored_tensors_are_never_written_to(engine: HfEngine) -> None:
    ids = ids_of(engine)
    base = [engine.prefill(ids[:11], [])]
    base.append(engine.prefill(ids[:20], base))
    before = [tensors(state) for state in base]
    said(engine, ids, base)
    engine.prefill(ids, base)
    after = [tensors(state) for state in base]
    assert all(
        torch.equal(*pair)
        for one, two in zip(before, after, strict=True)
        for pair in zip(one, two, strict=True)
    )


def test_a_state_is_not_part_of_the_memory_that_is_used_again(engine: HfEngine) -> None:
    state = engine.prefill(ids_of(engine), [])
    before = tensors(state)
    said(engine, ids_of(engine, "Something else, and longer than that?"))
    assert all(torch.equal(*pair) for pair in zip(before, tensors(state), strict=True))


def test_two_answers_from_one_state_may_be_told_by_turns(engine: HfEngine) -> None:
    ids, other = ids_of(engine), ids_of(engine, "Who keeps the inn?")
    base = [engine.prefill(ids[:20], [])]
    alone = [said(engine, each, base) for each in (ids, other)]
    running = [engine.generate(each, base, SHORT) for each in (ids, other)]
    turns: list[list[int]] = [[], []]
    for _ in range(10):
        for number, stream in enumerate(running):
            turns[number] += [token.id for token in [next(stream, None)] if token]
    assert turns == alone


def test_a_generator_leaves_the_thread_as_it_was(engine: HfEngine) -> None:
    stream = engine.generate(ids_of(engine), [], SHORT)
    next(stream)
    assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == (False, True)


def test_a_state_with_fewer_tokens_than_it_stands_for_keeps_the_positions(engine: HfEngine) -> None:
    ids = ids_of(engine)
    whole = engine.prefill(ids[:20], [])
    kept = torch.tensor([0, 1, 2, 5, 9, 14, 19])
    thin = TensorState(
        start=0,
        end=20,
        keys=tuple(each[:, kept] for each in whole.keys),
        values=tuple(each[:, kept] for each in whole.values),
    )
    mask = torch.ones(len(ids) - 20, len(ids), dtype=torch.bool).tril(20)
    mask[:, [at for at in range(20) if at not in kept]] = False
    with torch.inference_mode():
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(zip(whole.keys, whole.values, strict=True)):
            cache.update(keys[None], values[None], layer)
        full = engine._model()(
            torch.tensor([ids[20:]]), attention_mask=mask[None, None], past_key_values=cache
        ).logits[0, -1]
    assert said(engine, ids, [thin])[0] == int(full.argmax())
    assert engine.prefill(ids, [thin]).start == 20


def test_nothing_left_to_compute_is_refused(engine: HfEngine) -> None:
    ids = ids_of(engine)
    state = engine.prefill(ids, [])
    for call in (lambda: engine.prefill(ids, [state]), lambda: engine.generate(ids, [state], SHORT)):
        with pytest.raises(InvalidInput, match="nothing is left"):
            call()


def test_a_chain_with_a_gap_is_refused(engine: HfEngine) -> None:
    ids = ids_of(engine)
    states = [engine.prefill(ids[:5], [])]
    late = engine.prefill(ids[:15], [*states, engine.prefill(ids[:10], states)])
    with pytest.raises(ValueError, match="cannot follow"):
        engine.prefill(ids, [*states, late])


def test_a_prompt_without_room_is_refused_before_anything_is_asked(engine: HfEngine) -> None:
    with pytest.raises(InvalidInput, match="context of 512"):
        engine.generate([5] * 512, [], SHORT)


def test_an_answer_stops_at_any_end_of_the_generation_config() -> None:
    model = kv_models.model("Llama")
    engine = HfEngine(model, kv_models.tokenizer())
    ids = ids_of(engine)
    whole = said(engine, ids)
    model.generation_config.eos_token_id = [2, whole[4]]
    assert said(HfEngine(model, kv_models.tokenizer()), ids) == whole[: whole.index(whole[4])]


def test_a_closed_engine_says_so() -> None:
    engine = HfEngine(kv_models.model("Llama"), kv_models.tokenizer())
    ids = ids_of(engine)
    engine.close()
    for call in (
        lambda: engine.identity,
        lambda: engine.prefill(ids, []),
        lambda: engine.generate(ids, [], SHORT),
    ):
        with pytest.raises(BackendError, match="closed"):
            call()


def test_an_answer_under_way_survives_closing() -> None:
    engine = HfEngine(kv_models.model("Llama"), kv_models.tokenizer())
    ids = ids_of(engine)
    whole = said(engine, ids)
    stream = engine.generate(ids, [], SHORT)
    first = next(stream)
    engine.close()
    assert [first.id, *(token.id for token in stream)] == whole


def test_a_model_in_training_mode_is_refused() -> None:
    engine = HfEngine(kv_models.model("Llama"), kv_models.tokenizer())
    engine._model().train()
    with pytest.raises(InvalidInput, match="eval"):
        engine.prefill(ids_of(engine), [])


def test_states_composed_in_their_own_places_are_the_chain(engine: HfEngine) -> None:
    ids = ids_of(engine)
    head = engine.prefill(ids[:8], [])
    part = engine.prefill(ids[:-1], [head])
    whole = engine.compose(head, [part], ids[:-1], recompute="none")
    assert said(engine, ids, [head, whole]) == said(engine, ids)


def test_a_model_without_rotation_is_not_composed() -> None:
    engine = HfEngine(kv_models.model("GPT2"), kv_models.tokenizer())
    ids = ids_of(engine)
    head = engine.prefill(ids[:8], [])
    with pytest.raises(InvalidInput, match="cannot be"):
        engine.compose(head, [engine.prefill(ids, [head])], ids)


# --- the cache and attention -----------------------------------------------------------------


def drawn(tokens: int, seed: int = 0) -> Any:
    return torch.randn(1, 2, tokens, 4, generator=torch.Generator().manual_seed(seed))


def test_a_layer_grows_beyond_its_room_and_keeps_what_it_holds() -> None:
    layer = BufferLayer(4)
    parts = [drawn(count, seed) for seed, count in enumerate((3, 1, 5, 1, 9))]
    keys, values = [layer.update(part, part + 1) for part in parts][-1]
    whole = torch.cat(parts, dim=2)
    assert torch.equal(keys, whole)
    assert torch.equal(values, whole + 1)
    assert (layer.get_seq_length(), layer.get_mask_sizes(2), layer.get_max_length()) == (19, (21, 0), -1)


def test_rooms_are_used_again_and_forget_what_was_in_them() -> None:
    rooms = Rooms(layers=1)
    state = TensorState(start=0, end=6, keys=(drawn(6)[0],), values=(drawn(6)[0],))
    with rooms.attached([state], capacity=9, device=CPU) as cache:
        where = cache.layers[0].keys.data_ptr()
    with rooms.attached([state], capacity=7, device=CPU) as cache:
        assert (cache.layers[0].keys.data_ptr(), cache.get_seq_length()) == (where, 6)
        back = detached(cache, slot=2, start=2, end=6)
    assert torch.equal(back.keys[0], state.keys[0][:, 2:])
    assert back.keys[0].is_contiguous()


def test_rooms_are_overwritten_at_once_where_free_and_else_when_they_come_back() -> None:
    rooms = Rooms(layers=1)
    state = TensorState(start=0, end=6, keys=(drawn(6)[0],), values=(drawn(6)[0],))
    with rooms.attached([state], capacity=9, device=CPU) as free:
        pass
    rooms.scrub()
    assert not free.layers[0].keys.any()
    with rooms.attached([state], capacity=9, device=CPU) as lent:
        rooms.scrub()
        assert torch.equal(lent.layers[0].keys[0, :, :6], state.keys[0])
    assert lent is free
    assert not lent.layers[0].keys.any()
    assert not lent.layers[0].values.any()


def test_rooms_that_are_closed_keep_nothing() -> None:
    rooms = Rooms(layers=1)
    with rooms.attached([], capacity=9, device=CPU):
        rooms.close()
    assert not rooms._free


def test_rooms_fit_states_of_another_shape_and_dtype() -> None:
    rooms = Rooms(layers=1)
    for like in (drawn(6)[0], drawn(6)[0].to(torch.bfloat16), torch.randn(3, 6, 8)):
        state = TensorState(start=0, end=6, keys=(like,), values=(like,))
        with rooms.attached([state], capacity=9, device=CPU) as cache:
            held = cache.layers[0].keys[0, :, :6]
        assert (held.dtype, torch.equal(held, like)) == (like.dtype, True)


def test_two_at_once_have_rooms_of_their_own() -> None:
    rooms = Rooms(layers=1)
    with rooms.attached([], capacity=9, device=CPU) as one, rooms.attached([], capacity=9, device=CPU) as two:
        one.layers[0].update(drawn(2), drawn(2))
        assert (one.get_seq_length(), two.get_seq_length()) == (2, 0)


def test_a_scatter_layer_changes_the_slots_and_shows_everything() -> None:
    keys, values, new = drawn(5, 1)[0].clone(), drawn(5, 2)[0].clone(), drawn(2, 3)
    before = keys.clone()
    seen, _ = ScatterLayer(keys, values, torch.tensor([1, 3])).update(new, new)
    assert torch.equal(seen[0, :, [1, 3]], new[0])
    assert torch.equal(seen[0, :, [0, 2, 4]], before[:, [0, 2, 4]])


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "GPT2", "Mistral"])
def test_attention_without_copies_gives_the_same_bits(kind: str) -> None:
    model = kv_models.model(kind)
    ids = torch.arange(5, 100)[None]
    logits = []
    for name in ("sdpa", register()):
        model.set_attn_implementation(name)
        with torch.inference_mode():
            cache = model(ids[:, :60], use_cache=True).past_key_values
            logits.append(model(ids[:, 60:], past_key_values=cache, use_cache=True).logits)
    assert torch.equal(*logits)
