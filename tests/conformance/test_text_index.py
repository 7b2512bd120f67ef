"""The promise of a TextIndex, kept by the twin, by Milvus Lite and by a Milvus server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from pymilvus import MilvusClient

from memos_core.errors import BackendUnavailable
from memos_core.protocols import TextIndex
from memos_core.testing import InMemoryIndex, PersistentTextIndexConformance, TextIndexConformance
from memos_core.tiers.text.milvus import MilvusIndex
from tests.conformance.milvus_server import milvus_server, require_milvus_server


class TestInMemoryIndex(TextIndexConformance):
    examples = 100

    @pytest.fixture
    def index(self) -> Iterator[TextIndex]:
        with closing(InMemoryIndex(dimensions=self.dimensions)) as index:
            yield index

    def test_while_it_is_down_it_says_so_and_forgets_nothing(self) -> None:
        index = InMemoryIndex(dimensions=self.dimensions)
        index.upsert([self.entry("a", 0.5)])
        index.down = True
        for call in (
            lambda: index.upsert([]),
            lambda: index.delete([]),
            index.count,
            lambda: self.found(index),
        ):
            with pytest.raises(BackendUnavailable):
                call()
        index.down = False
        assert self.found(index) == [("a", 0.5)]


Connect: TypeAlias = Callable[[], MilvusIndex]


class _MilvusConformance(PersistentTextIndexConformance):
    """Gives the kit an index by way of a fixture `connect`, which opens the same one each time."""

    @pytest.fixture
    def index(self, connect: Connect) -> TextIndex:
        return connect()

    @pytest.fixture
    def reopen(self, connect: Connect) -> Callable[[TextIndex], TextIndex]:
        def reopen(index: TextIndex) -> TextIndex:
            index.close()
            return connect()

        return reopen

    @contextmanager
    def connector(self, uri: str) -> Iterator[Connect]:
        with ExitStack() as opened:
            yield lambda: opened.enter_context(
                closing(MilvusIndex(uri, embedder_identity="model@1", dimensions=self.dimensions))
            )


class TestMilvusLite(_MilvusConformance):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Iterator[Connect]:
        with self.connector(str(tmp_path / "milvus.db")) as connect:
            yield connect


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    require_milvus_server()
    with milvus_server() as address:
        yield address


def emptied(client: MilvusClient, collection: str) -> None:
    """Delete what the test before left. The server finds rows to delete as of a moment ago: look again."""
    for _ in range(100):
        client.delete(collection, filter="key >= 0")
        left = client.query(collection, filter="", output_fields=["count(*)"], consistency_level="Strong")
        if left[0]["count(*)"] == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{collection} cannot be emptied")


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.xdist_group("milvus-server")
class TestMilvusServer(_MilvusConformance):
    examples = 2  # each search waits for the server's clock, about 0.2 s

    @pytest.fixture
    def connect(self, address: str) -> Iterator[Connect]:
        client = MilvusClient(address, dedicated=True)
        for name in client.list_collections():  # a new one would take the server 4 s
            emptied(client, name)
        client.close()
        with self.connector(address) as connect:
            yield connect
