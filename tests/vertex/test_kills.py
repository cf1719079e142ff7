"""What a killed worker costs: nothing, at whatever moment of a paid call it dies."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.vertex.server import VertexServer
from tests.vertex.tasks_for_vertex import MOMENTS, film_and_die
from ytray import JobFailed, JobState, dlq
from ytray.engine.state.store import Store
from ytray.spend.journal import allow, entries_of_job
from ytray.spend.model import SpendState
from ytray.tasks.media import generate_video_veo

Until = Callable[..., None]
UNKNOWABLE = {"after sent", "before started"}  # the request may be on its way, or its answer lost


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_film_is_started_once_wherever_its_worker_dies(
    moment: str, system: Store, vertex: VertexServer, tmp_path: Path
) -> None:
    job = film_and_die.delay(str(tmp_path), moment, f"a cat, killed {moment}")
    if moment in UNKNOWABLE:
        with pytest.raises(JobFailed, match="not made again by itself") as failed:
            job.get(timeout=60)
        assert failed.value.retry_count == 0
        (entry,) = entries_of_job(system, job.id)
        assert entry.state is SpendState.UNCERTAIN
        assert entry.cost_usd == pytest.approx(0.4)
        assert vertex.billed("video") == (0 if moment == "after sent" else 1)
        allow(system, entry.key)
        dlq.retry_task(job.id)
    clip = job.get(timeout=60)
    assert clip.seconds == pytest.approx(4, abs=0.1)
    assert vertex.billed("video") == (2 if moment == "before started" else 1)
    (entry,) = entries_of_job(system, job.id)
    assert (entry.state, entry.operation is not None) == (SpendState.DONE, True)
    assert job.status().cost_usd == pytest.approx(0.8 if moment in UNKNOWABLE else 0.4)
    assert (tmp_path / "died").exists()


def test_a_film_whose_start_is_never_answered_is_recorded_as_uncertain(
    system: Store, vertex: VertexServer, until: Until
) -> None:
    from tests.vertex.faults import hold

    vertex.script("video", hold())
    job = generate_video_veo.delay("a dog, held", provider="vertex")
    vertex.wait_for("video", 1, 30)
    for process in _workers("ray::generate_video_veo"):
        process.kill()
    with pytest.raises(JobFailed, match="its worker died after the call was sent"):
        job.get(timeout=60)
    vertex.release()
    assert vertex.billed("video") == 1
    (entry,) = entries_of_job(system, job.id)
    assert (entry.state, entry.tries) == (SpendState.UNCERTAIN, 1)
    dlq.remove(job.id)


@pytest.mark.chaos
def test_films_under_random_kills_are_billed_once_each(system: Store, vertex: VertexServer, until: Until) -> None:
    vertex.polls_needed = 3
    prompts = [f"film number {number}" for number in range(50)]
    jobs = generate_video_veo.options(user_id="many").map(
        [{"prompt": prompt, "provider": "vertex"} for prompt in prompts]
    )
    over, chance, kills = threading.Event(), random.Random(7), 0

    def kill() -> None:
        nonlocal kills
        while not over.wait(0.4):
            for process in _workers("ray::generate_video_veo")[:1]:
                if chance.random() < 0.8:
                    process.kill()
                    kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        until(lambda: kills >= 12 or all(job.status().current_state.has_ended for job in jobs), 100)
    finally:
        over.set()
        killer.join()
    until(lambda: all(job.status().current_state.has_ended for job in jobs), 100)
    billed = Counter(call.body["instances"][0]["prompt"] for call in vertex.calls if call.kind == "video")
    assert kills >= 5
    assert set(billed.values()) == {1}
    for job, prompt in zip(jobs, prompts, strict=True):
        (entry,) = entries_of_job(system, job.id)
        if job.status().current_state is JobState.COMPLETED:
            assert (entry.state, billed[prompt]) == (SpendState.DONE, 1)
        else:
            # Killed in the instant between the sending and the name of the operation, or three times over.
            assert entry.state in (SpendState.UNCERTAIN, SpendState.STARTED)
            dlq.remove(job.id)
    assert sum(job.status().current_state is JobState.COMPLETED for job in jobs) >= 40


def _workers(title: str) -> list[psutil.Process]:
    """The processes that run a task of this system now."""
    found = []
    for process in psutil.process_iter():
        try:
            if " ".join(process.cmdline()).startswith(title) and process.environ().get("YTRAY_HOME") == os.environ.get(
                "YTRAY_HOME"
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found
