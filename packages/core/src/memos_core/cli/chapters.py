"""What happens in the story: each chapter does something real, shows it, and returns what came of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median

from memos_core.cli.out import bar, spinner
from memos_core.cli.telling import DEPTH, Asked, Question, Teller
from memos_core.cli.views import history_table, receipt, seconds
from memos_core.erasure import Erasure
from memos_core.errors import Conflict, NotFound
from memos_core.memcube import MemCube
from memos_core.memory import Relation
from memos_core.memos import MemOS
from memos_core.query import Recall
from memos_core.reader.formats import read_conversations

_SIGN = "The sign over the door: the Heron's Elbow, by Brannoc's father, who never saw a heron's face."
_ROOM = "Which room does Ysolde sleep in now?"
_LOFT = "the loft over the stable"
_GLOVE = "What is Dorrin hiding under his left glove?"
_SECRET = "He's hiding a wedding ring"
_LETTER = (
    "A letter from Ysolde: at harvest she brings her mother, who climbs no ladders. Keep room 2 for both."
)
_BILL = "Tam Osric's bill for room 1 is twelve silver; the county pays it, and has not paid yet."
_PAID = "Tam Osric's bill for room 1 was twelve silver; the county paid it on the third of May."


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was kept, and what that took once the model and the index were ready."""

    turns: int
    sessions: int
    ready_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Where the newer and the older fact stood before and after the link, and the late writer's error."""

    versions: int
    conflict: str
    newer: tuple[int | None, int | None]
    older: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The receipt, and whether anything still finds what was forgotten."""

    receipt: Erasure
    rank_before: int | None
    rank_after: int | None
    looked_through: int
    get: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What closing, opening and the first answers took, and what was found then."""

    open_seconds: float
    first_seconds: float
    second_seconds: float
    memories: int
    top: str
    files_with_secret: int


def keep(teller: Teller, memos: MemOS, cube: MemCube) -> Kept:
    """Chapter 1: the conversation is kept."""
    teller.chapter(1, "A month of talk")
    with as_file(files("memos_core.demo") / "innkeeper.jsonl") as path:
        sessions = read_conversations(path)
    of = sum(len(session.messages) for session in sessions)
    begin = time.perf_counter()
    with spinner("opening the inn", hidden=teller.quiet):
        cube.remember(_SIGN, kind="note", at=datetime(2024, 4, 1, 8, tzinfo=UTC))
        memos.drain()
    ready = time.perf_counter() - begin
    teller.say(f"The inn opens: catalog, model and vector index stand ready after {seconds(ready)}.")
    done, begin = 0, time.perf_counter()
    with bar("Brannoc listens", total=of, hidden=teller.quiet) as progress:
        for session in sessions:
            done += len(cube.ingest(session.messages, session=session.session))
            progress(done, of)
    took = time.perf_counter() - begin
    teller.say(
        f"{done} turns on {len(sessions)} days are kept, word for word, in {seconds(took)}: "
        f"{done / took:,.0f} a second. Nobody had to sum them up."
    )
    return Kept(turns=done, sessions=len(sessions), ready_seconds=ready, seconds=took)


def ask(teller: Teller, cube: MemCube) -> list[Asked]:
    """Chapter 2: questions, each answered by what was said."""
    record = json.loads((files("memos_core.demo") / "questions.json").read_text(encoding="utf-8"))
    questions = [Question(**each) for each in record]
    teller.chapter(2, f"{len(questions)} questions")
    teller.say(
        "No language model answers here: what you see is what an agent would be handed. The bar shows "
        "why a turn was found, and is as long as its score. ✓ marks the turn that answers."
    )
    teller.console.print()
    answers = [_asked(teller, cube, question) for question in questions]
    teller.console.print()
    ranks = [answer.best or DEPTH + 1 for answer in answers]
    typical = seconds(median(answer.seconds for answer in answers))
    teller.say(
        f"Of {len(answers)} questions {sum(rank == 1 for rank in ranks)} found their turn first, "
        f"{sum(rank <= 3 for rank in ranks)} among the first three, {sum(rank <= DEPTH for rank in ranks)} "
        f"among the first {DEPTH}; {typical} each (median).",
        style="bold",
    )
    return answers


def _asked(teller: Teller, cube: MemCube, question: Question) -> Asked:
    found = cube.recall(question.ask, k=DEPTH)
    asked = Asked(
        ask=question.ask,
        expect=question.expect,
        ranks=[_rank_of(found, words) for words in question.expect],
        seconds=found.took,
        top=found[0].memory.text if found else "",
    )
    teller.question(question, found.hits, asked)
    return asked


def change(teller: Teller, cube: MemCube) -> Changed:
    """Chapter 3: facts that change."""
    teller.chapter(3, "A fact changes")
    teller.say("Brannoc keeps a house book as well. On May Day he writes:")
    teller.quote("house book", _BILL)
    bill = cube.remember(_BILL, kind="note", tags=["bills"], at=datetime(2024, 5, 1, 20, tzinfo=UTC))
    teller.say("Two days later the county's clerk comes by, so the note gets a second version:")
    paid = cube.revise(bill.id, _PAID, expected=bill.version)
    teller.code(f"revise(..., expected={bill.version})")
    revisions = cube.history(bill.id)
    teller.show(history_table(revisions))
    conflict = _late_writer(cube, paid.id)
    teller.say(f"Whoever read version 1 and writes late is told so: {conflict}.")
    teller.say("\nIn August there is post, and a question from the beginning has a new answer:")
    newer, older = _superseded(teller, cube)
    return Changed(versions=len(revisions), conflict=conflict, newer=newer, older=older)


