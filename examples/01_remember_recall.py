"""Put statements and a conversation in, ask questions, see the answers and why they were found."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta

from memos_core import MemCube, MemOS, Message, Where

SATURDAY = datetime(2024, 6, 8, 9, 30, tzinfo=UTC)
BREAKFAST = [
    ("Mira", "The luthier says the bridge of my cello has to be replaced before the concert."),
    ("Ivo", "When is the concert again?"),
    ("Mira", "On the twenty-first, in the old tram depot."),
    ("Ivo", "Then I'll take the dog that evening. Did you find your rosin?"),
    ("Mira", "Inside the teapot. Don't ask."),
]
QUESTIONS = (
    "What must be repaired on the cello?",
    "When is the concert?",  # the answer does not name it: the turn before it does
    "Where was the rosin?",
    "What can't Mira eat?",
)


def main() -> None:
    """Remember, then ask."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos:
        mira = memos.cube("mira")
        mira.remember("Mira moved to Lisbon in May 2024.", tags=["home"])
        mira.remember("Mira is allergic to walnuts.", kind="preference", tags=["food"])
        mira.ingest(
            [
                Message(who, text, at=SATURDAY + timedelta(minutes=minute))
                for minute, (who, text) in enumerate(BREAKFAST)
            ],
            session="breakfast",
        )
        print(f"{mira.count()} memories in {mira.name!r}\n")
        for question in QUESTIONS:
            ask(mira, question)

        print("Only what Ivo said:", mira.recall("dog", where=Where(speakers=("Ivo",)), k=1).texts)
        print("\nFor a prompt, within 90 tokens:")
        print(mira.recall("Tell me about the concert.").render(budget=90))


def ask(cube: MemCube, question: str) -> None:
    """Print a question and its three best answers."""
    print(question)
    for hit in cube.recall(question, k=3):
        print(f"  {hit.score:.2f}  {hit.memory.text}")
        print(f"        {hit.why}")
    print()


if __name__ == "__main__":
    main()
