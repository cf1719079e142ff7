"""Who supervises a home's system: YTRAY_HOME/up.pid, which means that very process, and a lock that ends with it.

Beside its number and start the file names the mark that everything the supervisor started for Ray carries in its
environment: by it a successor finds what was left, and nothing else.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ytray.errors import SystemUnavailable
from ytray.system.identity import Identity, myself
from ytray.system.kept import drop, keep

MARK = "YTRAY_NODE"  # in the environment of everything that a supervisor starts for Ray, but not of its Redis


def supervisor_of(home: Path) -> Identity | None:
    """The process of `ytray up` for that home, if it runs."""
    try:
        pid, started, _ = _path(home).read_text().split()
        kept = Identity(int(pid), started)
    except (OSError, ValueError):
        return None
    return kept if kept.is_alive() else None


def mark_left(home: Path) -> str | None:
    """The mark of what the supervisor of that home started, whether it still runs or not."""
    try:
        _, _, mark = _path(home).read_text().split()
    except (OSError, ValueError):
        return None
    return mark


def record(home: Path, mark: str) -> None:
    """This process supervises the system of that home."""
    keep(_path(home), f"{myself().pid} {myself().started} {mark}\n".encode())


def forget(home: Path) -> None:
    """Nobody supervises that home any more, and nothing was left."""
    drop(_path(home))


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Be the only one that starts, takes over or cleans up the system of that home. Raises SystemUnavailable."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = supervisor_of(home)
            raise SystemUnavailable(
                f"it is running already (process {running.pid}); `ytray down` stops it"
                if running is not None
                else "it is just being started or stopped by another process; try again in a moment"
            ) from None
        yield


def _path(home: Path) -> Path:
    return home / "up.pid"
