"""A catalog with a cube in it, and a short way to write memories into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memos_core import CubeHeader, Memory, Principal
from memos_core.reader.keys import keys_of
from memos_core.testing import HashEmbedder
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, statement_digest

ANA = Principal("ana")


@pytest.fixture
def catalog(tmp_path: Path, clock: Callable) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.db", clock=clock)
    yield catalog
    catalog.close()


@pytest.fixture
def header(catalog: Catalog) -> CubeHeader:
    """A cube of Ana's; its change number is that of its making."""
    with catalog.write(ANA) as tx:
        return tx.create_cube("notes")


@pytest.fixture
def add(catalog: Catalog, header: CubeHeader, embedder: HashEmbedder) -> Callable[..., list[Memory]]:
    """Write memories in one transaction; return them."""

    def add_all(*texts: str, cube: CubeHeader = header, **fields: object) -> list[Memory]:
        drafts = [
            Draft(**{"text": text, "digest": statement_digest(text, kind="fact", at=None), **fields})
            for text in texts
        ]
        with catalog.write(ANA) as tx:
            opened = tx.open(cube.id)
            seqs = tx.add(opened, list(zip(drafts, keys_of(drafts, embedder), strict=True)))
            found = tx.hydrate(opened, seqs)
            return [found[seq] for seq in seqs]

    return add_all
