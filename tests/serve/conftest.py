"""A system of its own as users run it: `ytray up` in the background, on Ray Serve behind its proxy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
YTRAY = [sys.executable, "-m", "ytray"]


@dataclass(frozen=True)
class Running:
    """A system that runs, and the environment of a user's shell beside it."""

    url: str
    dashboard: str
    environment: dict[str, str]
    folder: Path

    def run(self, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the system would."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="package")
def running() -> Iterator[Running]:
    """A running system. Nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ytray-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YTRAY_", "RAY_AUTH", "RAY_SERVE")) and name != "RAY_ADDRESS"
    }
    environment |= {
        "YTRAY_HOME": str(folder / "home"),
        "YTRAY_HTTP_PORT": str(port),
        "YTRAY_IMPORTS": "tests.serve.tasks_for_serve",
        "YTRAY_RETRY_DELAYS": "0.1",
        "YTRAY_LEASE_SECONDS": "5",
        "PYTHONPATH": str(REPOSITORY),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    with contextlib.ExitStack() as held:
        # As by another Ray cluster, the usual port of the agent that takes `ray job submit` is taken.
        with contextlib.suppress(OSError):
            held.enter_context(socket.create_server(("", 52365)))
        yield from _up(folder, port, environment)


def _up(folder: Path, port: int, environment: dict[str, str]) -> Iterator[Running]:
    up = subprocess.run(
        [*YTRAY, "up", "--detach"], env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    log = folder / "home" / "ytray.log"
    try:
        assert up.returncode == 0, up.stderr + (log.read_text() if log.exists() else "")
        record = json.loads((folder / "home" / "system.json").read_text())
        yield Running(f"http://127.0.0.1:{port}", record["dashboard"], environment, folder)
    finally:
        down = subprocess.run([*YTRAY, "down"], env=environment, capture_output=True, timeout=120, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    assert down.returncode == 0, down.stderr
