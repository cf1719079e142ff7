"""Parts of the running system are killed, and it heals itself. Last in this package: each death costs some seconds.

Those whose end nothing else in `make test` tries; tests/chaos/test_chaos_of_one_machine.py kills all, for ten minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.serve.conftest import YTRAY, Running
from tests.serve.killing import Load, completions, kill_and_measure, living, seen

# A machine that does other things besides takes longer; the test of chaos holds to what is promised.
_BUSY = 4
PARTS = ("haproxy", "supervisor")

WAITING = """
import ytray
from tests.serve.tasks_for_serve import film, square
ytray.connect()
print("connected", flush=True)
job = film.delay(20)
print(job.get(timeout=240), square.delay(5).get(timeout=60))
"""


@pytest.mark.timeout(600)  # on a busy machine: it takes a minute on a quiet one
def test_each_part_that_is_killed_comes_back_and_every_job_is_completed_once(running: Running) -> None:
    home = running.folder / "home"
    submitted: list[subprocess.Popen[str]] = []

    def submit() -> None:
        command = (*YTRAY, "submit", "square", "--args", '{"number": 7}', "--json")
        submitted.append(subprocess.Popen(command, env=running.environment, stdout=subprocess.PIPE, text=True))

    with subprocess.Popen(
        [sys.executable, "-c", WAITING], env=running.environment, stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "connected\n"
        load = Load(running.url, short=300, seconds=30, videos=False)
        try:
            healed = [kill_and_measure(home, part, running.url) for part in PARTS]
            # A command that comes while there is no Ray waits for the system's, and starts none beside it.
            healed.append(kill_and_measure(home, "raylet", running.url, meanwhile=submit))
        finally:
            load.stop()
        told, _ = submitted[0].communicate(timeout=240)
        load.jobs.append(json.loads(told)["job_id"])
        print()
        for one in healed:
            print(one)
        # A script that was connected all the while has seen nothing of it.
        assert script.stdout.read().splitlines()[-1] == "filmed 25"  # after what Ray itself may have printed
        assert script.wait(60) == 0
    assert len(set(load.jobs)) == 301
    assert set(completions(home, load.jobs, 120).values()) == {1}
    assert [str(one) for one in healed if not one.is_in_time(_BUSY)] == []
    raylet = seen(home, "raylet")
    assert raylet is not None
    assert raylet.restarts >= 1
    assert {"supervisor", "standby", "redis", "node", "haproxy", "replicas", "job_tracker"} <= living(home).keys()
