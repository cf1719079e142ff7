"""The CircuitBreakers actor: it tells Ray's own tools of every breaker of the system. Redis decides (breaker.py)."""

from __future__ import annotations

import os
from typing import Any

from ytray.engine.cluster.capacity import here
from ytray.engine.run.breaker import stored_breakers
from ytray.engine.run.setup import unpack_setup


class CircuitBreakers:
    """The detached actor."""

    def __init__(self, setup: bytes) -> None:
        self._store = unpack_setup(setup)

    def report(self) -> dict[str, Any]:
        """Every breaker's state by name."""
        told = {state.name: state.model_dump() for state in stored_breakers(self._store)}
        return {"pid": os.getpid(), "node": here(), "breakers": told}
