"""A disk that is full, or a user's share of it: told in one sentence wherever a file is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ytray.errors import DiskFull

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


@contextmanager
def telling_of_full_disk(what: object) -> Iterator[None]:
    """Raises DiskFull, which names `what` could not be written, when the block meets a full disk."""
    try:
        yield
    except OSError as failed:
        if not _is_full(failed):
            raise
        raise disk_full(what) from failed


@contextmanager
def unless_full() -> Iterator[None]:
    """What a full disk does not take is lost: a log is not worth the failure of what it tells of."""
    try:
        yield
    except OSError as failed:
        if not _is_full(failed):
            raise


class LossyStream:
    """A stream for a log, from which a full disk keeps nobody."""

    def __init__(self, under: TextIO) -> None:
        self._under = under

    def write(self, text: str) -> int:
        """Write through."""
        with unless_full():
            self._under.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        with unless_full():
            self._under.flush()


def disk_full(what: object) -> DiskFull:
    """The error that says so."""
    return DiskFull(f"the disk is full: {what} could not be written; free some space there")


def says_full(said: str) -> bool:
    """Whether another program failed by a full disk, by what it said."""
    return any(os.strerror(number) in said for number in _FULL)


def _is_full(error: OSError) -> bool:
    return error.errno in _FULL
