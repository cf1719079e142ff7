"""The dispatcher of a simulation, in a process of its own, with simulated nodes in Ray's place."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection
from typing import Any

from ytray.engine.cluster.capacity import Slots
from ytray.engine.control.dispatcher import Bundle, JobTracker
from ytray.engine.run.worker import Report
from ytray.engine.state.store import Claimed


class _ToldSlots(Slots):
    """The slots that the nodes said they have."""

    def __init__(self, changed: Callable[[], None], told: dict[str, int]) -> None:
        self._told = told
        super().__init__(changed)

    def look(self) -> tuple[dict[str, int], frozenset[str]]:
        return dict(self._told), frozenset()


class SimulatedTracker(JobTracker):
    """The tracker as it is, but for what it asks of Ray."""

    def __init__(self, setup: bytes, nodes: Connection) -> None:
        self._nodes = nodes
        self._told: dict[str, int] = {}
        self._sent: dict[int, Bundle] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        super().__init__(setup)

    def hear_forever(self) -> None:
        """Take in what the nodes tell; ends with them."""
        while True:
            try:
                what, told = self._nodes.recv()
            except (EOFError, OSError):
                return
            if what == "slots":
                self._told.update(told)
            else:
                for number, jobs, seconds, error in told:
                    bundle = self._sent.pop(number)
                    self._end_bundle(bundle, RuntimeError(error) if error else Report(jobs, seconds))

    def _see_slots(self) -> Slots:
        return _ToldSlots(self._ring, self._told)

    def _beside_ray(self) -> list[tuple[str, Callable[[], None]]]:
        return []

    def _send(self, bundle: Bundle, jobs: list[Claimed]) -> None:
        bundle.ref = next(self._numbers)
        self._sent[bundle.ref] = bundle
        self._say(bundle.ref, bundle.queue, jobs)

    def _stop(self, bundle: Bundle, *, force: bool = False) -> None:  # noqa: ARG002  # no process here needs force
        self._say(bundle.ref, bundle.queue, None)

    def _say(self, *what: Any) -> None:
        with self._lock:
            self._nodes.send(what)


if __name__ == "__main__":
    connection = Client(sys.argv[1], "AF_UNIX")
    assert isinstance(connection, Connection)
    SimulatedTracker(connection.recv(), connection).hear_forever()
