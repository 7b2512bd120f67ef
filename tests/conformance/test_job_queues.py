"""Every job queue keeps the promise of the protocol: the embedded one, and its model in plain objects."""

import pytest

from memos_core import Principal
from memos_core.scheduler.queue import CatalogQueue
from memos_core.testing import InMemoryQueue, JobDesk, JobQueueConformance
from memos_core.vault.catalog import Catalog


class TestInMemoryQueue(JobQueueConformance):
    @pytest.fixture
    def desk(self, clock):
        queue = InMemoryQueue(clock=clock)
        return JobDesk(queue=queue, clock=clock, writing=queue.transaction, cubes=("a", "b", "c"))


class TestCatalogQueue(JobQueueConformance):
    @pytest.fixture
    def desk(self, clock, tmp_path):
        catalog = Catalog(tmp_path / "catalog.db", clock=clock)
        with catalog.write(Principal("ana")) as tx:
            cubes = tuple(tx.create_cube(name).id for name in "abc")
        yield JobDesk(queue=CatalogQueue(catalog), clock=clock, writing=catalog.connection, cubes=cubes)
        catalog.close()
