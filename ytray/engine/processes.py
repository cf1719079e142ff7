"""Stopping what a task started: its child processes carry the job's id in their environment."""

from __future__ import annotations

import contextlib
import os

import psutil

MARK = "YTRAY_JOB_ID"  # set in the environment while a task runs; every process it starts inherits it


def kill_processes_of(job_id: str) -> int:
    """Kill every process on this machine that was started by a task of that job; returns how many.

    The mark survives what a process group does not: a child that starts its own session, or whose parent died. This
    process is spared: its environment, as the kernel shows it, is the one it was started with.
    """
    killed = 0
    while True:
        found = [process for process in psutil.process_iter() if _carries(process, job_id)]
        if not found:
            return killed
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # One that was just starting another is looked at again until none is left.
        psutil.wait_procs(found, timeout=5)
        killed += len(found)


def _carries(process: psutil.Process, job_id: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return bool(process.environ().get(MARK) == job_id and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False
