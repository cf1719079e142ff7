"""Scenes rendered over several nodes: how well the schedule keeps them busy, its work over nodes × wall time.

Each node has one media slot. As many nodes as this machine has cores are real raylets, and the jobs are real; for more
nodes the same order of the same parts is played through with the durations that were measured. Argument: scenes.
"""

from __future__ import annotations

import heapq
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from timelines import timeline

import ytray
from ytray import Job, JobState
from ytray.artifacts import ArtifactStore
from ytray.settings import settings
from ytray.studio.render.parts import split
from ytray.studio.render.timeline import Timeline
from ytray.tasks.media import render_scene

SIMULATED = (2, 4, 8)


def main(scenes: int) -> None:
    """Measure and print."""
    found: dict[str, Any] = {"scenes": scenes, "measured": {}, "simulated": {}}
    durations: list[float] = []
    for nodes in range(1, (os.cpu_count() or 1) + 1):
        cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"queue_default": 1}})
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, resources={"queue_media": 1})
        ray.init(address=cluster.address, namespace="ytray", logging_level=logging.ERROR, log_to_driver=False)
        ytray.connect()
        with tempfile.TemporaryDirectory(prefix="ytray-bench-") as name:
            spans = _rendered(_published(timeline(Path(name), scenes), "bench"))
        ytray.shutdown()
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(settings().home / "artifacts")  # so that the next run has to render everything too
        took = [end - start for start, end in spans]
        wall = max(end for _, end in spans) - min(start for start, _ in spans)
        found["measured"][nodes] = {"wall": wall, "efficiency": sum(took) / (nodes * wall)}
        durations = durations or took
    found["parts"] = len(durations)
    for nodes in SIMULATED:
        wall = _played(durations, nodes)
        found["simulated"][nodes] = {"wall": wall, "efficiency": sum(durations) / (nodes * wall)}
    print(json.dumps(found))


def _published(made: Timeline, job_id: str) -> Timeline:
    """The timeline with its files in the artifact store."""
    store = ArtifactStore()
    scenes = [
        scene.model_copy(
            update={
                "picture": store.publish(Path(scene.picture or ""), job_id, Path(scene.picture or "").name),
                "narration": store.publish(Path(scene.narration or ""), job_id, Path(scene.narration or "").name),
            }
        )
        for scene in made.scenes
    ]
    return made.model_copy(update={"scenes": scenes})


def _rendered(made: Timeline) -> list[tuple[float, float]]:
    """When each part was begun and ended, in the order of submission."""
    warm = [render_scene.delay(timeline=one.timeline, part=one.part) for one in split(made)[:1]]
    for job in warm:
        job.get(timeout=120)
    rest = made.model_copy(update={"caption_style": "boxed"})  # so that none is kept
    jobs = render_scene.map([{"timeline": one.timeline, "part": one.part} for one in split(rest)])
    for job in jobs:
        assert not job.get(timeout=600).was_kept
    return [_span(job) for job in jobs]


def _span(job: Job[Any]) -> tuple[float, float]:
    at = {move.to_state: move.at.timestamp() for move in job.history()}
    return at[JobState.EXECUTING], at[JobState.COMPLETED]


def _played(durations: list[float], nodes: int) -> float:
    """The wall time of jobs that are begun in their order, each on the node that is free first, as the tracker does."""
    free = [0.0] * nodes
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
