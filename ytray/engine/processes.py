"""Stopping what tasks started: it carries the job's system and id, and the worker's name, in its environment.

What a worker that is killed leaves behind is killed by its guard, a process that outlives it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import psutil

MARK = "YTRAY_JOB"  # set in the environment while a task runs; every process it starts inherits it
_WORKER = "YTRAY_WORKER"  # the same for as long as the worker lives

# Started by a shell that ends at once, so that it is no child of the worker, which Ray would stop with it.
_GUARD = 'trap "" HUP INT TERM; { read -r _; exec "$0" -P "$1" "$2"; } <&3 >/dev/null 2>&1 &'


def mark_of(job_id: str) -> str:
    """What the processes of a job carry: systems that share a node may have jobs of the same id."""
    from ytray.settings import settings  # not for the guard, which is this file run alone

    return f"{settings().namespace}/{job_id}"


def kill_processes_of(job_id: str) -> int:
    """Kill every process on this machine that was started by a task of that job; returns how many.

    The mark survives what a process group does not: a child that starts its own session, or whose parent died. This
    process is spared: its environment, as the kernel shows it, is the one it was started with.
    """
    return _kill_all_with(MARK, mark_of(job_id))


def guard(worker: str) -> None:
    """From now on, when this process has ended, however it ended, kill all that it has started until then."""
    reading, writing = os.pipe()
    # The guard waits until nobody holds the other end; no process that this one forks or starts may go on holding it.
    ends = [writing]
    os.register_at_fork(after_in_child=lambda: os.close(ends.pop()) if ends else None)
    # By way of its standard input, since a shell may know only descriptors of one digit.
    command = ["sh", "-c", f"exec 3<&0; {_GUARD}", sys.executable, __file__, worker]
    subprocess.run(command, stdin=reading, start_new_session=True, check=True)
    os.close(reading)
    os.environ[_WORKER] = worker


def _kill_all_with(mark: str, value: str) -> int:
    killed = 0
    while True:
        found = [process for process in psutil.process_iter() if _carries(process, mark, value)]
        if not found:
            return killed
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # One that was just starting another is looked at again until none is left.
        psutil.wait_procs(found, timeout=5)
        killed += len(found)


def _carries(process: psutil.Process, mark: str, value: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return bool(process.environ().get(mark) == value and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


if __name__ == "__main__":
    _kill_all_with(_WORKER, sys.argv[1])