def _late_writer(cube: MemCube, memory_id: str) -> str:
    try:
        cube.revise(memory_id, _BILL, expected=1)
    except Conflict as exc:
        return f"version {exc.found} is there, not {exc.expected}"
    return "nothing, the late writer won"


def _superseded(
    teller: Teller, cube: MemCube
) -> tuple[tuple[int | None, int | None], tuple[int | None, int | None]]:
    """Link the letter above the loft; return both ranks before and after."""
    teller.quote("house book", _LETTER)
    letter = cube.remember(_LETTER, kind="note", at=datetime(2024, 8, 20, 9, tzinfo=UTC))
    before = cube.recall(_ROOM, k=DEPTH)
    loft = next(memory for memory in cube.list() if _LOFT in memory.text)
    cube.link(letter.id, Relation.SUPERSEDES, loft.id)
    after = cube.recall(_ROOM, k=DEPTH)
    newer = _rank_of(before, _LETTER), _rank_of(after, _LETTER)
    older = _rank_of(before, _LOFT), _rank_of(after, _LOFT)
    teller.code("link(letter, 'supersedes', loft)")
    teller.code(f'recall("{_ROOM}")')
    teller.top(after.hits, count=2)
    teller.say(
        f"Before the link the letter stood at rank {_or_none(newer[0])} and the loft at "
        f"{_or_none(older[0])}; now it is {_or_none(newer[1])} and {_or_none(older[1])}. What is superseded "
        "is not lost; it only never stands above its successor."
    )
    return newer, older


def forget(teller: Teller, memos: MemOS, cube: MemCube) -> Forgotten:
    """Chapter 4: something is forgotten, and it shows."""
    teller.chapter(4, "A secret is forgotten")
    teller.quote(
        "Sister Pell", "I told you about a ring so that you'd sleep, Brannoc. You've slept. Forget it."
    )
    secret = next(memory for memory in cube.list() if _SECRET in memory.text)
    before = _rank_of(cube.recall(_GLOVE, k=DEPTH), _SECRET)
    erasure = cube.forget(secret.id)
    teller.code("forget(...)")
    teller.show(receipt(erasure))
    everything = cube.count()
    after = cube.recall(_GLOVE, k=everything)
    rank, gone = _rank_of(after, _SECRET), _looked_up(cube, secret.id)
    teller.say(
        f'"{_GLOVE}" found it at rank {_or_none(before)}. Now all {len(after)} of {everything} memories '
        f"were asked for, and it is {'not among them' if rank is None else f'at rank {rank}'}; "
        f"to look it up by its id says: {gone}. What Brannoc answered her stays: that was his own."
    )
    memos.drain()
    teller.say("The vector index has been told to delete it, too.", style="dim")
    return Forgotten(
        receipt=erasure, rank_before=before, rank_after=rank, looked_through=len(after), get=gone
    )


def _looked_up(cube: MemCube, memory_id: str) -> str:
    try:
        return cube.get(memory_id).text
    except NotFound as exc:
        return f"no {exc.what} {exc.name[:8]}…"


def survive(teller: Teller, folder: Path, name: str, *, principal: str) -> Survived:
    """Chapter 5: the store was closed; it is opened again and asked once more."""
    teller.chapter(5, "Everything survives")
    holding = _files_holding(folder, _SECRET)
    begin = time.perf_counter()
    with MemOS.open(folder, principal=principal) as memos:
        opened = time.perf_counter() - begin
        cube = memos.cube(name)
        first, second = cube.recall(_ROOM, k=DEPTH), cube.recall(_GLOVE, k=DEPTH)
        memories = cube.count()
    teller.say(
        f"The inn was closed, and opens again in {seconds(opened)} with {memories} memories. The first "
        f"answer takes {seconds(first.took)}, as the model is loaded for it, the next {seconds(second.took)}."
    )
    teller.code(f'recall("{_ROOM}")')
    teller.top(first.hits, count=1)
    where = "in no file of the folder" if not holding else f"still in {holding} of the folder's files"
    teller.say(f"And the forgotten words? They stand {where}: every byte was read to be sure.", style="dim")
    return Survived(
        open_seconds=opened,
        first_seconds=first.took,
        second_seconds=second.took,
        memories=memories,
        top=first[0].memory.text if first else "",
        files_with_secret=holding,
    )


def _files_holding(folder: Path, words: str) -> int:
    sought = words.encode()
    return sum(sought in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _rank_of(found: Recall, words: str) -> int | None:
    """Return the rank (from 1) of the first hit whose text has these words."""
    return next((rank for rank, text in enumerate(found.texts, start=1) if words in text), None)


def _or_none(rank: int | None) -> str:
    return f"{rank}" if rank else f"none of the first {DEPTH}"
