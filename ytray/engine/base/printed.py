"""What jobs print, line by line: each line goes to the job that printed it, also the last one that no newline ended.

Only what Python code writes to `sys.stdout` and `sys.stderr` (or their `buffer`) is seen here. What is written to the
descriptors themselves, as child processes do, goes to the worker's own log.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from ytray.engine.base.context import CurrentJob, running_job
from ytray.full_disk import unless_full

_LONGEST_LINE = 2_000  # characters


class _Handling(threading.local):
    is_at_work = False


_handling = _Handling()


@contextlib.contextmanager
def while_handlers_write() -> Iterator[None]:
    """What this thread writes in the block is a log record that is kept already."""
    before, _handling.is_at_work = _handling.is_at_work, True
    try:
        yield
    finally:
        _handling.is_at_work = before


Keep = Callable[[CurrentJob, str, str], None]  # a job, a level, and a line


class _Line:
    """The line that a job has begun on one stream."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._returned = False

    def add(self, text: str) -> None:
        """Go on with the line, from its beginning where a carriage return came before."""
        before, returned, last = text.rpartition("\r")
        if returned and not last:  # what was written stays in sight until something is written over it
            before, returned, last = before.rpartition("\r")
            self._returned = self._returned or bool(returned)
            self._write(last)
            self._returned = True
            return
        self._returned = self._returned or bool(returned)
        self._write(last)

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._returned:
            self._parts, self._length, self._returned = [], 0, False
        if self._length < _LONGEST_LINE:  # a line without an end takes no more memory than this
            self._parts.append(text[: _LONGEST_LINE - self._length])
            self._length += len(self._parts[-1])
            if len(self._parts) > _LONGEST_LINE // 8:
                self._parts = ["".join(self._parts)]

    def take(self) -> str:
        """The line as it stands; another begins."""
        line = "".join(self._parts)
        self._parts, self._length, self._returned = [], 0, False
        return line


class Printed:
    """A standard stream that also keeps with a job what the job prints."""

    def __init__(self, under: TextIO, level: str, keep: Keep) -> None:
        self.under = under
        self._level = level
        self._keep = keep

    @property
    def buffer(self) -> Any:
        """The stream of bytes under it: what is written to that is kept, too."""
        return _PrintedBytes(self.under.buffer, self._take)

    def write(self, text: str) -> int:
        """Write through, and keep each line that is complete."""
        self._take(text)
        with unless_full():
            self.under.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        with unless_full():
            self.under.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Close nothing: what runs after the job that asks for it prints here, too."""
        self.flush()

    def end(self, job: CurrentJob) -> None:
        """The job has ended: its last line is complete."""
        for (level, _), line in list(job.begun_lines.items()):
            if level == self._level:
                self._tell(job, line)

    def _take(self, text: str) -> None:
        job = running_job()
        if job is None or job.has_ended or _handling.is_at_work:  # what is logged is kept without its handlers
            return
        # Each thread has a line of its own, so that those of two are not mixed.
        line = job.begun_lines.setdefault((self._level, threading.get_ident()), _Line())
        *whole, begun = text.split("\n")
        for part in whole:
            line.add(part)
            self._tell(job, line)
        line.add(begun)

    def _tell(self, job: CurrentJob, line: _Line) -> None:
        text = line.take()
        if text.strip():
            self._keep(job, self._level, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)


class _PrintedBytes:
    def __init__(self, under: Any, take: Callable[[str], None]) -> None:
        self._under = under
        self._take = take

    def write(self, data: Any) -> int:
        whole = bytes(data)
        self._take(whole.decode("utf-8", "replace"))
        with unless_full():
            self._under.write(whole)
        return len(whole)

    def flush(self) -> None:
        with unless_full():
            self._under.flush()

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)
