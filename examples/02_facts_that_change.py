"""A month in the life of a few facts: corrected, replaced, expired, erased; and what recall says of them."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta

from memos_core import Conflict, MemCube, MemOS


class Calendar:
    """A clock that a story can move on; the store asks it for the present moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def main() -> None:
    """Tell the month."""
    calendar = Calendar(datetime(2024, 4, 2, 19, 0, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder, clock=calendar) as memos:
        inn = memos.cube("inn")
        say(calendar, "A price is set, and soon corrected.")
        price = inn.remember("A bed at the inn costs three silver.", kind="price")
        inn.remember("The ferryman is drunk tonight.", ttl=timedelta(hours=12))
        calendar.now += timedelta(days=9)
        inn.revise(price.id, "A bed at the inn costs five silver while the bridge is down.", expected=1)
        answer(inn, "What does a bed cost?")

        say(calendar, "Wren remembers the old price, and is told that somebody was faster.")
        try:
            inn.revise(price.id, "A bed at the inn costs two silver.", expected=1)
        except Conflict as late:
            print(f"    {late}")

        say(calendar, "The roof leaks, and Ysolde moves. Where she was stays true of its time.")
        before = inn.remember("Ysolde sleeps in room 4.", at=datetime(2024, 4, 2, tzinfo=UTC))
        after = inn.remember("Ysolde has moved to the loft over the stable.", at=calendar.now)
        inn.link(after.id, "supersedes", before.id)
        answer(inn, "Where does Ysolde sleep?")
        answer(inn, "Can the ferryman take us over?")  # what he was that night has expired

        calendar.now += timedelta(days=19)
        say(calendar, "Ysolde leaves, and wants no trace in the house book.")
        for memory in (before, after):
            receipt = inn.forget(memory.id)
            print(f"    erased {sum(receipt.erased.values())} rows of {memory.text!r}")
        answer(inn, "Where does Ysolde sleep?")

        say(calendar, "The price has a history; Ysolde has none.")
        for version in inn.history(price.id):
            print(f"    {version.version}  {version.written_at:%d %B}  {version.text}")


def say(calendar: Calendar, text: str) -> None:
    print(f"\n{calendar.now:%d %B}. {text}")


def answer(inn: MemCube, question: str) -> None:
    """Print a question and what is remembered of it."""
    print(f"  {question}")
    for hit in inn.recall(question, k=2):
        print(f"    {hit.score:.2f}  {hit.memory.text}")


if __name__ == "__main__":
    main()
