"""Which process is meant: its number *and* the moment it started, since the kernel gives numbers again.

The moment is in clock ticks since the boot, which do not move when somebody sets the clock, and carries the boot's id,
so that a record from before a power cut means nobody. A zombie has ended: only its parent has not asked for it yet.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, and no other that has its number before or after it."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Whether it runs."""
        return started(self.pid) == self.started

    def is_stopped(self) -> bool:
        """Whether it was stopped by a signal, and waits for another to go on."""
        fields = _told_of(self.pid)
        return fields is not None and fields[0] == "T" and self.is_alive()

    def signal(self, number: int) -> bool:
        """Send it a signal; False when it has ended. A process that has its number by now gets none."""
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor holds the process, whoever it is: so it is looked at once more, and cannot change now.
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False


def identity(pid: int) -> Identity | None:
    """Who has that number now; None for nobody and for a zombie."""
    moment = started(pid)
    return None if moment is None else Identity(pid, moment)


def myself() -> Identity:
    """This process."""
    found = identity(os.getpid())
    assert found is not None, "a process that runs has started"
    return found


def wait_until_ended(processes: Iterable[Identity], seconds: float) -> list[Identity]:
    """Wait until all of them have ended, `seconds` at most; returns those that have not."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if process.is_alive()]
    while left and time.monotonic() < deadline:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            waiting = select.poll()
            descriptor = os.pidfd_open(left[0].pid)
            held.callback(os.close, descriptor)
            waiting.register(descriptor, select.POLLIN)
            if left[0].is_alive():
                waiting.poll(max(0, (deadline - time.monotonic()) * 1000))
        left = [process for process in left if process.is_alive()]
    return left


def started(pid: int) -> str | None:
    """When the process of that number started; None when there is none that runs."""
    fields = _told_of(pid)
    return None if fields is None or fields[0] in "ZXx" else f"{fields[19]}@{_boot()}"


def _told_of(pid: int) -> list[str] | None:
    """What the kernel tells of a process: its state and, 19 fields on, its start."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return told.rpartition(")")[2].split()  # the name stands in brackets before it, and may hold anything


@functools.cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
