"""Temporary folders that go away with their process, also when it is killed: the next one sweeps them up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ytray.full_disk import telling_of_full_disk

_PREFIX = "ytray-work-"
_YOUNG = 60.0  # seconds: a folder so young may not be locked yet


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A folder to work in, removed at the end. Folders of killed processes on this machine are removed first.

    Raises DiskFull when the disk is full, of the folder or of what else the block writes.

    A folder is locked while its process lives, so no process id has to be trusted, which containers with a common
    /tmp would have alike.
    """
    where = Path(tempfile.gettempdir())
    _sweep(where)
    with telling_of_full_disk(f"a working file in {where}"):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _sweep(where: Path) -> None:
    for folder in where.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another process's, or another sweeps it at this moment
            # One of the future is of a clock that was set back since.
            if abs(time.time() - folder.stat().st_mtime) > _YOUNG and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True
