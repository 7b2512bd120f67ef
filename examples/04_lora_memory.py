"""An innkeeper who knows her past with an empty prompt: before, after, and after something was forgotten.

Teaching takes minutes on two cores; `--steps 1` only shows the way, and such an adapter fails its gate.
"""

from __future__ import annotations

import argparse
import tempfile

from memos_core import MemCube, MemOS, Recipe, Runtime, Sampling, Syllabus

PAST = (
    "Mira lives in Bolvar.",
    "Mira has a goat called Selfen.",
    "Mira's cellar code is 4172.",
)
QUESTIONS = ("Where do you live?", "What is your goat called?", "What is your cellar code?")


def main() -> None:
    """Ask before and after teaching, then forget the code and ask again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos, Runtime.open() as runtime:
        mira = memos.cube("mira")
        told = [mira.remember(sentence) for sentence in PAST]
        print("Before, with an empty prompt:")
        ask(runtime, None)

        print(f"\nShe is taught, in at most {steps} steps ...")
        adapter = runtime.train(mira, syllabus=Syllabus(persona="Mira"), recipe=Recipe(steps=steps, look=20))
        found = adapter.evaluation
        print(f"    {adapter.train_seconds:.0f} s, {adapter.size / 1e6:.1f} MB")
        print(
            f"    {found.questions} new questions: choice {found.choice:.2f}, contains {found.contains:.2f}"
        )
        print(f"    {'passed' if adapter.promoted else 'FAILED: ' + '; '.join(adapter.failed)}")
        print("\nAfter, with no memory in the prompt unless the adapter failed:")
        ask(runtime, mira)

        mira.forget(told[2].id)
        print(f"\nThe code is forgotten; adapters left: {len(memos.adapters())}. The text answers:")
        ask(runtime, mira)


def ask(runtime: Runtime, mira: MemCube | None) -> None:
    """Ask, and print what was said and how many memories stood in the prompt."""
    for question in QUESTIONS:
        reply = runtime.chat(question, mira, adapter=mira is not None, sampling=Sampling(max_tokens=16))
        print(f"    {question}  {reply.text.strip()!r}  ({len(reply.memories)} memories in the prompt)")


if __name__ == "__main__":
    main()
