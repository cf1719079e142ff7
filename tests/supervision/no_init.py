"""The first process of a container, which reaps nobody but those that it waits for. It runs `up`, kills its node and,
if it is told to, `up` itself, runs `ytray down`, and says as JSON what that told and which processes are left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil

from ytray.settings import settings
from ytray.supervision.report import read_report


def _await_up(up: subprocess.Popen[str]) -> None:
    assert up.stdout is not None
    while (line := up.stdout.readline()) != "up\n":
        assert line, "it has ended"


def _main() -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "tests.supervision.supervised", "comes up"], stdout=subprocess.PIPE, text=True
    )
    _await_up(up)
    report = read_report(settings().home)
    assert report is not None
    report.node.signal(signal.SIGKILL)
    _await_up(up)
    if sys.argv[1] == "killed":
        up.kill()
    down = subprocess.run(
        [sys.executable, "-m", "ytray", "down"], capture_output=True, text=True, timeout=60, check=False
    )
    left = [
        " ".join(process.cmdline())
        for process in psutil.process_iter()
        if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    ]
    files = sorted(os.listdir(settings().home))
    print(json.dumps({"code": down.returncode, "told": down.stdout + down.stderr, "left": left, "files": files}))


if __name__ == "__main__":
    _main()
