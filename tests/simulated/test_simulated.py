"""The real scheduler, and what it does with fifty simulated nodes that die: nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from benchmarks.simulated.running import System, durations, submit, system
from benchmarks.simulated.scenario import SLOTS
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.state import connection
from ytray.settings import settings

NODES = 50


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """Fifty nodes of eight slots. The system that other tests share is left as it is."""
    monkeypatch.setattr(connection, "_current", None)
    monkeypatch.setattr("ytray.settings._adopted", None)
    with system(NODES, SLOTS, lease_seconds=3.0) as running:
        yield running
    monkeypatch.undo()
    settings.cache_clear()


def test_nodes_and_a_tracker_die_and_every_job_is_done_once(simulated: System) -> None:
    ids: list[str] = []
    random = Random(7)
    for queue in QUEUE_PRIORITIES:
        ids += submit(simulated.store, queue, durations(random, 1175, 0.4))
    # Longer than it takes until they run again elsewhere: what their nodes write afterwards comes too late.
    ids += submit(simulated.store, "media", [2.0] * 300, priority=9)
    simulated.wait(lambda: simulated.ended() > 1000, 60)
    simulated.nodes.kill(5, noticed_after=0.1)
    simulated.nodes.kill(5, noticed_after=0.1, cut_off=True)
    simulated.wait(lambda: simulated.ended() > 2000, 60)
    simulated.nodes.add(10, SLOTS)
    simulated.restart_tracker()
    simulated.wait(lambda: simulated.ended() == len(ids), 60)
    assert simulated.left() == 0
    assert simulated.committed() == len(ids), "a result was committed twice"
    assert simulated.nodes.seen.elsewhere, "the jobs of dead nodes ran elsewhere"
    for job_id in random.sample(ids, 200):
        ends = [move for move in simulated.store.history(job_id) if move.to_state == "COMPLETED"]
        assert len(ends) == 1


def test_more_slots_than_a_claim_may_take_are_filled(simulated: System) -> None:
    simulated.nodes.add(5, {"default": 1000})
    simulated.store.pause("default", paused=True)
    ids = submit(simulated.store, "default", [0.5] * 5000)
    simulated.wait(lambda: simulated.store.redis.hget(simulated.store.key("slots"), "default") == b"5100", 20)
    simulated.store.pause("default", paused=False)
    simulated.store.wake("tracker")
    simulated.wait(lambda: simulated.ended() == len(ids), 60)
