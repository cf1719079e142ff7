"""Real hosts, in namespaces of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hosts.cluster import Machines, machines
from ytray.engine.state import connection


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    """A system over a head and two hosts, which this process submits to and looks at through their Redis alone."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("hosts of their own take root")
        pytest.skip("hosts of their own take root")
    with machines() as made:
        made.start_head()
        made.add_all(one={"default": 2, "generation": 2, "batch": 2}, two={"default": 2, "media": 2})
        made.connect()
        before = connection._current
        connection.adopt_store(made.store)
        yield made
        connection._current = before
        made.store.close()
