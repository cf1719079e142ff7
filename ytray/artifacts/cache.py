"""Copies of remote artifacts on this node's disk, for every process on it.

An artifact never changes under its name, so neither does its copy. A copy is lent as a hard link, so that the one that
is in use outlives its place in the cache. The copies that were not used for longest go first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ytray.artifacts import digests
from ytray.full_disk import telling_of_full_disk

_LOW = 0.9  # of the limit is left by a clean-up, so that not every new copy needs one
_YOUNG = 60.0  # seconds: a part so young may not be locked yet


class Cache:
    """A cache in `folder` whose finished copies have at most `limit` bytes together; 0: nothing is kept."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def lend(self, uri: str, target: Path) -> bool:
        """Whether there is a copy; it is then at `target`, and was used now."""
        kept = self._kept(uri)
        try:
            os.utime(kept)
            _link(kept, target)
        except FileNotFoundError:
            return False
        return True

    def fill(self, uri: str, size: int, target: Path, download: Callable[[Path], None]) -> None:
        """Have `download` write the artifact to the file that it is given, lend it to `target`, and keep it.

        Processes that want the same artifact meanwhile wait for it, and take it over from one that is killed. Raises
        DiskFull, and what `download` does.
        """
        with telling_of_full_disk(f"a copy of {uri} in {target.parent} or {self._folder}"):
            self._fill(uri, size, target, download)

    def _fill(self, uri: str, size: int, target: Path, download: Callable[[Path], None]) -> None:
        if size > self._limit:
            if self._folder.is_dir():
                self._tidy()
            part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
            try:
                download(part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            return
        part = self._kept(uri).with_suffix(".part")
        with self._locked(part) as held:
            if self.lend(uri, target):  # another process has brought it meanwhile
                part.unlink()
                return
            try:
                download(part)
                os.fsync(held)
                _link(part, target)
                self._keep(part, held, uri, size)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    @contextmanager
    def snapshot(self, source: Path, uri: str) -> Iterator[tuple[Path, str]]:
        """A copy of a file that nobody changes, and its SHA-256; it is kept when the block ends without an error.

        Raises DiskFull.
        """
        part = self._folder / f"{uuid.uuid4().hex}.part"
        with ExitStack() as held:
            held.enter_context(telling_of_full_disk(f"a copy of {source} in {self._folder}"))
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            content = held.enter_context(source.open("rb"))
            out = held.enter_context(part.open("xb"))
            fcntl.flock(out, fcntl.LOCK_EX)
            try:
                sha256 = digests.copy(content, out)
                out.flush()
                size = os.fstat(out.fileno()).st_size
                yield part, sha256
                if size <= self._limit:
                    os.fsync(out.fileno())
                    self._keep(part, out.fileno(), uri, size)
                else:
                    self._tidy()
            finally:
                part.unlink(missing_ok=True)

    def drop(self, uri: str) -> None:
        """Forget a copy, if there is one."""
        self._kept(uri).unlink(missing_ok=True)

    def _kept(self, uri: str) -> Path:
        return self._folder / hashlib.sha256(uri.encode()).hexdigest()[:40]

    def _keep(self, part: Path, held: int, uri: str, size: int) -> None:
        """Make room, then put a finished part, open as `held`, in its place.

        A process killed in between has counted too much only.
        """
        with self._locked(self._folder / "total") as counted:
            told = os.pread(counted, 32, 0)
            total = size + (int(told) if told.isdigit() else self._limit)
            if total > self._limit:
                total = size + self._evict(int(self._limit * _LOW) - size)
            _write(counted, total)
        part.replace(self._kept(uri))
        # It is lent to many. Not before: a part that only may be read could not be taken over.
        os.fchmod(held, 0o444)

    def _tidy(self) -> None:
        """Remove what is above the limit, and what killed processes left, where nothing is kept that leads to it."""
        with self._locked(self._folder / "total") as counted:
            _write(counted, self._evict(self._limit))

    def _evict(self, room: int) -> int:
        """Remove what was not used for longest until at most `room` bytes are left; returns how many are."""
        copies: list[tuple[float, int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # its process has finished it
                    told = entry.stat()
                    if entry.name.endswith(".part"):
                        _sweep(Path(entry.path), told.st_mtime)
                    elif entry.name != "total":
                        copies.append((told.st_mtime, told.st_size, entry.path))
        total = sum(size for _, size, _ in copies)
        for _, size, path in sorted(copies):
            if total <= room:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
        return total

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        """The file, made if need be, while no other process holds it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX)
                if _is_at(held, path):
                    yield held
                    return
            finally:
                os.close(held)


def _is_at(held: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: its last holder may have put it elsewhere."""
    try:
        return os.path.samestat(os.fstat(held), path.stat())
    except FileNotFoundError:
        return False


def _write(counted: int, total: int) -> None:
    os.ftruncate(counted, 0)
    os.pwrite(counted, str(total).encode(), 0)


def _link(kept: Path, target: Path) -> None:
    """Put a file at `target`, too. Raises FileNotFoundError when it is gone."""
    target.unlink(missing_ok=True)
    try:
        os.link(kept, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            shutil.copyfile(kept, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


def _sweep(part: Path, modified: float) -> None:
    """Remove a part whose process was killed."""
    if abs(time.time() - modified) < _YOUNG:  # one of the future is of a clock that was set back since
        return
    held = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(held, part):  # else it was finished, and another process may have begun one there
            part.unlink()
    except BlockingIOError:
        pass
    finally:
        os.close(held)
