"""What tasks start does not outlive who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil

from ytray.engine.state.store import Store


def test_what_a_worker_has_started_ends_when_the_worker_is_killed(
    bare_store: Store, until: Callable[..., None]
) -> None:
    word = f"1{os.getpid()}"  # more seconds to sleep, by which it is found
    command = [sys.executable, "-m", "tests.engine.killed_worker", bare_store.redis_url, word]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    until(lambda: not sleeping(word))


def sleeping(word: str) -> list[int]:
    return [process.pid for process in psutil.process_iter(["cmdline"]) if word in (process.info["cmdline"] or ())]
