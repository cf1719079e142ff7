"""A system over several hosts that share a Redis and an object store, and nothing else."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.cluster import LEASE, Machines
from tests.hosts.host import REPOSITORY, Cable, Host
from tests.hosts.tasks_for_hosts import slept, until_told
from ytray import Job, JobState, job_tracker
from ytray.studio.render.probe import probe
from ytray.tasks.processing import create_video

Until = Callable[..., None]


def counted(jobs: Sequence[Job[Any]]) -> dict[str, int]:
    """What became of all jobs that were accepted."""
    commits = [sum(move.to_state is JobState.COMPLETED for move in job.history()) for job in jobs]
    return {
        "accepted": len(jobs),
        "completed": sum(job.status().current_state is JobState.COMPLETED for job in jobs),
        "committed twice": sum(number > 1 for number in commits),
        "lost": sum(number == 0 for number in commits),
    }


def all_of(number: int) -> dict[str, int]:
    return {"accepted": number, "completed": number, "committed twice": 0, "lost": 0}


def test_jobs_run_on_all_hosts(cluster: Machines) -> None:
    jobs = slept.map([{"seconds": 0.2, "number": n} for n in range(12)])
    assert set(Counter(job.get(timeout=60) for job in jobs)) == {"one", "two"}
    assert counted(jobs) == all_of(12)


def started_on(cluster: Machines, name: str) -> list[str]:
    """The hosts on which `until_told(name)` has begun, in turn."""
    found: list[Any] = cluster.store.redis.lrange(cluster.store.key(f"test:{name}"), 0, -1)
    return [host.decode() for host in found]


def tell(cluster: Machines, name: str) -> None:
    cluster.store.redis.set(cluster.store.key(f"test:{name}:go"), "1")


@pytest.mark.chaos  # for its length: tests/artifacts makes one by nodes whose disks are apart
def test_a_video_is_made_across_hosts_that_share_no_disk(cluster: Machines) -> None:
    job = create_video.delay(prompt="Why do cats purr?", duration=5, formats=["mp4"])
    film = job.get(timeout=150)
    steps = [step for step in job_tracker.list_jobs(limit=100) if step.parent_id == job.id]
    assert {cluster.where(step.job_id) for step in steps} == {"one", "two"}
    found = probe(cluster.fetched(film.video.uri))
    assert abs(found.seconds - film.video.seconds) < 0.2
    assert (found.width, found.height) == (1080, 1920)
    assert counted([job]) == all_of(1)


def test_a_host_that_dies_under_its_jobs_is_replaced_by_one_that_joins(cluster: Machines, until: Until) -> None:
    jobs = [until_told.options(queue="media").delay(f"doomed{n}") for n in range(2)]
    until(lambda: all(started_on(cluster, f"doomed{n}") == ["two"] for n in range(2)))
    more = slept.options(queue="media").map([{"seconds": 0.1, "number": n} for n in range(20)])
    cluster.workers.pop("two").kill()
    died = time.monotonic()
    joined = cluster.add("three", {"default": 2, "media": 2})
    up = time.monotonic()
    until(lambda: all(started_on(cluster, f"doomed{n}")[-1] == "three" for n in range(2)), 90)
    print(f"joined after {up - died:.1f} s, took work {time.monotonic() - up:.1f} s later")
    for n in range(2):
        tell(cluster, f"doomed{n}")
    assert [re.sub("[2-9]$", "N", job.get(timeout=60)) for job in jobs] == ["three by fence N"] * 2
    assert {job.get(timeout=60) for job in more} == {"three"}
    assert counted([*jobs, *more]) == all_of(22)
    assert [job.status().retry_count for job in jobs] == [0, 0]
    assert joined.name == "three"


@pytest.mark.chaos  # for its length: tests/faults has a worker that was away for longer than its lease
def test_a_host_cut_off_for_longer_than_the_lease_commits_nothing_when_it_is_back(
    cluster: Machines, until: Until
) -> None:
    job = until_told.delay("cut")
    until(lambda: started_on(cluster, "cut"))
    lost = cluster.workers[started_on(cluster, "cut")[0]]
    with lost.cut():
        cut = time.monotonic()
        until(lambda: len(started_on(cluster, "cut")) == 2, 60)
        print(f"runs elsewhere {time.monotonic() - cut:.1f} s after the cut")
        until(lambda: time.monotonic() - cut > 2 * LEASE)
        tell(cluster, "cut")
        assert job.get(timeout=60).endswith("by fence 2")
    # Its own Ray was given up meanwhile and ends; so does all that its jobs have started.
    until(lambda: not lost.processes("orphan-of-cut"), 60)
    assert counted([job]) == all_of(1)
    assert started_on(cluster, "cut")[1] != lost.name


@pytest.mark.chaos  # for its length: tests/serve has a raylet that dies, tests/redis a store of a version before
def test_every_accepted_job_survives_a_new_head_and_an_upgrade_of_it(cluster: Machines, until: Until) -> None:
    jobs = [until_told.delay(f"head{n}") for n in range(2)]
    until(lambda: all(started_on(cluster, f"head{n}") for n in range(2)))
    cluster.head.kill()
    more = slept.map([{"seconds": 0.05, "number": n} for n in range(10)])  # accepted: that takes Redis alone
    restarted = time.monotonic()
    cluster.restart_head(PYTHONPATH=f"{next_version(cluster.head)}:{REPOSITORY}")
    up = time.monotonic()
    until(lambda: any(job.status().current_state is JobState.COMPLETED for job in more), 90)
    print(f"head up after {up - restarted:.1f} s, first new job done {time.monotonic() - up:.1f} s later")
    # The tracker is of the next version from here on, and the workers are of this one.
    cluster.head.run("ytray", "upgrade", "--deadline", "0s")
    assert cluster.head.run("python", "-c", TRACKERS_REPORT).strip().endswith("the next")
    more += slept.map([{"seconds": 0.05, "number": n} for n in range(10)])
    for n in range(2):
        tell(cluster, f"head{n}")
    for job in [*jobs, *more]:
        job.get(timeout=90)
    assert counted([*jobs, *more]) == all_of(22)
    assert [job.status().retry_count for job in jobs] == [0, 0]


TRACKERS_REPORT = """
import ray, ytray
from ytray.engine.control.actors import find_actor
ytray.connect()
print(ray.get(find_actor("JobTracker").report.remote())["version"])
"""


def next_version(host: Host) -> Path:
    """A folder on the host with ytray as it might become: more settings, and more that workers are told of a job."""
    copied = host.folder / "next" / "ytray"
    shutil.copytree(REPOSITORY / "ytray", copied)
    for file, line, after in (
        ("settings.py", "    metrics_namespace: str = ", "    thing_to_come: int = 7\n    metrics_namespace: str = "),
        ("engine/state/store.py", "    queued_ms: int\n", "    queued_ms: int\n    more: str = 'told'\n"),
        (
            "engine/control/dispatcher.py",
            '            "pid": os.getpid(),',
            '            "version": "the next", "pid": os.getpid(),',
        ),
    ):
        text = (copied / file).read_text()
        assert text.count(line) == 1
        (copied / file).write_text(text.replace(line, after))
    return host.seen_there(copied.parent)


@pytest.mark.chaos  # for its length: tests/engine/test_fences.py has each write repeated and late
def test_a_host_behind_a_slow_and_lossy_link_commits_each_job_once(cluster: Machines) -> None:
    far = cluster.host("far", Cable(delay=0.05, loss=0.02))
    cluster.add("far", {"generation": 4}, far)
    jobs = slept.options(queue="generation").map([{"seconds": 0.2, "number": n} for n in range(60)])
    where = Counter(job.get(timeout=120) for job in jobs)
    assert where["far"] > 0
    assert counted(jobs) == all_of(60)


@pytest.mark.chaos  # for its length: tests/serve submits one by `ray job submit`, too
def test_a_script_is_submitted_from_a_host_outside_of_the_cluster(cluster: Machines) -> None:
    laptop = cluster.host("laptop")
    (laptop.folder / "home" / "mine.py").write_text(SCRIPT)
    submit = ["ray", "job", "submit", "--address", f"http://{cluster.head.ip}:8265", "--working-dir", str(laptop.home)]
    told = laptop.run(*submit, "--", "python", "mine.py", RAY_ADDRESS="")
    (job_id,) = [line.split()[-1] for line in told.splitlines() if line.startswith("accepted ")]
    assert Job(job_id).get(timeout=60) == "told twice"
    # Whoever has no token is no driver of this cluster.
    stranger = laptop.start(*submit, "--", "true", log="stranger", RAY_ADDRESS="", RAY_AUTH_TOKEN="x" * 40)
    assert stranger.wait(60) != 0


SCRIPT = """
import ytray

@ytray.task()
def twice(word: str) -> str:
    return f"{word} twice"

ytray.connect()
print("accepted", twice.delay("told").id)
"""
