"""job_tracker as the contract shows it, metrics, and alerts."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.tasks_for_tests import add, fail_for_good, fail_until
from ytray import InvalidTransition, JobFailed, JobState, SettingsError, dlq, job_tracker
from ytray.engine import alerts, metrics
from ytray.engine.store import Store
from ytray.settings import Settings, adopt, settings

Until = Callable[..., None]


def test_a_job_that_runs_elsewhere_is_tracked_as_the_contract_shows(system: Store) -> None:
    job_tracker.create_job("task-id-123", "generate_hook")
    job_tracker.update_state("task-id-123", JobState.EXECUTING)
    job_tracker.update_progress("task-id-123", 50)
    status = job_tracker.get_status("task-id-123")
    assert status.current_state == JobState.EXECUTING
    assert status.progress == 50.0
    moves = [(t.from_state, t.to_state) for t in job_tracker.get_history("task-id-123")]
    assert moves == [("PENDING", "QUEUED"), ("QUEUED", "EXECUTING")]
    job_tracker.update_state("task-id-123", "FAILED", {"why": "out of paper"})
    assert job_tracker.get_history("task-id-123")[-1].metadata == {"why": "out of paper"}
    assert "task-id-123" in [job.job_id for job in job_tracker.list_jobs(state=JobState.FAILED, limit=100)]
    with pytest.raises(InvalidTransition, match="exists already"):
        job_tracker.create_job("task-id-123", "generate_hook")
    with pytest.raises(InvalidTransition, match="only a job that is EXECUTING"):
        job_tracker.update_progress("task-id-123", 60)


def test_ytrays_own_jobs_cannot_be_moved_by_hand(system: Store) -> None:
    job = add.options(delay=60).delay(1)
    with pytest.raises(InvalidTransition, match="run by ytray"):
        job_tracker.update_state(job.id, JobState.QUEUED)
    job.cancel()


def test_times_are_rfc_3339_in_utc(system: Store) -> None:
    told = job_tracker.create_job("clock", "any").model_dump(mode="json")
    assert told["created_at"].endswith("Z")
    assert told["started_at"] is None


def test_listings_filter_and_are_newest_first(system: Store) -> None:
    jobs = [add.delay(n, user_id="lister") for n in range(5)]
    for job in jobs:
        job.get(timeout=30)
    newest = [job.job_id for job in job_tracker.list_jobs(user_id="lister", limit=3)]
    assert newest == sorted((job.id for job in jobs), reverse=True)[:3]
    assert all(j.task_name == "add" for j in job_tracker.list_jobs(JobState.COMPLETED, task_name="add", limit=5))
    assert all(j.queue == "default" for j in job_tracker.list_jobs(queue="default", limit=5))


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


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server on loopback that keeps what it was sent."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()


@pytest.fixture
def with_settings() -> Iterator[Callable[..., None]]:
    """Change settings of this process for one test."""
    before = settings()

    def change(**chosen: Any) -> None:
        adopt(Settings(**{**before.model_dump(exclude={"ray_address"}), **chosen}))

    yield change
    adopt(before)


def test_an_alert_is_signed_and_holds_no_arguments(
    system: Store, tmp_path: Path, webhook: tuple[str, list[Any]], with_settings: Callable[..., None]
) -> None:
    url, received = webhook
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    with_settings(alert_webhook_url=url, alert_webhook_secret="s3cret", alert_webhook_private=True)
    alerts.announce(system, job.id)
    ((headers, body),) = received
    parts = dict(part.split("=", 1) for part in headers["X-Ytray-Signature"].split(","))
    expected = hmac.new(b"s3cret", parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert parts["v1"] == expected
    assert json.loads(body)["job_id"] == job.id
    assert "args" not in json.loads(body)
    dlq.remove(job.id)


def test_an_alert_to_a_private_address_is_refused_unless_allowed(
    system: Store, tmp_path: Path, webhook: tuple[str, list[Any]], with_settings: Callable[..., None]
) -> None:
    url, received = webhook
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    with_settings(alert_webhook_url=url)
    with pytest.raises(SettingsError, match="not public"):
        alerts.deliver(dlq.show(job.id))
    assert received == []
    dlq.remove(job.id)
