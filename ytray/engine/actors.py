"""The detached actors of a system: found by name in the Ray namespace of its own, started when they are missing."""

from __future__ import annotations

from typing import Any

import ray

from ytray.engine.breaker import CircuitBreakers
from ytray.engine.flow_runner import FlowRunner
from ytray.engine.tracker import JobTracker
from ytray.engine.worker import pack_setup
from ytray.settings import settings

_CLASSES: dict[str, type] = {
    "JobTracker": JobTracker,
    "FlowRunner": FlowRunner,
    "CircuitBreakers": CircuitBreakers,
}


def ensure_actors(redis_url: str) -> None:
    """Start the actors that are not there yet, and wait until all of them answer."""
    setup = pack_setup(redis_url, settings())
    ray.get([_start(name, made, setup).report.remote() for name, made in _CLASSES.items()])


def find_actor(name: str) -> Any:
    """The handle of a running actor. Raises ValueError when the system runs no such actor."""
    return ray.get_actor(name, namespace=settings().namespace)


def _start(name: str, made: type, setup: bytes) -> Any:
    return (
        ray.remote(made)
        .options(
            name=name,
            namespace=settings().namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=16,
            num_cpus=0,
        )
        .remote(setup)
    )
