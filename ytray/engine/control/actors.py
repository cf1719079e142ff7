"""The detached actors of a system: found by name in the Ray namespace of its own, started when they are missing."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import RayError

from ytray.engine.cluster.capacity import HEAD_RESOURCE
from ytray.engine.control.breaker_actor import CircuitBreakers
from ytray.engine.control.dispatcher import JobTracker
from ytray.engine.control.keeper import Keeper
from ytray.engine.run.flow_runner import FlowRunner
from ytray.engine.run.setup import pack_setup
from ytray.errors import SystemUnavailable
from ytray.settings import settings
from ytray.system.joining import System
from ytray.system.ray_cluster import recorded

# Where our actors live: on the node that the cluster stands and falls with, since others come, are drained, and go.
_AT_THE_HEAD = {HEAD_RESOURCE: 0.001}
# A machine that loses its power says no goodbye. By Ray's own settings, tasks that were sent there, or are just being
# sent, are not missed for seven minutes, and those after them wait behind; so the connections of our actors are asked.
_HEARS_OF_SILENCE = {"RAY_grpc_client_keepalive_time_ms": "2000", "RAY_grpc_client_keepalive_timeout_ms": "5000"}
# So that a flow that goes through a set of texts does so in the same order when it runs again.
_SAME_ORDER = {"PYTHONHASHSEED": "0"}
_GONE_WITHIN = 30.0  # seconds that a killed actor may take to be gone
_THERE_WITHIN = 90.0  # seconds that a driver and its actors may take to start
_STARTING = 15.0  # seconds that whoever started the cluster may take to start the actors, too
_IDLE_WITHIN = 60.0  # seconds that a tracker without a driver is left to what it has in flight

_KEEPER = "Keeper"
_CLASSES: dict[str, type] = {
    "JobTracker": JobTracker,
    "FlowRunner": FlowRunner,
    "CircuitBreakers": CircuitBreakers,
}


def ensure_actors(joined: System) -> None:
    """Start the actors that are not there yet, and wait until all of them answer.

    Who started the cluster stays as long as it does, and so may be their driver. On one that was joined, they are left
    alone where they are, and else started by a driver that stays (keeper.py). Raises SystemUnavailable.
    """
    setup = pack_setup(joined.redis_url, settings())
    if joined.started_ray:
        _start_all(setup)
        return
    is_about_to_start = recorded(settings().home) == joined.ray_address
    deadline = time.monotonic() + (_STARTING if is_about_to_start else 0)
    while not (all_there := _all_there()) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not all_there:
        ray.get(_start(_KEEPER, Keeper, setup).report.remote())
    deadline = time.monotonic() + _THERE_WITHIN
    while not all(_answers(name) for name in _CLASSES):
        if time.monotonic() > deadline:
            raise SystemUnavailable(f"the actors of the system have not come up in {_THERE_WITHIN:.0f} s: look at the "
                                    "log of the actor Keeper in the Ray dashboard")  # fmt: skip
        time.sleep(0.05)


def begin_actors(setup: bytes) -> None:
    """Start all actors as this driver's own; those of a driver that has ended are ended first.

    They work all the same, if slowly, so they may first finish what they have in flight.
    """
    deadline = time.monotonic() + _IDLE_WITHIN
    while _all_there() and time.monotonic() < deadline:
        if not ray.get(find_actor("JobTracker").report.remote())["in_flight"]:
            break
        time.sleep(0.5)
    for name in _CLASSES:
        _end(name)
    _start_all(setup)


def replace_actors(joined: System) -> None:
    """Start the actors anew with the code and the settings of this process: the last step of an upgrade.

    What they had in flight is requeued, and no attempt is used up by it; flows go on from their finished steps.
    """
    try:
        for name in (_KEEPER, *_CLASSES):
            _end(name)
    finally:
        if not joined.started_ray:
            _start(_KEEPER, Keeper, pack_setup(joined.redis_url, settings()))
        ensure_actors(joined)


def find_actor(name: str) -> Any:
    """The handle of a running actor. Raises ValueError when the system runs no such actor."""
    return ray.get_actor(name, namespace=settings().namespace)


def _start_all(setup: bytes) -> None:
    ray.get([_start(name, made, setup).report.remote() for name, made in _CLASSES.items()])


def _end(name: str) -> None:
    try:
        ray.kill(find_actor(name), no_restart=True)
    except ValueError:
        return  # it was not there
    deadline = time.monotonic() + _GONE_WITHIN
    while _is_there(name):
        if time.monotonic() > deadline:
            raise SystemUnavailable(f"the actor {name} does not end; `ytray doctor` tells more")
        time.sleep(0.05)


def _answers(name: str) -> bool:
    try:
        ray.get(find_actor(name).report.remote(), timeout=_THERE_WITHIN)
    except (ValueError, RayError):  # it is not there yet, or no more: it is about to be replaced
        return False
    return True


def _all_there() -> bool:
    return all(_is_there(name) for name in _CLASSES)


def _is_there(name: str) -> bool:
    try:
        find_actor(name)
    except ValueError:
        return False
    return True


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
            resources=_AT_THE_HEAD,
            runtime_env={"env_vars": _HEARS_OF_SILENCE | (_SAME_ORDER if made is FlowRunner else {})},
        )
        .remote(setup)
    )
