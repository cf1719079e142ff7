"""Whose code a process runs at this moment, in a file that outlives it: who comes after it knows whom to blame.

The file is memory that is written without asking the kernel, so a mark costs a fraction of a microsecond. It is
believed on the same machine until that starts anew, and only of the runner that was in office last.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ytray.engine.base import logs

_MARK = 16  # bytes of a flow's digest
_HEAD = struct.Struct("<32sd")  # who writes here, on which start of the machine; and since when
_PLACES = 65  # the first is the loop's, the others are those of threads
_NOBODY = bytes(_MARK)

_log = logs.get("ytray.flows")


@dataclass(frozen=True, slots=True)
class LastMarks:
    """What a process left behind: the marks of its loop and of its threads, and how many seconds ago it began."""

    loop: bytes | None = None
    threads: frozenset[bytes] = frozenset()
    lived: float = float("inf")


class Marks:
    """The marks of this process."""

    def __init__(self, path: Path | None, epoch: str) -> None:
        size = _HEAD.size + _PLACES * _MARK
        self._memory = _shared(path, size) if path is not None else mmap.mmap(-1, size)
        self._memory[: _HEAD.size] = _HEAD.pack(_word(epoch), time.time())
        self._free = list(range(_PLACES - 1, 0, -1))

    def disown(self) -> None:
        """This process is about to end by itself: no flow has done it."""
        self._memory[: _HEAD.size] = bytes(_HEAD.size)

    def set_loop(self, mark: bytes) -> None:
        """The loop runs code of the flow with this mark."""
        self._memory[_HEAD.size : _HEAD.size + _MARK] = mark

    def clear_loop(self) -> None:
        """The loop runs no flow's code."""
        self._memory[_HEAD.size : _HEAD.size + _MARK] = _NOBODY

    def set_thread(self, mark: bytes) -> int:
        """A thread runs code of the flow; returns the place to clear afterwards. 0: there is none left."""
        try:
            place = self._free.pop()
        except IndexError:
            return 0
        self._write(place, mark)
        return place

    def clear_thread(self, place: int) -> None:
        """The thread has ended."""
        if place:
            self._write(place, _NOBODY)
            self._free.append(place)

    def _write(self, place: int, mark: bytes) -> None:
        start = _HEAD.size + place * _MARK
        self._memory[start : start + _MARK] = mark


def mark_of(job_id: str, fence: int) -> bytes:
    """What stands for one attempt of a flow."""
    return sha256(f"{job_id} {fence}".encode()).digest()[:_MARK]


def last_marks(path: Path, epoch: str) -> LastMarks:
    """What the process of that epoch marked last; nothing when the file is another's."""
    try:
        stored = path.read_bytes()
        word, since = _HEAD.unpack_from(stored)
    except (OSError, struct.error):
        return LastMarks()
    if word != _word(epoch):
        return LastMarks()
    marks = [stored[start : start + _MARK] for start in range(_HEAD.size, len(stored), _MARK)]
    return LastMarks(
        loop=marks[0] if marks[0] != _NOBODY else None,
        threads=frozenset(mark for mark in marks[1:] if mark != _NOBODY),
        lived=time.time() - since,
    )


def _shared(path: Path, size: int) -> mmap.mmap:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(bytes(size))
        with beside.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), size)
        beside.replace(path)  # a predecessor that is still there goes on in a file of its own
    except OSError as refused:
        _log.warning("nobody can tell which flow ends this process", path=str(path), error=str(refused))
        return mmap.mmap(-1, size)
    return memory


def _word(epoch: str) -> bytes:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = ""
    return sha256(f"{boot} {epoch}".encode()).digest()
