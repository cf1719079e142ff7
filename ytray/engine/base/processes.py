"""Stopping what tasks started, on this machine and wherever it has gone to: forks, daemons, sessions of their own.

Two resource limits that Linux keeps and no longer applies (of resident memory, of file locks) mark a worker and its
job. Every process inherits them, whatever environment, session or parent it has afterwards, and its user may read
them; so it needs neither root nor a cgroup, and holds when the worker is gone. What is started by exec carries the
same in its environment, which people can read.

What a worker that is killed leaves behind is killed by its guard, a process that outlives it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from functools import cache
from hashlib import blake2b

import psutil

MARK = "YTRAY_JOB"  # set in the environment while a task runs; every process it starts by exec inherits it
WORKER = "YTRAY_WORKER"  # the same for as long as the worker lives

_JOB_LIMIT = resource.RLIMIT_RSS
_WORKER_LIMIT = 10  # RLIMIT_LOCKS, of which Python has no name
_MARKED = 1 << 62  # far above what anybody sets
_PID_AT, _PID_BITS = 40, 22  # a worker's mark holds its own process id, which tells it from what it has started
_LONGEST_STOP = 10.0  # seconds: what even the kernel cannot kill is left to the guard

# What multiprocessing starts once for a process, under whichever job comes first: it forks or tidies up for all.
_SHARED = (
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
)

# Started by a shell that ends at once, so that it is no child of the worker, which Ray would stop with it.
_GUARD = 'trap "" HUP INT TERM; { read -r _; exec "$0" -P "$1" "$2" "$3"; } <&3 >/dev/null 2>&1 &'


def mark_of(job_id: str) -> str:
    """What the processes of a job carry: systems that share a node may have jobs of the same id."""
    from ytray.settings import settings  # not for the guard, which is this file run alone

    return f"{settings().namespace}/{job_id}"


def mark_job(job_id: str | None) -> None:
    """What this process starts from now on belongs to that job; None: to none."""
    if job_id is None:
        os.environ.pop(MARK, None)
        number = resource.RLIM_INFINITY
    else:
        os.environ[MARK] = mark = mark_of(job_id)
        number = _number(mark, 62)
    with contextlib.suppress(OSError, ValueError):  # somebody set a lower hard limit: then the environment has to do
        resource.setrlimit(_JOB_LIMIT, (number, _hard_limit()))
    for module, server, pid in _SHARED:
        if module in sys.modules:
            _mark_shared(getattr(getattr(sys.modules[module], server), pid), number)


def kill_processes_of(job_id: str) -> int:
    """Kill every process on this machine that was started by a task of that job; returns how many.

    Workers are spared, this one and any other that still runs the job.
    """
    mark = mark_of(job_id)
    return _kill_all(MARK, mark, _JOB_LIMIT, _number(mark, 62))


def guard(worker: str) -> None:
    """From now on, when this process has ended, however it ended, kill all that it has started until then."""
    number = os.getpid() << _PID_AT | _number(worker, _PID_AT)
    reading, writing = os.pipe()
    # The guard waits until nobody holds the other end; no process that this one forks or starts may go on holding it.
    ends = [writing]
    os.register_at_fork(after_in_child=lambda: os.close(ends.pop()) if ends else None)
    # By way of its standard input, since a shell may know only descriptors of one digit.
    command = ["sh", "-c", f"exec 3<&0; {_GUARD}", sys.executable, __file__, worker, str(number)]
    subprocess.run(command, stdin=reading, start_new_session=True, check=True)
    os.close(reading)
    os.environ[WORKER] = worker
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(_WORKER_LIMIT, (number, resource.getrlimit(_WORKER_LIMIT)[1]))


def _number(mark: str, bits: int) -> int:
    return _MARKED | int.from_bytes(blake2b(mark.encode(), digest_size=8).digest()) >> (64 - bits)


@cache
def _hard_limit() -> int:
    return resource.getrlimit(_JOB_LIMIT)[1]


def _mark_shared(pid: int | None, number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        if pid and resource.prlimit(pid, _WORKER_LIMIT) == resource.getrlimit(
            _WORKER_LIMIT
        ):  # else the pid is another's by now
            resource.prlimit(pid, _JOB_LIMIT, (number, _hard_limit()))


def _limit(pid: int, which: int) -> int | None:
    try:
        return resource.prlimit(pid, which)[0]
    except OSError:  # gone, or another user's
        return None


def _kill_all(name: str, value: str, which: int, number: int) -> int:
    killed = 0
    deadline = time.monotonic() + _LONGEST_STOP
    while time.monotonic() < deadline:
        found = [process for process in psutil.process_iter() if _carries(process, name, value, which, number)]
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        killed += len(found)
        # One that was just starting another is looked at again until none is left.
        while time.monotonic() < deadline and not all(_has_ended(process) for process in found):
            time.sleep(0.005)
    return killed


def _carries(process: psutil.Process, name: str, value: str, which: int, number: int) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if _limit(process.pid, which) == number:
            by_worker = _limit(process.pid, _WORKER_LIMIT) or 0
            is_worker = by_worker & _MARKED and by_worker >> _PID_AT & (1 << _PID_BITS) - 1 == process.pid
            return not is_worker and process.status() != psutil.STATUS_ZOMBIE
        return bool(process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def _has_ended(process: psutil.Process) -> bool:
    """Whether it has ended, also where nobody has asked how; a child of this process is asked."""
    try:
        process.wait(0)
    except psutil.TimeoutExpired:
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        pass
    return True


if __name__ == "__main__":
    _kill_all(WORKER, sys.argv[1], _WORKER_LIMIT, int(sys.argv[2]))
