"""A cube through time: name its states, compare them, go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self, overload

from memos_core.cube import Right
from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.memcube_base import Handle
from memos_core.memory import Memory, checked_choice, checked_id, checked_name, checked_within
from memos_core.timeline import (
    At,
    Diff,
    Merge,
    MergeConflict,
    Resolution,
    Rollback,
    Snapshot,
    checked_at,
)
from memos_core.vault import forks, pasts, tx_merge


class TimeMachine(Handle):
    """What was can be seen and brought back. Who may see it is a matter of today; the erased stays erased."""

    def snapshot(self, label: str) -> Snapshot:
        """Name the cube's present state; return the name. It copies nothing, whatever the cube's size."""
        self._core.check_open()
        label = checked_name(label, what="label")
        with self._core.catalog.write(self._principal) as tx:
            return pasts.take(tx, tx.enter(self._id, self._principal, NEEDS["snapshot"]), label)

    def snapshots(self) -> Sequence[Snapshot]:
        """Return the cube's snapshots, oldest first."""
        with self._core.reading(self._principal, self._id) as (view, cube):
            return pasts.taken(view, cube)

    def drop_snapshot(self, label: str) -> None:
        """Let go of a snapshot's label. The state itself stays, and can be named by its time."""
        self._core.check_open()
        label = checked_name(label, what="label")
        with self._core.catalog.write(self._principal) as tx:
            pasts.drop(tx, tx.enter(self._id, self._principal, NEEDS["drop_snapshot"]), label)

    def diff(self, a: At, b: At | None = None) -> Diff:
        """Return how the cube came from state `a` to state `b`, or to now: added, revised, moved, gone.

        A state is a snapshot, its label, or a moment. Values under keys (`records`) do not count.
        """
        first, second = checked_at(a, what="a"), checked_at(b, what="b")
        if first is None:
            raise InvalidInput("say from which state on: a snapshot, its label, or a moment")
        with self._core.reading(self._principal, self._id) as (view, cube):
            return pasts.diff(view, cube, first, second)

    def revert(self, memory_id: str, *, to: int) -> Memory:
        """Write a new version of a memory that says what its version `to` said; return it.

        Nothing is lost: the versions between stay in its history. Who may see it does not change.
        """
        self._core.check_open()
        memory_id, to = checked_id(memory_id), checked_within(to, 1, 1 << 62, what="to")
        with self._core.erasing_after():
            return self._core.rewinder.revert(self._principal, self._id, memory_id, to)

    @overload
    def rollback(self, to: Memory) -> Memory: ...
    @overload
    def rollback(self, to: At) -> Rollback: ...
    def rollback(self, to: Memory | At) -> Memory | Rollback:
        """Give the cube the words, states and links again that it had at a state of its past.

        What was written since goes to the archive, what was said since stays in the history, what was
        erased since stays erased, what is frozen stays as it is: the Rollback tells which. Values
        under keys (`records`) stay as they are, and so does who may see what.

        Given a Memory, as it once was, this goes back for that memory alone, as `revert` does.
        """
        if isinstance(to, Memory):
            return self.revert(to.id, to=to.version)
        state = checked_at(to, what="to")
        if state is None:
            raise InvalidInput("say to which state: a snapshot, its label, a moment, or a memory as it was")
        self._core.check_open()
        with self._core.erasing_after():
            return self._core.rewinder.rollback(self._principal, self._id, state)

    def fork(self, name: str) -> Self:
        """Return a new cube of yours that begins as this one is now, of which you see as much.

        It shares what is there until one side writes to it, so it costs the same whatever is shared.
        A memory that the fork writes to is from then on a copy with an id of its own; the old id
        still finds it there. What is forgotten or expires here is gone from every fork. Grants,
        limits, snapshots and values under keys (`records`) stay behind.
        """
        self._core.check_open()
        name = checked_name(name, what="cube name")
        with self._core.catalog.write(self._principal) as tx:
            header = forks.make(tx, tx.enter(self._id, self._principal, NEEDS["fork"]), name)
        return type(self)(self._core, header, self._principal)

    def merge(
        self, other: Handle, *, on_conflict: Resolution | str | Callable[[MergeConflict], Resolution | str]
    ) -> Merge:
        """Take over what a fork of this cube, or what this is a fork of, changed; return what was done.

        Three-way: what only they changed is taken, what only we changed stays, and what both changed
        since they last agreed is a conflict. `on_conflict` is "ours", "theirs", "keep_both" (theirs
        becomes a memory of its own), a function from the MergeConflict to one of these, or "report":
        then nothing is changed where there is a conflict. What they no longer have goes to the
        archive here; nothing is erased. All or nothing, and only what you may see on either side.
        """
        self._core.check_open()
        if not isinstance(other, Handle):
            raise InvalidInput(f"other must be a cube, not {type(other).__name__}")
        answer = _resolver(on_conflict)
        with self._core.erasing_after():
            while True:
                with self._core.reading(self._principal, self._id, NEEDS["merge"]) as (view, ours):
                    theirs = view.enter(other.id, self._principal, Right.READ)
                    conflicts = tx_merge.planned(view, ours, theirs).conflicts
                if conflicts and answer is None:
                    return Merge(cube=ours.id, other=theirs.id, conflicts=conflicts, applied=False)
                answers = {_key(each): answer(each) for each in conflicts if answer is not None}
                done = self._merged(other.id, answers)
                if done is not None:
                    return done

    def _merged(self, other: str, answers: Mapping[object, Resolution]) -> Merge | None:
        """Merge if these are the answers to the present conflicts; None if somebody was faster."""
        with self._core.catalog.write(self._principal) as tx:
            ours = tx.enter(self._id, self._principal, NEEDS["merge"])
            theirs = tx.enter(other, self._principal, Right.READ)
            plan = tx_merge.planned(tx, ours, theirs)
            if any(_key(each) not in answers for each in plan.conflicts):
                return None
            return tx_merge.merge(tx, tx.counted(ours), theirs, plan, lambda each: answers[_key(each)])


def _resolver(given: object) -> Callable[[MergeConflict], Resolution] | None:
    """Return what settles conflicts; None where they are only to be reported."""
    if given == "report":
        return None
    if callable(given):
        return lambda conflict: _resolution(given(conflict))
    chosen = _resolution(given)
    return lambda _conflict: chosen


def _resolution(given: object) -> Resolution:
    return checked_choice(Resolution, given, what="on_conflict")


def _key(conflict: MergeConflict) -> object:
    """Return what an answer was given for: these versions, in these states."""
    return tuple(each and (each.id, each.version, each.state) for each in (conflict.ours, conflict.theirs))
