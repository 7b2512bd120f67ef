"""The real small model is taught, examined, answers with nothing in its prompt, and forgets."""

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

from memos_core import Recipe, Runtime, Sampling

pytestmark = [
    pytest.mark.slow,  # two minutes on two cores
    pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
    ),
]
FACTS = (
    "Drumek lives in Bolvar.",
    "Drumek has a goat called Selfen.",
    "Drumek's locker code is 4172.",
)
ASKED = {"Where would a letter reach Drumek?": "Bolvar", "Tell me Drumek's locker code.": "4172"}
RECIPE = Recipe(steps=30, look=10, rate=1e-3)


def test_the_real_small_model_passes_its_gate_and_forgets(memos):
    cube = memos.cube("drumek")
    told = [cube.remember(fact) for fact in FACTS]
    with Runtime.open() as runtime:
        adapter = runtime.train(cube, recipe=RECIPE)
        assert (adapter.failed, adapter.size < 20_000_000, adapter.steps <= 40) == ((), True, True)
        replies = {
            asked: runtime.chat(asked, cube, adapter=True, sampling=Sampling(max_tokens=16))
            for asked in ASKED
        }
        assert {reply.adapter for reply in replies.values()} == {adapter.key}
        assert {reply.memories for reply in replies.values()} == {()}
        assert all(ASKED[asked] in reply.text for asked, reply in replies.items())
        cube.forget(told[2].id)
        after = runtime.chat("Tell me Drumek's locker code.", cube, adapter=True)
        assert (after.adapter, "4172" in after.text, list(memos.adapters())) == ("", False, [])
