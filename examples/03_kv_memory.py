"""The same answer in less time: an innkeeper's memories are computed once, then attached."""

from __future__ import annotations

import tempfile

from memos_core import MemCube, MemOS, Reply, Runtime, Sampling

GUESTS = "Ysolde Brannoc Wren Tamsin Odo Petra Hale Corvin".split()
HABITS = (
    "takes the room over the stable and wants no honey in the cider",
    "pays in silver on the first day of the week, and counts it twice",
    "keeps a grey dog that sleeps under the long table",
    "was at the bridge on the night when the lantern went out",
)


def main() -> None:
    """Ask three times: once for the first time, once from memory, once without."""
    with tempfile.TemporaryDirectory() as folder, MemOS.open(folder) as memos, Runtime.open() as runtime:
        inn = memos.cube("inn")
        inn.remember("I am Mira, who keeps the inn at the bridge.", kind="persona")
        for guest in GUESTS:
            for habit in HABITS:
                inn.remember(f"{guest} {habit}.")
        first = ask("The first time, everything is computed:", runtime, inn)
        second = ask("The second time, the memories are attached:", runtime, inn)
        plain = ask("For comparison, without attaching anything:", runtime, inn, reuse=False)
        print(f"\nThe same answer: {first.text == second.text == plain.text}.")
        print(f"First word {plain.first_token / second.first_token:.0f} times as soon.")

        inn.forget(inn.list()[-1].id)
        ask("\nA memory is forgotten. What was made with it is gone, the rest is attached:", runtime, inn)


def ask(what: str, runtime: Runtime, inn: MemCube, *, reuse: bool = True) -> Reply:
    """Ask, and print what it took."""
    reply = runtime.chat(
        "Who keeps a grey dog?", inn, budget=4096, reuse=reuse, sampling=Sampling(max_tokens=16)
    )
    print(what)
    print(f"    {reply.text!r}")
    attached = f"{reply.reuse.tokens} of {reply.prompt_tokens} tokens attached"
    where = reply.reuse.why_not or reply.reuse.level
    print(f"    first word after {reply.first_token:.2f} s; {attached} ({where})")
    return reply


if __name__ == "__main__":
    main()
