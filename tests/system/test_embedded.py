"""A script that started its own Redis and Ray, without `ytray up`: it brings the one back, and is told of the other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ytray.engine.state.store import Store, Submission
from ytray.errors import SystemUnavailable
from ytray.system import redis_server
from ytray.system.identity import myself
from ytray.system.ray_cluster import recorded

REPOSITORY = Path(__file__).parents[2]

SCRIPT = """
import time, ytray
from tests.faults.tasks_for_faults import quick, stay
from ytray.settings import settings
from ytray.system import ray_cluster, redis_server

def pid_of_redis():
    there = redis_server.process(settings().home)
    return 0 if there is None else there.pid

quick.delay(2).get(timeout=60)  # nobody has connected before: this starts both
print(pid_of_redis(), *[process.pid for process in ray_cluster.own_processes().values()], flush=True)
input()
print(quick.delay(3).get(timeout=60), pid_of_redis(), flush=True)
job = stay.delay(".", "gate")
input()
begun = time.monotonic()
try:
    job.get()
except ytray.SystemUnavailable as told:
    print(f"after {time.monotonic() - begun:.0f} s: {told}")
print(quick.delay(4).status().current_state)
"""


@pytest.mark.ray
def test_a_script_starts_its_redis_again_and_is_told_at_once_that_its_ray_has_died(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YTRAY_")}
    environment = {**kept, "YTRAY_HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY)}
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdin is not None
    assert script.stdout is not None
    try:
        started = script.stdout.readline()
        assert started, script.communicate()[1]
        redis, _, raylet = map(int, started.split())
        os.kill(redis, signal.SIGKILL)
        script.stdin.write("\n")
        script.stdin.flush()
        warned = script.stdout.readline()
        assert "the embedded Redis has died and was started again" in warned
        answer, again = map(int, script.stdout.readline().split())
        assert answer == 3
        assert again not in (0, redis)
        os.kill(raylet, signal.SIGKILL)
        told, errors = script.communicate("\n", timeout=60)
    finally:
        script.kill()
    # Between them, and before them on their lines, are words of Ray's about its raylet.
    (first,) = re.findall(r"after (\d+) s: (.*)", told)
    assert float(first[0]) < 10, errors
    assert f"the raylet of the local Ray (process {raylet}) has ended, so nothing runs jobs any more" in first[1]
    assert "`ytray up` runs" in first[1]
    assert sum(line.endswith("QUEUED") for line in told.splitlines()) == 1
    assert script.returncode == 0, errors


def test_who_waits_for_a_job_that_nothing_runs_any_more_is_told_at_once_and_so_is_who_comes_later(
    bare_store: Store,
) -> None:
    (job,) = bare_store.submit([("a-job", b"{}")], Submission("t", "default", "default", 4))
    told: list[SystemUnavailable] = []

    def wait() -> None:
        with pytest.raises(SystemUnavailable, match=f"{job} is QUEUED: the raylet has ended") as refused:
            bare_store.wait_until_ended(job, 60)
        told.append(refused.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    bare_store.give_up("the raylet has ended")
    waiting.join(60)
    wait()
    assert len(told) == 2


def test_a_process_that_would_join_another_ray_cluster_than_that_of_its_home_is_refused(
    system: Store, home: Path, tmp_path: Path
) -> None:
    assert system.redis.ping()
    record = {"ray_address": "127.0.0.1:1", "dashboard": "", "pid": os.getpid(), "start": myself().started}
    (tmp_path / "system.json").write_text(json.dumps(record))
    other = {"RAY_ADDRESS": recorded(home) or "", "RAY_AUTH_MODE": recorded(home, "ray_auth_mode") or ""}
    for begin in ("", "import ray; ray.init(); "):
        refused = subprocess.run(
            [sys.executable, "-c", f"{begin}import ytray; ytray.connect()"],
            env={**os.environ, **other, "YTRAY_HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert refused.returncode == 1
        told = refused.stderr.strip().splitlines()[-1]
        assert f"would join the Ray cluster at {other['RAY_ADDRESS']}, but the system of YTRAY_HOME {tmp_path}" in told
        assert "runs on the one at 127.0.0.1:1" in told
        assert not redis_server.is_running(tmp_path)


def test_a_driver_of_ray_job_submit_joins_the_cluster_of_its_home_whatever_ray_guesses(
    system: Store, home: Path, tmp_path: Path
) -> None:
    assert system.redis.ping()
    guessed = {"RAY_ADDRESS": "127.0.0.1:1", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}
    joined = subprocess.run(
        [sys.executable, "-c", "import ray, ytray; ytray.connect(); print(ray.get_runtime_context().gcs_address)"],
        env={**os.environ, **guessed, "RAY_AUTH_MODE": recorded(home, "ray_auth_mode") or ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert joined.stdout == f"{recorded(home)}\n", joined.stderr
