"""A Ray cluster of its own for each test of chaos, with a short lease."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

import ytray
from ytray.settings import settings

QUEUES = {"queue_default": 2, "queue_generation": 1, "queue_media": 1, "queue_batch": 1}
LEASE = "4"


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("YTRAY_RAY_WITHOUT_TOKEN", "true")
    monkeypatch.setenv("YTRAY_LEASE_SECONDS", LEASE)
    settings.cache_clear()
    made: Any = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "resources": QUEUES,
            "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 3},
        },
    )
    ray.init(address=made.address, namespace="ytray", log_to_driver=False)
    ytray.connect()
    yield made
    ytray.shutdown()
    ray.shutdown()
    made.shutdown()
