"""Erasing in every place at once, and looking later whether it is gone from every byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import select

from memos_core.core import CATALOG, Core
from memos_core.cube import Principal
from memos_core.erasure import Erasure, ErasureCheck, Residue, from_facts
from memos_core.errors import BackendUnavailable, NotFound
from memos_core.index import strings_in
from memos_core.memory import checked_text
from memos_core.residue import Form, Needles, forms, pieces
from memos_core.vault import traces
from memos_core.vault.schema import erasures
from memos_core.vault.tx import Tx
from memos_core.vault.view import View

_CHUNK = 8 << 20  # bytes read at once
_MOST_RESIDUES = 100  # told of one check: whoever finds so many need not see the others


def erased(core: Core, principal: Principal, erase: Callable[[Tx], Erasure]) -> Erasure:
    """Erase in one transaction, then in every file and all memory that can be reached at once."""
    with core.erasing(principal) as tx:
        receipt = erase(tx)
    core.forget_in_memory(receipt.cubes)
    return receipt


def receipts(core: Core, principal: Principal) -> list[Erasure]:
    """Return the receipts that this principal was given, oldest first, without the texts."""
    query = select(erasures.c.facts).where(erasures.c.by == principal.name)
    with core.catalog.read() as view:
        found = view.connection.execute(query.order_by(erasures.c.at, erasures.c.id)).scalars()
        return [from_facts(facts) for facts in found]


def receipt_of(core: Core, principal: Principal, receipt_id: str) -> Erasure:
    """Return a receipt that this principal was given, by the beginning of its id."""
    found = [each for each in receipts(core, principal) if each.id.startswith(receipt_id)]
    if len(found) != 1:
        raise NotFound("erasure", receipt_id)
    return found[0]


def verified(
    core: Core, principal: Principal, receipt: Erasure | str, *, words: Iterable[str] = ()
) -> ErasureCheck:
    """Pay what is owed to every file, then look for the erased: rows, ids, and the words that are given."""
    known = receipt_of(core, principal, receipt if isinstance(receipt, str) else receipt.id)
    texts = [checked_text(word, what="word") for word in words]
    if isinstance(receipt, Erasure):
        texts += receipt.texts
    owed, reason = _settled(core, known)
    with core.catalog.read() as view:
        left = [Residue(place=table, form="row") for table in traces.tables_with(view, known.memories)]
        wanted, shared, short = _wanted(texts, view) if texts else ([], 0, 0)
    files = _files(core.folder)
    residues = [*left, *_residues(core.folder, files, _of_ids(known), wanted)]
    return ErasureCheck(
        erasure=known,
        at=core.catalog.clock(),
        files=len(files),
        size=sum(path.stat().st_size for path in files),
        looked_for=len({form.piece for form in wanted}),
        shared=shared,
        short=short,
        owed=owed,
        reason=reason,
        residues=residues[:_MOST_RESIDUES],
    )


def _settled(core: Core, receipt: Erasure) -> tuple[int, str]:
    """Pay every debt of an erasure; return how many deletions are owed still, and why."""
    core.residents.drop(receipt.cubes)
    reason = ""
    try:
        core.settle()
    except BackendUnavailable as exc:
        reason = str(exc)
    core.catalog.vacuum()
    with core.catalog.read() as view:
        owed = traces.owed(view, [*receipt.memories, *receipt.shared])
    return owed, reason if owed else ""


# --- what is looked for ------------------------------------------------------------------------


def _wanted(texts: Sequence[str], view: View) -> tuple[list[Form], int, int]:
    """Return the forms to look for, how many pieces the living say as well, and how many are too short."""
    made = {number: forms(number, piece) for number, piece in enumerate(pieces(texts))}
    every = [form for each in made.values() for form in each]
    said = _alive([form for form in every if form.name == "utf-8"], traces.living_texts(view))
    analysed = _alive([form for form in every if form.name == "terms"], traces.living_terms(view))
    alive = {form.piece for form in said}
    wanted = [form for form in every if form.piece not in alive and form not in analysed]
    return wanted, len(alive), sum(not each for each in made.values())


def _alive(wanted: Sequence[Form], living: Iterable[str]) -> set[Form]:
    """Return those of the forms that stand in what living memories say."""
    return {match.form for match in Needles(wanted).find("\0".join(living).encode())}


def _of_ids(receipt: Erasure) -> list[Form]:
    return [Form(number, "id", each.encode()) for number, each in enumerate(receipt.memories)]


# --- where it is looked for --------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _residues(
    folder: Path, files: Sequence[Path], ids: Sequence[Form], wanted: Sequence[Form]
) -> Iterator[Residue]:
    """Yield what stands in the files, one residue for each form of a piece in each file.

    Ids are not looked for in the catalog: the audit and the receipt name them for ever.
    """
    words, both = Needles(wanted), Needles([*wanted, *ids])
    for path in files:
        place = str(path.relative_to(folder))
        needles = words if place.startswith(CATALOG) else both
        told: set[Form] = set()
        for form, offset in _found_in(path, needles):
            if form not in told:
                told.add(form)
                yield Residue(place=place, form=form.name, offset=offset)


def _found_in(path: Path, needles: Needles) -> Iterator[tuple[Form, int]]:
    """Look through the bytes of a file, and through the strings of one whose bytes are compressed."""
    inside = "\0".join(strings_in(path)).encode()
    yield from ((match.form, -1) for match in needles.find(inside))
    with path.open("rb") as file:
        begin, rest = 0, b""
        while read := file.read(_CHUNK):
            data = rest + read
            yield from ((match.form, begin + match.offset) for match in needles.find(data))
            rest = data[-needles.longest :]
            begin += len(data) - len(rest)
