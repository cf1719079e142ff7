"""What jobs print and log is in their own logs, wholly, whichever thread does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import to_json

from ytray.engine.base.context import CurrentJob
from ytray.engine.state.joblog import JobLog, read_log
from ytray.engine.state.store import Store

Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def _told() -> Told:
    return {}


@pytest.fixture
def told(bare_store: Store, _told: Told) -> Told:
    """What a worker that ran printing_worker.py's jobs left in their logs."""
    if not _told:
        command = f"from tests.engine.printing_worker import main; main({bare_store.redis_url!r})"
        ran = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=True)
        _told |= json.loads(ran.stdout.splitlines()[-1])
    return _told


def test_a_line_without_its_end_is_its_own_jobs(told: Told) -> None:
    for place in range(6):
        log = told[f"whole {place}"]["log"]
        assert {word for line in log for word in line.replace("word", " word").split()} == {
            f"word-{place}",
            f"word-{place}-error",
            f"word-{place}-bytes",
        }


def test_a_progress_bar_is_kept_as_it_stood_last_and_costs_the_same_each_time(told: Told) -> None:
    few, many = told["bar 8"], told["bar 9"]
    assert many["log"] == ["40000 of 40000"]
    assert many["result"] < 8 * 4 * few["result"] + 1


def test_a_line_without_an_end_is_cut(told: Told) -> None:
    (line,) = told["endless 10"]["log"]
    assert 0 < len(line) <= 2_000


def test_threads_of_a_task_belong_to_its_job_and_a_stranger_is_told_so(told: Told) -> None:
    log = told["threads 11"]["log"]
    assert {f"from {place}" for place in range(5)} | {f"logged by {place}" for place in range(5)} <= set(log)
    assert told["threads 11"]["result"] == "UnknownJob"


def test_a_thread_that_is_left_behind_prints_into_no_other_jobs_log(told: Told) -> None:
    assert told["meets"]["log"] == ["my own"]


def test_a_modules_own_logging_loses_nothing_without_a_word(told: Told) -> None:
    log = told["configures 12"]["log"]
    assert log[0] == "after basicConfig"
    assert "disable_existing_loggers" in log[1]
    assert "configured" in log[1]
    assert log[2:] == ["after dictConfig"]


def test_logging_set_up_by_a_file_loses_nothing_without_a_word_either(told: Told) -> None:
    silenced, heard, level = told["reads"]["log"]
    assert "disable_existing_loggers" in silenced
    assert "read" in silenced.rpartition("by ")[2].split(", ")
    assert heard == "an error"
    assert level == "logging was set up so that nothing below ERROR is logged"
    assert told["disables"]["log"] == ["logging was set up so that nothing below Level 51 is logged"]


def test_no_job_logs_by_the_set_up_of_another(told: Told) -> None:
    assert told["after"]["log"] == ["by a silenced logger", "a warning", "an error"]


def test_a_line_that_comes_while_others_are_written_is_not_lost(
    bare_store: Store, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    log = JobLog(bare_store)

    def slow(line: object) -> bytes:
        log._flush()  # as the thread that writes does at this moment
        return to_json(line)

    monkeypatch.setattr("ytray.engine.state.joblog.to_json", slow)
    log.keep(CurrentJob("job", "logs"), "INFO", "a line")
    until(lambda: [line.message for line in read_log(bare_store, "job")[0]] == ["a line"])
