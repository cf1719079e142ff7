"""The command line as a person or a script meets it, against the session's system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.tasks_for_tests import add, fail_for_good
from ytray import JobFailed
from ytray.engine.store import Store

ROOT = Path(__file__).parents[2]


def ytray(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ytray", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def test_help_is_there_at_once() -> None:
    begun = time.monotonic()
    told = ytray("--help")
    assert told.returncode == 0
    assert "create" in told.stdout
    assert time.monotonic() - begun < 10, "help must not wait for Ray"


def test_status_history_and_result_of_a_job(system: Store) -> None:
    job = add.delay(2, 3)
    job.get(timeout=30)
    status = json.loads(ytray("status", job.id, "--json").stdout)
    assert (status["current_state"], status["result"]) == ("COMPLETED", 5)
    history = json.loads(ytray("history", job.id, "--json").stdout)
    assert [t["to_state"] for t in history["transitions"]] == ["QUEUED", "EXECUTING", "COMPLETED"]
    assert ytray("result", job.id).stdout.strip() == "5"
    listed = json.loads(ytray("jobs", "--task", "add", "--state", "completed", "--json").stdout)
    assert job.id in [found["job_id"] for found in listed["jobs"]]


def test_submit_waits_and_prints_the_result(system: Store) -> None:
    done = ytray("submit", "add", "--args", '{"a": 4}', "--wait", YTRAY_IMPORTS="tests.engine.tasks_for_tests")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "5"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit", "generate_hok"), "did you mean 'generate_hook'"),
        (("submit", "generate_hook", "--args", "{bad"), "--args is not JSON"),
        (("submit", "generate_hook", "--args", "{}"), "argument prompt: Field required"),
        (("submit", "generate_hook", "--queue", "medai"), "did you mean 'media'"),
        (("jobs", "--state", "runing"), "there is no state 'runing'"),
        (("status", "no-such-job"), "no job no-such-job"),
        (("queues", "pause", "medai"), "did you mean 'media'"),
        (("create", "ok but square", "--aspect", "2:1"), "aspect"),
    ],
)
def test_bad_input_exits_with_2_and_says_what_was_meant(system: Store, arguments: tuple[str, ...], told: str) -> None:
    done = ytray(*arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


def test_a_failed_job_exits_with_1_and_json_errors_are_json(system: Store, tmp_path: Path) -> None:
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    done = ytray("result", job.id, "--json")
    assert done.returncode == 1
    assert "this model does not exist" in json.loads(done.stderr.strip().splitlines()[-1])["error"]
    letters = json.loads(ytray("dlq", "list", "--json").stdout)["dead_letters"]
    assert job.id in [letter["job_id"] for letter in letters]
    assert ytray("dlq", "remove", job.id).returncode == 0
    assert ytray("dlq", "remove", job.id).returncode == 2


def test_queues_pause_and_resume(system: Store) -> None:
    assert ytray("queues", "pause", "media").returncode == 0
    (media,) = [q for q in json.loads(ytray("queues", "--json").stdout)["queues"] if q["name"] == "media"]
    assert media["paused"]
    assert ytray("queues", "resume", "media").returncode == 0


def test_config_shows_what_is_in_force_and_masks_secrets() -> None:
    done = ytray("config", "--json", YTRAY_ALERT_WEBHOOK_SECRET="hush", YTRAY_PREFETCH="7")
    rows = {row["setting"]: row for row in json.loads(done.stdout)["settings"]}
    assert rows["YTRAY_PREFETCH"]["value"] == "7"
    assert rows["YTRAY_PREFETCH"]["source"] == "environment"
    assert "hush" not in done.stdout
    wrong = ytray("config", YTRAY_PREFETCH="many")
    assert wrong.returncode == 2
    assert "YTRAY_PREFETCH" in wrong.stderr


def test_the_doctor_finds_the_running_system_well(system: Store) -> None:
    done = ytray("doctor", "--json")
    checks = {check["what"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, checks
    assert {"redis", "ray", "ffmpeg", "voice", "home", "queue media"} <= checks.keys()
