"""Several systems on one Redis and one Ray cluster, each under its own name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.redis.surroundings import run_whole_system
from tests.redis.tasks_for_redis import shout
from ytray import job_tracker, metrics
from ytray.artifacts import ArtifactStore
from ytray.engine.control.retention import cleanup
from ytray.engine.state.store import Store


def test_two_systems_on_one_redis_and_one_ray_cluster_do_not_see_each_other(system: Store, home: Path) -> None:
    mine = shout.map([{"word": f"mine-{n}"} for n in range(50)])
    before = sum(job_tracker.counts().values())
    told = run_whole_system(home, YTRAY_NAMESPACE="second", YTRAY_REDIS_URL=system.redis_url)
    assert [job.get(timeout=60) for job in mine] == [f"MINE-{n}" for n in range(50)]
    assert sum(job_tracker.counts().values()) == before
    assert told["counts"]["COMPLETED"] == 33
    assert len(told["jobs"]) > 30
    assert not {job.id for job in mine} & set(told["jobs"])
    assert system.states(told["jobs"]) == [None] * len(told["jobs"])
    for name in ("JobTracker", "FlowRunner", "CircuitBreakers"):
        assert told["actors"].count(name) == 2
    assert any('task_name="refuse"' in line for line in told["metrics"])
    assert 'task_name="refuse"' not in metrics.render().decode()


def test_a_clean_up_leaves_the_files_of_another_system_that_keeps_them_in_the_same_place(
    system: Store, with_settings: Callable[..., None], tmp_path: Path
) -> None:
    given = tmp_path / "given.txt"
    given.write_text("a film")
    kept: dict[str, Path] = {}
    for name in ("second", "ytray"):
        with_settings(namespace=name, artifacts=str(tmp_path / "files"), history_ttl=1)
        kept[name] = Path(ArtifactStore().publish(given, "a-job-of-nobody/1", "film.txt"))
        os.utime(kept[name], (0, 0))
    cleanup(kinds=("attempts", "kept", "partial"))
    assert {name: path.exists() for name, path in kept.items()} == {"second": True, "ytray": False}
