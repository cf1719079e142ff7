"""The command line in this process, over the HTTP API of the session's system."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from ytray.cli.app import app

Ytray = Callable[..., Result]


@pytest.fixture
def ytray(api_url: str) -> Ytray:
    """`ytray("status", "…")` runs a command against the API."""

    def run(*arguments: str, **environment: str) -> Result:
        env = {"COLUMNS": "200", "YTRAY_URL": "", **environment}
        return CliRunner().invoke(app, ["--url", api_url, *arguments], env=env)

    return run
