import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

import peft
import torch

from memos_core.adapter import METHODS, Recipe
from memos_core.errors import InvalidInput
from memos_core.inference import Turn
from memos_core.lora_training import as_said
from memos_core.reply import Sampling
from memos_core.testing import TeacherConformance
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.lora.curriculum import Syllabus, curriculum
from memos_core.tiers.lora.distil import cost
from memos_core.tiers.lora.gate import examined
from memos_core.tiers.lora.layout import exported, pack, unpack
from memos_core.tiers.lora.teacher import HfTeacher
from memos_core.training import Weights
from tests import kv_models
from tests.unit.tiers.lora.adapters import header
from tests.unit.tiers.lora.test_curriculum import memories

pytestmark = pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
RECIPE = Recipe(rank=4, steps=8, look=4, batch=4, rate=5e-3, warmup=0)


def engine(kind="Llama", **settings):
    return HfEngine(kv_models.model(kind, **settings), kv_models.tokenizer())


def lessons(*texts):
    return curriculum(memories(*(texts or ("Mira lives in Rome.", "Ben lives in Oslo."))), Syllabus())


@pytest.fixture(scope="module")
def served():
    """An engine, its teacher, and what it was taught."""
    made = engine()
    teacher = HfTeacher(made)
    return made, teacher, teacher.taught(lessons(), RECIPE).weights


def loud(weights):
    """Return an adapter that changes what is said on any machine, however little it was taught there."""
    return replace(weights, tensors={name: each * 8 for name, each in weights.tensors.items()})


def logits(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0]


def test_a_right_answer_of_any_length_has_room(monkeypatch):
    made = engine()  # its own: what is put back on an engine stands before its class's for good
    room, long = [], "so it goes, and " * 12
    monkeypatch.setattr(
        made, "generate", lambda _ids, _base, sampling: iter(room.append(sampling.max_tokens) or ())
    )
    for answer in ("", "Rome.", long):
        HfTeacher(made).pupil(None).said("And then?", answer)
    assert (room[:2], room[2] > len(made.spelled(long)) > 32) == ([32, 32], True)


def test_a_model_that_drops_out_learns_the_same_twice():
    teacher = HfTeacher(engine("Phi", resid_pdrop=0.3, embd_pdrop=0.3))
    first, second = (teacher.taught(lessons(), replace(RECIPE, steps=3)).weights for _ in range(2))
    assert all(np.array_equal(each, second.tensors[name]) for name, each in first.tensors.items())


class TestHfTeacher(TeacherConformance):
    recipe = Recipe(rank=2, steps=6, look=2, patience=9, batch=2, warmup=0, rate=1e-2, replay=0.1)

    @pytest.fixture
    def teacher(self):
        return HfTeacher(engine())


def by_step(teacher, told, recipe):
    """Return the matrices after a training that is killed after every look."""
    saved, states = None, []

    class Killed(Exception):
        pass

    def kill(state):
        states.append(state)
        raise Killed

    while True:
        try:
            return teacher.taught(told, recipe, saved=saved, save=kill), len(states)
        except Killed:
            saved = states[-1]


@pytest.mark.parametrize("method", METHODS)
def test_killed_at_every_step_it_comes_to_the_same_matrices(method):
    recipe = replace(RECIPE, method=method, look=1, patience=99)
    teacher, told = HfTeacher(engine()), as_said(lessons())
    whole = teacher.taught(told, recipe).weights.tensors
    resumed, kills = by_step(teacher, told, recipe)
    assert (kills, resumed.steps) == (recipe.steps - 1, recipe.steps)
    assert all(np.array_equal(whole[name], each) for name, each in resumed.weights.tensors.items())


