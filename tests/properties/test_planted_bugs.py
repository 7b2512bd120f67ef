"""A machine that finds nothing proves nothing: bugs are planted, and it has to find each of them.

Each is hunted by the small machine of its theme (`themes.py`), in the same stores each time.

In the outbox: a payer settles without looking again, a revision owes nothing, a revision keeps its
old keys, a reindex forgets the deletions that are owed. In what is seen: expired memories are
hydrated, a filter does not hold for successors, anybody may do anything, keys in RAM are not
refreshed, what is still owed is not looked at, a superseded memory stays where it is. In what is
written: equal statements become twins, the expected version is ignored, the words of an erased
memory stay, history keeps one version, forgetting leaves no trace in the audit, an edit within a
batch is dropped. In its life: what is archived is seen, or owes the index nothing, or comes back
without its words; what is frozen is written; an expired memory keeps its sources. In who sees what:
everybody is an admin, what is private is shown to readers, revoking leaves the right, edges to what
is hidden are shown, granting leaves no trace in the audit. In its past: it shows the present, a
snapshot sees later changes, a rollback brings the erased back, or the words without their keys. In
its forks: a fork writes through to its base, a base to its forks, the erased stay in copies, a merge
drops what is theirs. In whose words count: revising makes
trusted, doubt does not go down the line, a link to what is doubted binds nothing. In what a call is
for: a recall does not ask. In erasing many: words stay after a filter, a filter forgets what is
frozen, or passes over what is archived, an erased cube can still be entered. In idle time: what was
merged is not put away, or outlives its sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, false, insert, select, update

from memos_core import governance
from memos_core.cube import Access, Principal, Right
from memos_core.lifecycle import Trigger
from memos_core.operator import propose, recall
from memos_core.operator.residents import Residents
from memos_core.reader import intake
from memos_core.vault import (
    chain,
    forks,
    former,
    made,
    outbox,
    pasts,
    schema,
    scope,
    statements,
    tx_back,
    tx_consolidate,
    tx_erase,
    tx_life,
    tx_merge,
    tx_share,
    tx_trust,
)
from memos_core.vault.outbox import Debt
from memos_core.vault.tx import Tx
from memos_core.vault.view import View
from tests.properties import themes
from tests.properties.machine import StoreMachine
from tests.properties.store import BEGIN

Plant = Callable[[pytest.MonkeyPatch], None]

pytestmark = pytest.mark.slow

ROUNDS = 60  # of nine stores: the bug that takes longest is found within four


def settles_without_looking_again(patch: pytest.MonkeyPatch) -> None:
    def settle(connection: Any, debts: list[Debt], told: Any, *, by: str, model: str) -> int:
        mine = schema.outbox.c.seq.in_([debt.seq for debt in debts])
        return int(connection.execute(delete(schema.outbox).where(mine)).rowcount)

    patch.setattr(outbox, "settle", settle)


def revision_owes_nothing(patch: pytest.MonkeyPatch) -> None:
    owe = Tx._owe

    def forgetful(tx: Tx, cube: Any, changed: Any, *, verb: str, detail: Any = None) -> None:
        if verb != "revise":
            owe(tx, cube, changed, verb=verb, detail=detail)
        else:
            for memory_id, seq, version in changed:
                tx._note(cube, verb, memory_id=memory_id, seq=seq, version=version)

    patch.setattr(Tx, "_owe", forgetful)


def revision_keeps_its_old_keys(patch: pytest.MonkeyPatch) -> None:
    revise = Tx.revise

    def lazy(tx: Tx, cube: Any, memory_id: str, *, keys: Any, **rest: Any) -> int:
        return revise(tx, cube, memory_id, keys=None, **rest)

    patch.setattr(Tx, "revise", lazy)


def reindex_forgets_deletions(patch: pytest.MonkeyPatch) -> None:
    owe_everything = Tx.owe_everything

    def forgetful(tx: Tx) -> None:
        tx.connection.execute(delete(schema.outbox))
        owe_everything(tx)

    patch.setattr(Tx, "owe_everything", forgetful)


def expired_memories_are_hydrated(patch: pytest.MonkeyPatch) -> None:
    hydrate = View.hydrate

    def blind(self: View, cube: Any, seqs: Any) -> Any:
        now, self.now = self.now, BEGIN - timedelta(days=1000)  # when nothing had expired yet
        try:
            return hydrate(self, cube, seqs)
        finally:
            self.now = now

    patch.setattr(View, "hydrate", blind)


def filter_does_not_hold_for_successors(patch: pytest.MonkeyPatch) -> None:
    succeeded = recall.succeeded
    patch.setattr(recall, "succeeded", lambda *given, among: succeeded(*given, among=None))


def anybody_may_do_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(governance, "rights", lambda principal, cube, granted=(): frozenset(Right))


def keys_in_memory_are_not_refreshed(patch: pytest.MonkeyPatch) -> None:
    refresh = Residents._refresh

    def stale(self: Residents, place: Any, *given: Any, **named: Any) -> None:
        if place.keys is None:
            refresh(self, place, *given, **named)

    patch.setattr(Residents, "_refresh", stale)


def what_is_owed_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(propose.outbox, "owed_memories", lambda *given, **named: [])


def superseded_stay_where_they_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recall, "succeeded", lambda view, cube, found, **named: list(found))


def equal_statements_become_twins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "statement", lambda *given: None)


def expected_version_is_ignored(patch: pytest.MonkeyPatch) -> None:
    revise = Tx.revise

    def careless(tx: Tx, *given: Any, expected: Any = None, **named: Any) -> int:
        return revise(tx, *given, **named)

    patch.setattr(Tx, "revise", careless)


def words_of_the_erased_stay(patch: pytest.MonkeyPatch) -> None:
    erase = Tx.erase

    def sloppy(tx: Tx, cube: Any, memory_id: str, **named: Any) -> Any:
        row = schema.lexical.c.rowid == tx.memory_row(cube, memory_id).seq
        query = select(schema.lexical.c.rowid, schema.lexical.c.cube, schema.lexical.c.terms).where(row)
        kept = [dict(each._mapping) for each in tx.connection.execute(query)]
        receipt = erase(tx, cube, memory_id, **named)
        tx.connection.execute(insert(schema.lexical), kept)
        return receipt

    patch.setattr(Tx, "erase", sloppy)


def history_keeps_one_version(patch: pytest.MonkeyPatch) -> None:
    revise = Tx.revise

    def short(tx: Tx, *given: Any, **named: Any) -> int:
        seq = revise(tx, *given, **named)
        last = tx.connection.execute(select(schema.memories.c.version).where(schema.memories.c.seq == seq))
        old = (schema.versions.c.memory_seq == seq) & (schema.versions.c.version < last.scalar_one())
        tx.connection.execute(delete(schema.versions).where(old))
        return seq

    patch.setattr(Tx, "revise", short)


def forgetting_is_not_audited(patch: pytest.MonkeyPatch) -> None:
    owe = Tx._owe

    def silent(tx: Tx, cube: Any, changed: Any, *, verb: str, detail: Any = None) -> None:
        append = chain.append
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(chain, "append", (lambda *_: None) if verb == "forget" else append)
            owe(tx, cube, changed, verb=verb, detail=detail)

    patch.setattr(Tx, "_owe", silent)


def edit_within_a_batch_is_dropped(patch: pytest.MonkeyPatch) -> None:
    news = intake.news
    patch.setattr(
        intake,
        "news",
        lambda drafts, known: list({draft.digest: draft for draft in news(drafts, known)}.values()),
    )


def archived_are_seen(patch: pytest.MonkeyPatch) -> None:
    step = tx_life.step

    def shown(tx: Tx, cube: Any, memory_id: str, trigger: Trigger) -> Any:
        memory = step(tx, cube, memory_id, trigger)
        if trigger is Trigger.ARCHIVE:
            row = schema.memories.c.id == memory_id
            tx.connection.execute(update(schema.memories).where(row).values(state="activated"))
        return memory

    patch.setattr(tx_life, "step", shown)


def archiving_owes_nothing(patch: pytest.MonkeyPatch) -> None:
    owe = Tx._owe

    def forgetful(tx: Tx, cube: Any, changed: Any, *, verb: str, detail: Any = None) -> None:
        if verb != "archive":
            owe(tx, cube, changed, verb=verb, detail=detail)
        else:
            for memory_id, seq, version in changed:
                tx._note(cube, verb, memory_id=memory_id, seq=seq, version=version)

    patch.setattr(Tx, "_owe", forgetful)


def restored_without_its_words(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_life, "_hide_words", lambda tx, seq, cube: tx._erase_keys(seq))


def frozen_is_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("memos_core.vault.tx.check_writable", lambda *given, **named: None)


def expired_keep_their_sources(patch: pytest.MonkeyPatch) -> None:
    erase_words = Tx.erase_words

    def sloppy(tx: Tx, rows: Any, *, reason: str) -> Any:
        query = select(schema.sources).where(schema.sources.c.memory_seq.in_([row.seq for row in rows]))
        kept = [dict(each._mapping) for each in tx.connection.execute(query)]
        erased = erase_words(tx, rows, reason=reason)
        tx.connection.execute(insert(schema.sources), kept)
        return erased

    patch.setattr(Tx, "erase_words", sloppy)


def everybody_is_an_admin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Access, "whole", property(lambda access: True))


def private_is_shown_to_readers(patch: pytest.MonkeyPatch) -> None:
    binds = Access.binds.fget  # type: ignore[attr-defined]
    patch.setattr(Access, "binds", property(lambda access: {**binds(access), "whole": access.member}))


def revoking_leaves_the_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_share, "delete", select)


def edges_to_the_hidden_are_shown(patch: pytest.MonkeyPatch) -> None:
    values = View._values

    def open_handed(self: View, cube: Any, rows: Any) -> Any:
        return values(self, replace(cube, access=Access(rights=frozenset(Right))), rows)

    patch.setattr(View, "_values", open_handed)


def granting_is_not_audited(patch: pytest.MonkeyPatch) -> None:
    note = Tx._note
    patch.setattr(
        Tx, "_note", lambda tx, cube, verb, **of: None if verb == "grant" else note(tx, cube, verb, **of)
    )


def the_past_shows_the_present(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scope, "_version", lambda cube: schema.memories.c.version)


def snapshots_see_later_changes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pasts, "change_of", lambda view, cube, at: cube.change)


def rollback_brings_the_erased_back(patch: pytest.MonkeyPatch) -> None:
    rollback = tx_back.rollback

    def reviving(tx: Tx, cube: Any, to: int) -> Any:
        done = rollback(tx, cube, to)
        some = tx.connection.execute(select(schema.memories).limit(1)).one_or_none()
        for gone in done.gone if some else ():
            if not tx.connection.execute(
                select(schema.memories).where(schema.memories.c.id == gone.memory_id)
            ).first():
                forks.copy_row(tx, cube, some, change=cube.change, state="activated")
        return done

    patch.setattr(tx_back, "rollback", reviving)


def rollback_leaves_the_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(former, "put_back", lambda *given, **named: None)


def forks_write_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forks, "own", lambda tx, cube, row: tx.row(row.seq))


def bases_write_to_their_forks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forks, "part", lambda *given: None)


def the_erased_stay_in_copies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forks, "copies", lambda *given: [])


def merges_drop_theirs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_merge, "_take", lambda *given: None)


def revising_makes_trusted(patch: pytest.MonkeyPatch) -> None:
    revise = Tx.revise

    def gullible(tx: Tx, *given: Any, changes: Any, **named: Any) -> int:
        return revise(tx, *given, changes={**changes, "trust": "trusted"}, **named)

    patch.setattr(Tx, "revise", gullible)


def doubt_does_not_go_down_the_line(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_trust, "_derived_from", lambda view, cube, ids: set(ids))


def a_doubtful_origin_binds_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_trust, "bound", lambda *given: None)


def a_recall_does_not_ask_what_for(patch: pytest.MonkeyPatch) -> None:
    answer = recall.Recaller._answer

    def blind(self: Any, principal: Any, *given: Any) -> Any:
        return answer(self, Principal(principal.name, purpose="support"), *given)

    patch.setattr(recall.Recaller, "_answer", blind)


def words_stay_after_a_filter(patch: pytest.MonkeyPatch) -> None:
    erase_where = tx_erase.erase_where

    def sloppy(*given: Any, **named: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(tx_erase, "_BY_SEQ", [each for each in tx_erase._BY_SEQ if each[0] != "lexical"])
            return erase_where(*given, **named)

    patch.setattr(tx_erase, "erase_where", sloppy)


def a_filter_forgets_what_is_frozen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_erase, "check_writable", lambda *given, **named: None)


def a_filter_passes_over_the_archived(patch: pytest.MonkeyPatch) -> None:
    matching = statements.matching
    seen = schema.memories.c.state != "archived"
    patch.setattr(tx_erase.statements, "matching", lambda *given, **named: [*matching(*given, **named), seen])


def an_erased_cube_can_be_entered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_erase, "update", lambda table: update(table).where(false()))


def the_merged_are_not_put_away(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tx_consolidate, "put_by", lambda *given: None)


def the_merged_outlive_their_sources(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(made, "products", lambda *given: [])


def what_stands_behind_stays_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(made, "put_behind", lambda *given: None)


def what_was_moved_stands_behind_still(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(made, "moved_on", lambda *given: None)


PLANTED: dict[type[StoreMachine], tuple[Plant, ...]] = {
    themes.Writing: (
        settles_without_looking_again,
        revision_owes_nothing,
        revision_keeps_its_old_keys,
        reindex_forgets_deletions,
        filter_does_not_hold_for_successors,
        anybody_may_do_anything,
        keys_in_memory_are_not_refreshed,
        what_is_owed_is_not_looked_at,
        superseded_stay_where_they_are,
        equal_statements_become_twins,
        expected_version_is_ignored,
        words_of_the_erased_stay,
        history_keeps_one_version,
        forgetting_is_not_audited,
        edit_within_a_batch_is_dropped,
    ),
    themes.Lasting: (expired_memories_are_hydrated,),
    themes.Life: (
        archived_are_seen,
        archiving_owes_nothing,
        restored_without_its_words,
        frozen_is_written,
        expired_keep_their_sources,
    ),
    themes.Sharing: (
        everybody_is_an_admin,
        private_is_shown_to_readers,
        revoking_leaves_the_right,
        edges_to_the_hidden_are_shown,
        granting_is_not_audited,
    ),
    themes.Past: (
        the_past_shows_the_present,
        snapshots_see_later_changes,
        rollback_brings_the_erased_back,
        rollback_leaves_the_keys,
    ),
    themes.Forks: (
        forks_write_through,
        bases_write_to_their_forks,
        the_erased_stay_in_copies,
        merges_drop_theirs,
    ),
    themes.Erasure: (
        revising_makes_trusted,
        doubt_does_not_go_down_the_line,
        a_doubtful_origin_binds_nothing,
        a_recall_does_not_ask_what_for,
        words_stay_after_a_filter,
        a_filter_forgets_what_is_frozen,
        a_filter_passes_over_the_archived,
        an_erased_cube_can_be_entered,
    ),
    themes.Idle: (
        the_merged_are_not_put_away,
        the_merged_outlive_their_sources,
        what_stands_behind_stays_behind,
        what_was_moved_stands_behind_still,
    ),
}
HUNTS = [
    pytest.param(machine, plant, id=f"{machine.__name__}-{plant.__name__}")
    for machine, plants in PLANTED.items()
    for plant in plants
]


@pytest.mark.parametrize(("machine", "plant"), HUNTS)
def test_the_machine_finds(
    machine: type[StoreMachine], plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        themes.hunt(machine, rounds=ROUNDS)
