"""A catalog with a cube in it, an index that can be down, and a short way to write memories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memos_core import CubeHeader, Memory, Principal
from memos_core.operator.indexer import Indexer
from memos_core.reader.keys import keys_of
from memos_core.testing import HashEmbedder, InMemoryIndex
from memos_core.vault.catalog import Catalog
from memos_core.vault.draft import Draft, statement_digest

ANA = Principal("ana")


@pytest.fixture
def catalog(tmp_path: Path, clock: Callable) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "catalog.db", clock=clock)
    yield catalog
    catalog.close()


@pytest.fixture
def indexer(catalog: Catalog, index: InMemoryIndex, embedder: HashEmbedder) -> Iterator[Indexer]:
    indexer = Indexer(catalog, index=lambda: index, model=lambda: embedder.identity)
    yield indexer
    indexer.close()


@pytest.fixture
def new_cube(catalog: Catalog) -> Callable[[str], CubeHeader]:
    def make(name: str) -> CubeHeader:
        with catalog.write(ANA) as tx:
            return tx.create_cube(name)

    return make


@pytest.fixture
def header(new_cube: Callable[[str], CubeHeader]) -> CubeHeader:
    return new_cube("notes")


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


@pytest.fixture
def revise(catalog: Catalog, header: CubeHeader, embedder: HashEmbedder) -> Callable[[Memory, str], None]:
    def revise_one(memory: Memory, text: str) -> None:
        keys = keys_of([Draft(text=text, digest=text)], embedder)[0]
        with catalog.write(ANA) as tx:
            tx.revise(tx.open(header.id), memory.id, changes={"text": text}, keys=keys)

    return revise_one


@pytest.fixture
def forget(catalog: Catalog, header: CubeHeader) -> Callable[[Memory], None]:
    def forget_one(memory: Memory) -> None:
        with catalog.write(ANA) as tx:
            tx.erase(tx.open(header.id), memory.id)

    return forget_one
