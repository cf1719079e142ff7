"""Secrets in what `ytray config` prints."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ytray.cli.app import app
from ytray.settings import settings
from ytray.system.masking import masked

SECRETS = {
    "YTRAY_ALERT_WEBHOOK_URL": "https://hooks.example/services/T0/B0/S3CRET?token=S3CRET",
    "YTRAY_ARTIFACTS": "s3://KEY:S3CRET@bucket/prefix?secret=S3CRET",
    "YTRAY_REDIS_URL": "redis://:S3CRET@redis:6379/0?password=S3CRET",
    "YTRAY_VERTEX_BASE_URL": "https://user:S3CRET@gateway.example/S3CRET",
    "YTRAY_OPENAI_BASE_URL": "https://user:S3/CR@ET@gateway.example/S3CRET",
    "YTRAY_API_KEYS": "ops:S3CRETS3CRETS3CRET:admin",
    "YTRAY_CODE_SECRET": "S3CRETS3CRETS3CRETS3CRETS3CRETS3CRET",
}


def test_no_secret_is_printed_by_config(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        for command in (["config"], ["config", "--json"]):
            told = CliRunner().invoke(app, command, env={"COLUMNS": "400"}).output
            assert "hooks.example" in told
            assert "S3" not in told.replace("AWS", ""), command
    finally:
        settings.cache_clear()


def test_urls_are_masked_wherever_they_stand_in_a_text() -> None:
    assert masked("see https://h.example/a/b?c=d, and s3://k:s@bucket/prefix") == (
        "see https://h.example/***?***, and s3://***@bucket/prefix"
    )
    assert masked("http://127.0.0.1:8000 and redis://host:6379/0") == "http://127.0.0.1:8000 and redis://host:6379/0"
    assert "pass" not in masked("redis://user:p/a#ss?word@host:6379/0".replace("p/a#ss", "pass"))
