"""What a worker tells of its work: log lines that name the job, and spans of one trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BareServer
from ytray.engine.base.model import JobStatus
from ytray.engine.state.store import Store

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Told:
    """What the worker said: its log lines and its spans, parsed; and its jobs by their ids."""

    logs: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    jobs: dict[str, JobStatus]


def run_a_worker(store: Store, folder: Path, imports: str) -> Told:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("YTRAY_")}
    environment.update(YTRAY_IMPORTS=imports, YTRAY_HOME=str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.one_worker", store.redis_url],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    jobs, _ = store.list_jobs(limit=10)
    return Told(
        [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")],
        [json.loads(line) for line in done.stdout.splitlines()],
        {job.job_id: job for job in jobs},
    )


@pytest.fixture(scope="module")
def told(bare_server: BareServer, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What one worker said, for the tests of this file: it takes seconds to start."""
    store = Store(bare_server.emptied(), "ytray")
    return run_a_worker(store, tmp_path_factory.mktemp("home"), "tests.engine.tracing_for_tests")


def test_what_a_task_logs_names_its_job(told: Told) -> None:
    line = next(line for line in told.logs if line["event"] == "saying yes")
    assert (line["task"], line["attempt"], line["fence"], line["level"]) == ("chatter", 1, 1, "warning")
    assert told.jobs[line["job_id"]].result == "yes"
    assert line["timestamp"].endswith("Z")


def test_a_failed_attempt_is_logged_with_its_job(told: Told) -> None:
    line = next(line for line in told.logs if line["event"] == "attempt failed")
    assert (line["task"], line["outcome"]) == ("chatter", "retry")
    assert "would not say it" in line["error"]
    assert told.jobs[line["job_id"]].current_state == "RETRYING"


def test_submission_queue_and_run_are_one_trace(told: Told) -> None:
    request = next(span for span in told.spans if span["name"] == "somebody's request")
    assert {span["trace"] for span in told.spans} == {request["trace"]}
    submissions = {span["id"] for span in told.spans if span["name"] == "submit chatter"}
    assert len(submissions) == 2
    for name in ("queue chatter", "run chatter"):
        found = [span for span in told.spans if span["name"] == name]
        assert {span["parent"] for span in found} == submissions
        assert len({span["job"] for span in found}) == 2
    assert [span["failed"] for span in told.spans if span["name"] == "run chatter"] == [False, True]
    assert all(0 <= span["seconds"] < 60 for span in told.spans)


def test_a_module_of_imports_that_is_missing_stops_no_worker_and_without_a_tracer_provider_there_are_no_spans(
    bare_store: Store, tmp_path: Path
) -> None:
    told = run_a_worker(bare_store, tmp_path, "no_such_module")
    line = next(line for line in told.logs if line["level"] == "error")
    assert "no_such_module" in line["event"]
    assert "YTRAY_IMPORTS" in line["event"]
    assert any(line["event"] == "saying yes" for line in told.logs)
    assert told.spans == []
