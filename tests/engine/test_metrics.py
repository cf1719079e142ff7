"""Metrics: counted where the moves are made, so that no death of a process loses any."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import ray
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.tasks_for_tests import add, fail_until
from ytray import job_tracker, metrics
from ytray.engine.control.actors import find_actor
from ytray.engine.state.store import Store


def metric(name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(k) == v for k, v in labels.items()):
                return sample.value
    return 0.0


def test_metrics_count_what_happened(system: Store, tmp_path: Path) -> None:
    completed = metric("ytray_tasks_total", task_name="fail_until", status="completed", queue="default")
    retried = metric("ytray_task_retries_total", task_name="fail_until", retry_count="1")
    fail_until.delay(str(tmp_path), 2).get(timeout=30)
    assert metric("ytray_tasks_total", task_name="fail_until", status="completed", queue="default") == completed + 1
    assert metric("ytray_task_retries_total", task_name="fail_until", retry_count="1") == retried + 1
    assert metric("ytray_task_duration_seconds_count", task_name="fail_until") == completed + 1
    assert metric("ytray_task_duration_seconds_bucket", task_name="fail_until", le="600.0") == completed + 1
    assert metric("ytray_queue_depth", queue="default") == 0
    assert metric("ytray_active_workers") >= 1


def test_the_metrics_helpers_count_work_that_runs_elsewhere(system: Store) -> None:
    metrics.track_task_start("elsewhere", "media")
    metrics.track_task_complete("elsewhere", 0.7, "media")
    metrics.track_task_failure("elsewhere", "media")
    metrics.track_task_retry("elsewhere", 2)
    metrics.update_queue_depth("far-away", 7)
    assert metric("ytray_tasks_total", task_name="elsewhere", status="failed", queue="media") == 1
    assert metric("ytray_task_duration_seconds_bucket", task_name="elsewhere", le="1.0") == 1
    assert metric("ytray_task_duration_seconds_bucket", task_name="elsewhere", le="0.5") == 0
    assert metric("ytray_queue_depth", queue="far-away") == 7


def test_metrics_are_true_after_the_tracker_died(system: Store) -> None:
    def completed() -> float:
        return metric("ytray_tasks_total", task_name="add", status="completed", queue="default")

    add.delay(1).get(timeout=30)
    before = completed()
    pid = ray.get(find_actor("JobTracker").report.remote())["pid"]
    os.kill(pid, signal.SIGKILL)
    assert completed() == before
    assert add.delay(1).get(timeout=60) == 2
    assert completed() == before + 1
    assert ray.get(find_actor("JobTracker").report.remote(), timeout=60)["pid"] != pid


def test_queue_depth_is_what_waits(system: Store) -> None:
    job_tracker.pause("batch")
    jobs = add.options(queue="batch").map([{"a": n} for n in range(7)])
    assert metric("ytray_queue_depth", queue="batch") == 7
    for job in jobs:
        job.cancel()
    assert metric("ytray_queue_depth", queue="batch") == 0
    job_tracker.resume("batch")


def test_the_namespace_gives_the_names_of_an_existing_dashboard(
    system: Store, with_settings: Callable[..., None]
) -> None:
    add.delay(1).get(timeout=30)
    with_settings(metrics_namespace="celery")
    names = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {"celery_tasks", "celery_task_duration_seconds", "celery_queue_depth", "celery_active_workers"} <= names
    assert not [name for name in names if name.startswith("ytray")]
