"""Alerts of jobs that enter the dead-letter queue: signed, without arguments, and never to a private address."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tasks_for_tests import fail_for_good
from ytray import JobFailed, SettingsError, dlq
from ytray.engine.control import alerts
from ytray.engine.state.store import Store


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
