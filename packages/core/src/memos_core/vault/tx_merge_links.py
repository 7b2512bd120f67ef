"""Links in a merge: those of theirs that we lack are made, none is taken back."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from memos_core.cube import CubeHeader
from memos_core.memory import Relation, State
from memos_core.vault import forks, made, tx_trust
from memos_core.vault.tx import DIRECTED, Tx


def unite(
    tx: Tx, ours: CubeHeader, theirs: CubeHeader, ids: Mapping[str, str], *, moved: Collection[str]
) -> None:
    """Make the links of the memories that were merged in; `ids` maps theirs to ours, `moved` are of ours.

    A link whose ends we do not both have is left out, and so is one that starts at a frozen memory
    or would make a circle. What becomes derived so is trusted no further than its source.
    """
    links = tx.links_of(theirs, sorted(ids))
    for link in [link for each in links.values() for link in each]:
        source, target = ids[link.source], ids.get(link.target, link.target)
        ends = tx.kept(ours, tx.seqs_of(ours, [source, target]).values())
        known = {memory.id: memory for memory in ends.values()}
        if source == target or not {source, target} <= known.keys() or known[source].state is State.FROZEN:
            continue
        has = tx.links_of(ours, [source]).get(source, ())
        if any((each.relation, each.target) == (link.relation, target) for each in has):
            continue
        if link.relation in DIRECTED and source in tx.reached(ours, target, link.relation):
            continue
        start = forks.own(tx, ours, tx.row(tx.seqs_of(ours, [source])[source]))
        away = None
        if target in moved and known[target].state is State.ARCHIVED:  # it rests there, and so it does here
            behind = made.behind(tx, theirs, {link.source})
            was = {ids.get(each.row.id, each.row.id): each.was.value for each in behind}
            away = was.get(target) if link.relation is Relation.DERIVED_FROM else None
        tx.write_edge(ours, start.id, link.relation.value, target, put_away=away)
        tx._note(ours, "link", memory_id=start.id, seq=start.seq, version=start.version)
        if link.relation is Relation.DERIVED_FROM:
            tx_trust.bound(tx, ours, start, tx.any_row(ours, target))
