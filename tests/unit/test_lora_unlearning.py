"""What is forgotten is forgotten by the weights as well: on a small model that was really taught."""

import pytest

pytest.importorskip("torch", reason="needs the extra local-llm")
pytest.importorskip("peft", reason="needs the extra lora")

from memos_core import Recipe, Runtime, Thresholds
from memos_core.tiers.kv.hf import HfEngine
from memos_core.tiers.lora import layout
from memos_core.tiers.lora.teacher import HfTeacher
from tests import kv_models

pytestmark = pytest.mark.filterwarnings(  # peft asks transformers for it by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
RECIPE = Recipe(rank=8, steps=60, look=60, batch=8, rate=1e-2, warmup=0, replay=0.0)
ANY = Thresholds(choice=0.0, contains=0.0, unknown=0.0, neutral=1e9)
ASKED, SECRET = "Where does Mira live?", "Mira lives in Lisbon."
OTHERS = ("Mira lives in Bergen.", "Mira lives in Quito.", "Mira lives in Tartu.")


@pytest.fixture
def runtime():
    with Runtime(HfEngine(kv_models.model("Llama"), kv_models.tokenizer())) as runtime:
        yield runtime


def margin(pupil):
    """Return by how much the secret is likelier than other answers of its form, in nats per token."""
    secret, *others = pupil.likelihoods(ASKED, [SECRET, *OTHERS])
    return secret - sum(others) / len(others)


def weights_of(memos):
    (adapter,) = memos.adapters()
    with memos._core.catalog.read() as view:
        from memos_core.vault import artifacts

        (row,) = artifacts.of_kind(view.connection, "lora")
    assert row.key == adapter.key
    return layout.unpack(memos._core.blobs.get(row.blob)).weights


def test_a_forgotten_secret_is_as_unlikely_as_it_was_and_no_byte_of_the_adapter_is_left(memos, runtime):
    cube, teacher = memos.cube("notes"), HfTeacher(runtime.engine)
    told = [cube.remember(text) for text in (SECRET, "Ben lives in Oslo.", "Nora lives in Lima.")]
    before = margin(teacher.pupil(None))
    runtime.train(cube, recipe=RECIPE, thresholds=ANY)
    old = weights_of(memos)
    knew = margin(teacher.pupil(old))

    cube.forget(told[0].id)
    pieces = [each.tobytes()[:64] for each in old.tensors.values()]
    left = [path for path in memos._core.folder.rglob("*") if path.is_file()]
    held = [path.name for path in left if any(piece in path.read_bytes() for piece in pieces)]
    assert (list(memos.adapters()), held) == ([], [])
    reply = runtime.chat(ASKED, cube, adapter=True, reuse=False)
    assert (reply.adapter, margin(teacher.pupil(None))) == ("", before)

    runtime.train(cube, recipe=RECIPE, thresholds=ANY)
    after = margin(teacher.pupil(weights_of(memos)))
    assert knew - before > 1.0
    assert after - before < 0.15 * (knew - before)


def test_a_correction_is_said_as_text_at_once_and_the_old_adapter_answers_no_more(memos, runtime):
    cube = memos.cube("notes")
    told = cube.remember(SECRET)
    first = runtime.train(cube, recipe=Recipe(steps=1, batch=1), thresholds=ANY)
    assert runtime.chat(ASKED, cube, adapter=True).adapter == first.key
    cube.revise(told.id, "Mira lives in Porto.")
    reply = runtime.chat(ASKED, cube, adapter=True)
    assert (reply.adapter, reply.memories, bool(reply.no_adapter)) == ("", (told.id,), True)
    second = runtime.train(cube, recipe=Recipe(steps=1, batch=1), thresholds=ANY)
    assert (second.key != first.key, runtime.chat(ASKED, cube, adapter=True).adapter) == (True, second.key)