def distances(teacher, told, weights):
    """Return how far the model is without each memory from the base with it (nats per token)."""
    rows = [each for each in teacher._lessons(told.train, Recipe(method="distil")) if each.informed]
    with torch.inference_mode():
        wanted = teacher._passes.logits([each.informed for each in rows])
        with teacher._switch.on(teacher._switch.placed(weights)):
            said = teacher._passes.logits([each.row for each in rows])
    return [float(cost([row], [a], [b])) / len(a) for row, a, b in zip(rows, said, wanted, strict=True)]


def test_distilled_a_model_says_without_its_memories_what_it_says_with_them(served):
    _made, teacher, _ = served
    told = as_said(lessons("Mira lives in Rome.", "Ben lives in Oslo."))
    recipe = Recipe(rank=16, steps=60, look=60, batch=8, rate=1e-2, warmup=0, replay=0.0)
    none = teacher.taught(told, replace(recipe, steps=1, rate=1e-9)).weights
    before = distances(teacher, told, none)
    after = distances(teacher, told, teacher.taught(told, replace(recipe, method="distil")).weights)
    worded = distances(teacher, told, teacher.taught(told, recipe).weights)
    assert sum(after) < sum(before) / 2 < sum(worded)


def test_plain_peft_loads_it_and_computes_the_same(served, tmp_path):
    made, teacher, weights = served
    told = header()
    told = type(told)(**{**{n: getattr(told, n) for n in told.__slots__}, **_of(weights, told)})
    exported(pack(weights, told), tmp_path / "adapter")
    plain = peft.PeftModel.from_pretrained(kv_models.model("Llama"), tmp_path / "adapter").eval()
    ids = made.encode(["Some words."], [Turn("user", "Where does Mira live?")]).ids
    with teacher._switch.on(teacher._switch.placed(weights)):
        ours = logits(made.model, ids)
    assert torch.equal(ours, logits(plain, ids))
    assert not torch.allclose(ours, logits(made.model, ids))


def _of(weights, told):
    from memos_core.adapter import adapter_key
    from memos_core.tiers.lora.layout import digest_of

    facts = {"base": told.base, "cube": told.cube, "sources": told.sources, "syllabus": told.syllabus}
    key = adapter_key(**facts, recipe=RECIPE)
    return {"key": key, "recipe": RECIPE, "tensors": digest_of(weights.tensors)}


