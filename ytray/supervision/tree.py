"""Ending all that a supervisor started for Ray, and nothing else.

What belongs to it carries the supervisor's mark in its environment, wherever it is by now (a HAProxy whose parent was
killed, a process that made a session of its own), or descends from one that does. It is never "all children of the
supervisor": that may be the first process of a container, to which the kernel gives everybody's orphans.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection

import psutil

from ytray.system.identity import Identity, identity, wait_until_ended
from ytray.system.running import MARK

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 10.0  # seconds until a process that was killed must be gone, unless it is stuck in the kernel


def adopt_orphans() -> None:
    """From now on this process is the parent of its descendants whose own parents die, and reaps them: none stays a
    zombie, also where the first process of a container reaps nothing.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> dict[int, int]:
    """Take note of the children that have ended, adopted ones too; returns their statuses by their numbers."""
    ended = {}
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    except ChildProcessError:
        pass
    return ended


def end_tree(mark: str, spare: Collection[Identity] = ()) -> list[Identity]:
    """Kill what carries the mark, and its descendants, but for this process and those to spare; returns who is left."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = _members(mark, {*spare})
        if not found or time.monotonic() > deadline:
            return found
        for process in found:
            process.signal(signal.SIGKILL)
        # One that was just starting another is looked at again, until none is left.
        wait_until_ended(found, max(0.0, deadline - time.monotonic()))
        reap()


def _members(mark: str, spare: set[Identity]) -> list[Identity]:
    above = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    spared = {one.pid for one in spare if one.is_alive()} | above
    children: dict[int, list[int]] = {}
    looked_at: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            children.setdefault(process.ppid(), []).append(process.pid)
        if process.pid not in spared and _carries(process, mark):
            looked_at.append(process.pid)
    members: set[int] = set()
    while looked_at:
        pid = looked_at.pop()
        if pid not in members and pid not in spared:
            members.add(pid)
            looked_at.extend(children.get(pid, ()))
    return [known for pid in members if (known := identity(pid)) is not None]


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
