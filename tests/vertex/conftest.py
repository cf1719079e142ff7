"""A Vertex AI of these tests' own, with nothing on its record, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.vertex.server import VertexServer
from ytray import JobStatus
from ytray.engine.state.store import Store
from ytray.spend.journal import entries_of_job
from ytray.spend.model import Entry


@pytest.fixture
def vertex(system: Store, vertex_server: VertexServer) -> Iterator[VertexServer]:
    """The server that the running system asks, as new; its breakers are closed again afterwards."""
    vertex_server.reset()
    yield vertex_server
    vertex_server.reset()
    system.redis.delete(system.key("budgets"))


@pytest.fixture
def entries(system: Store) -> Callable[[JobStatus], list[Entry]]:
    """`entries(job.status())` is a job's part of the spend journal."""
    return lambda status: entries_of_job(system, status.job_id)