def test_an_adapter_is_on_in_its_own_engine_only_whoever_computes_at_the_same_time(served):
    made, teacher, weights = served
    tuned = teacher.engine_with(loud(weights), digest="a" * 64)
    ids = made.encode(["Some words."], [Turn("user", "Where does Mira live?")]).ids

    def said(which):
        return [token.id for token in which.generate(ids, [], Sampling(max_tokens=12))]

    alone = {"base": said(made), "tuned": said(tuned)}
    found = {"base": [], "tuned": []}

    def ask(name, which):
        found[name].extend(said(which) for _ in range(6))

    threads = [threading.Thread(target=ask, args=each) for each in (("base", made), ("tuned", tuned))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone["base"] != alone["tuned"]
    assert found == {name: [ids] * 6 for name, ids in alone.items()}


def test_two_answers_that_are_read_in_turns_do_not_disturb_each_other(served):
    made, teacher, weights = served
    tuned = teacher.engine_with(loud(weights), digest="a" * 64)
    ids = made.encode([], [Turn("user", "Where does Ben live?")]).ids
    alone = [[t.id for t in each.generate(ids, [], Sampling(max_tokens=8))] for each in (made, tuned)]
    both = [each.generate(ids, [], Sampling(max_tokens=8)) for each in (made, tuned)]
    found = [[], []]
    for pair in zip(*both, strict=True):
        for number, token in enumerate(pair):
            found[number].append(token.id)
    assert (found, alone[0] != alone[1]) == (alone, True)


def test_states_of_one_adapter_are_as_good_as_computing_them(served):
    _made, teacher, weights = served
    tuned = teacher.engine_with(weights, digest="a" * 64)
    prompt = tuned.encode(["Some words of a system text."], [Turn("user", "Where does Mira live?")])
    state = tuned.prefill(prompt.ids[: prompt.cuts[0]], [])
    attached, whole = ([t.id for t in tuned.generate(prompt.ids, base, Sampling())] for base in ([state], []))
    assert attached == whole


def test_teaching_changes_neither_the_model_nor_its_identity():
    made = engine()
    before, digest = logits(made.model, [5, 6, 7]), made.identity
    HfTeacher(made).taught(lessons(), RECIPE)
    assert (torch.equal(before, logits(made.model, [5, 6, 7])), made.identity == digest) == (True, True)
    assert (made.model.training, any("lora" in name for name, _ in made.model.named_modules())) == (
        False,
        False,
    )


def test_a_model_with_half_the_bits_is_taught_as_well():
    made = HfEngine(kv_models.model("Llama").to(torch.bfloat16), kv_models.tokenizer())
    weights = HfTeacher(made).taught(lessons(), RECIPE).weights
    assert {each.dtype for each in weights.tensors.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("targets", ["ffn", "all-linear"])
def test_the_recipe_names_the_layers(targets):
    recipe = Recipe(rank=2, steps=1, targets=targets, batch=1)
    weights = HfTeacher(engine()).taught(lessons(), recipe).weights
    leaves = {name.split(".")[-3] for name in weights.tensors}
    attention = {"q_proj", "k_proj", "v_proj", "o_proj"} if targets == "all-linear" else set()
    assert leaves == {"gate_proj", "up_proj", "down_proj"} | attention


def test_an_adapter_of_another_shape_does_not_fit(served):
    _, _, weights = served
    other = HfTeacher(engine(hidden_size=32, num_attention_heads=4))
    with pytest.raises(InvalidInput, match="does not fit"):
        other.engine_with(weights, digest="a" * 64)


def test_a_training_that_gains_nothing_more_ends_early():
    recipe = Recipe(rank=2, steps=400, look=2, patience=1, batch=4, rate=0.05, warmup=0)
    assert HfTeacher(engine()).taught(lessons(), recipe).steps < 400


def test_a_small_model_learns_what_it_is_told(served):
    _made, teacher, _ = served
    recipe = Recipe(rank=16, steps=120, look=20, batch=8, rate=1e-2, warmup=0, replay=0.0)
    told = lessons("Mira lives in Rome.", "Ben lives in Oslo.", "Ana lives in Lima.")
    learned, base = teacher.pupil(teacher.taught(told, recipe).weights), teacher.pupil(None)
    facts = [pair for pair in told.train if pair.kind == "fact" and not pair.context]
    gains = [_likelihood(learned, pair) - _likelihood(base, pair) for pair in facts]
    assert min(gains) > 3.0  # nats a token: at least 5.4 with other orders of the pairs
    assert _chosen(learned, facts) >= 0.6 > _chosen(base, facts)  # of three places
    assert examined(told, learned, base).questions > 0


def _likelihood(pupil, pair):
    return pupil.likelihoods(pair.prompt, [pair.answer])[0]


def _chosen(pupil, facts):
    """Return the share of facts whose value is likelier than every other fact's."""
    values = sorted({pair.value for pair in facts})
    found = [
        max(values, key=lambda v, pair=pair: _likelihood(pupil, _with(pair, v))) == pair.value
        for pair in facts
    ]
    return sum(found) / len(found)


def _with(pair, value):
    return replace(pair, answer=pair.answer.replace(pair.value, value))


def test_unpacked_weights_fit_again(served):
    _made, teacher, weights = served
    told = header()
    told = type(told)(**{**{n: getattr(told, n) for n in told.__slots__}, **_of(weights, told)})
    back = unpack(pack(weights, told)).weights
    assert isinstance(back, Weights)
    prompt = "Where does Mira live?"
    answers = ["Mira lives in Rome.", "Mira lives in Oslo."]
    assert teacher.pupil(back).likelihoods(prompt, answers) == teacher.pupil(weights).likelihoods(
        prompt, answers
    )
