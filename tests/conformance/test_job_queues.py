"""Every job queue keeps the promise of the protocol: the embedded one on both databases, Procrastinate,
and the model in plain objects.
"""

import pytest

from memos_core import Principal
from memos_core.scheduler.engines import JobEngine
from memos_core.scheduler.queue import CatalogQueue
from memos_core.testing import InMemoryQueue, JobDesk, JobQueueConformance
from memos_core.vault.catalog import Catalog
from tests.procrastinate_store import clocked, queue_at


class TestInMemoryQueue(JobQueueConformance):
    @pytest.fixture
    def desk(self, clock):
        queue = InMemoryQueue(clock=clock)
        return JobDesk(queue=queue, clock=clock, writing=queue.transaction, cubes=("a", "b", "c"))


def cubes_of(catalog):
    with catalog.write(Principal("ana")) as tx:
        return tuple(tx.create_cube(name).id for name in "abc")


class TestCatalogQueue(JobQueueConformance):
    @pytest.fixture
    def desk(self, clock, tmp_path):
        catalog = Catalog(tmp_path / "catalog.db", clock=clock)
        cubes = cubes_of(catalog)
        yield JobDesk(queue=CatalogQueue(catalog), clock=clock, writing=catalog.connection, cubes=cubes)
        catalog.close()


class OnPostgres(JobQueueConformance):
    engine: JobEngine

    @pytest.fixture
    def desk(self, postgres):
        with (
            clocked(postgres, pool=self.engine) as (url, clock),
            queue_at(url, self.engine, clock=clock) as (catalog, queue),
        ):
            yield JobDesk(queue=queue, clock=clock, writing=catalog.connection, cubes=cubes_of(catalog))


@pytest.mark.server
@pytest.mark.xdist_group("postgres")
class TestCatalogQueueOnPostgres(OnPostgres):
    engine = JobEngine.EMBEDDED


@pytest.mark.server
@pytest.mark.xdist_group("postgres")
class TestProcrastinateQueue(OnPostgres):
    engine = JobEngine.PROCRASTINATE
