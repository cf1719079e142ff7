"""Joining a system for its jobs to be run: with its Ray cluster, and the actors that dispatch."""

from __future__ import annotations

from ytray.engine.state.connection import join_with_ray
from ytray.system.joining import System


def ensure_running(*, for_up: bool = False) -> None:
    """Join the running system (RAY_ADDRESS, YTRAY_REDIS_URL), else start the embedded one. Safe to call twice.

    `for_up` is for the node of `ytray up`.

    Raises SystemUnavailable, in one sentence that says what to do.
    """
    join_with_ray(_ensure_actors, for_up=for_up)


def _ensure_actors(joined: System) -> None:
    # The actors bring Ray with them, and most commands need neither.
    from ytray.engine.control.actors import ensure_actors

    ensure_actors(joined)
