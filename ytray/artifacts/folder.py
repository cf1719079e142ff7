"""Artifacts in a folder: of this node, or one that all nodes mount (NFS).

A file is written beside its place, brought to the disk, and renamed. Its SHA-256 is the name of an empty hidden file
next to it, a seal: creating one is atomic everywhere, and two that publish one name at once leave two seals, of which
the file matches one. Who publishes it again later removes those of before.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import IO

from ytray.artifacts import digests
from ytray.artifacts.names import StoredFile, is_name, is_of_attempt
from ytray.artifacts.places import Looked, OpenArtifact
from ytray.errors import PermanentError
from ytray.full_disk import telling_of_full_disk

_SEAL = re.compile(r"\.(?P<name>.+)\.(?P<sha256>[0-9a-f]{64})\.sha256")
_AT_ONCE = 60.0  # seconds between two seals whose publishers may both still be about to put their file in its place
_TRIES = 10  # another process may remove a folder as empty just before a file is put there


class Folder:
    """The store in a folder. Keys are places relative to it."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def uri(self, key: str) -> str:
        """The artifact's path."""
        return str(self._base / key)

    def key(self, uri: str) -> str | None:
        """The place of an artifact by its URI; None for a path that leads out of the store."""
        try:
            path = Path(uri.removeprefix("file://")).resolve()
        except (ValueError, RuntimeError):  # a NUL, or links in a circle
            return None
        base = self._base.resolve()
        return path.relative_to(base).as_posix() if path != base and path.is_relative_to(base) else None

    def missing(self, uri: str) -> PermanentError:
        """The error for a file that is not there."""
        return PermanentError(
            f"there is no artifact {uri}: it was removed, or it lies on another node, with which this one does not "
            f"share the folder {self._base}; set YTRAY_ARTIFACTS to one that all nodes mount, or to s3://… or gs://…"
        )

    def put(self, source: Path, key: str) -> None:
        """Copy a file into the store."""
        place = self._base / key
        with source.open("rb") as content, telling_of_full_disk(place):
            for tries_left in reversed(range(_TRIES)):
                try:
                    return self._put(content, place)
                except FileNotFoundError:
                    if not tries_left:
                        raise

    def _put(self, content: IO[bytes], place: Path) -> None:
        beside = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.part")
        content.seek(0)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("xb") as out:
                sha256 = digests.copy(content, out)
                out.flush()
                os.fsync(out.fileno())
            seal = _seal(place, sha256)
            seal.touch()
            sealed = seal.stat().st_mtime  # by the clock of the disk, as are the others'
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            with suppress(OSError):  # up to the first that holds something
                for folder in takewhile(lambda folder: folder != self._base, place.parents):
                    folder.rmdir()
            raise
        for other in self._seals(place) - {sha256}:
            old = _seal(place, other)
            with suppress(FileNotFoundError):  # another process was faster
                if old.stat().st_mtime < sealed - _AT_ONCE:
                    old.unlink()
        for folder in (place.parent, *place.parent.parents):  # each may be new
            _bring_to_disk(folder)
            if folder == self._base:
                break

    def fetch(self, key: str, into: Path) -> Path:  # noqa: ARG002  # a remote store needs it
        """The artifact itself. What is named by its content then counts as used today."""
        place = self._base / key
        if not place.is_file():
            raise self.missing(str(place))
        if not is_of_attempt(key):
            self.mark_used(key)
        return place

    def copy_to(self, key: str, target: Path) -> None:
        """Copy the artifact to a new file. Raises DamagedArtifact when it is not what was published."""
        place = self._base / key
        seals = self._seals(place)
        try:
            with place.open("rb") as content, target.open("wb") as out:
                found = digests.copy(content, out)
        except FileNotFoundError:
            raise self.missing(str(place)) from None
        if seals and found not in seals:
            raise digests.damaged(str(place), found, *seals)

    def look(self, key: str) -> Looked | None:
        """What is known of an artifact without reading it; None when there is none."""
        place = self._base / key
        if not place.is_file():
            return None
        seals = self._seals(place)
        return Looked(place.stat().st_size, next(iter(seals)) if len(seals) == 1 else None)

    def open(self, key: str, looked: Looked) -> OpenArtifact:
        """The artifact, to be read in parts."""
        return OpenArtifact(looked.size, looked.sha256, path=self._base / key)

    def mark_used(self, key: str) -> None:
        """Have it count as used today."""
        with suppress(OSError):  # this machine may only read there
            os.utime(self._base / key)

    def move(self, key: str, to: str) -> None:
        """Put an artifact elsewhere."""
        old, new = self._base / key, self._base / to
        with telling_of_full_disk(new):
            new.parent.mkdir(parents=True, exist_ok=True)
            for sha256 in self._seals(old):
                _seal(new, sha256).touch()
            old.replace(new)
        self.delete(key)

    def delete(self, key: str) -> None:
        """Delete an artifact, if it is there, and its folder with the last one."""
        place = self._base / key
        place.unlink(missing_ok=True)
        for sha256 in self._seals(place):
            _seal(place, sha256).unlink(missing_ok=True)
        with suppress(OSError):  # there are others, or another process was faster
            place.parent.rmdir()

    def owners(self) -> list[str]:
        """The names of the folders at the top."""
        try:
            with os.scandir(self._base) as found:
                return sorted(entry.name for entry in found if entry.is_dir() and is_name(entry.name))
        except FileNotFoundError:
            return []

    def by_owner(self) -> Iterator[tuple[str, list[StoredFile]]]:
        """Every owner with their files, also those who have none left."""
        for owner in self.owners():
            yield owner, self.files(owner, deep=True)

    def files(self, folder: str, *, deep: bool) -> list[StoredFile]:
        """The files in a folder, and in the folders in it."""
        owner, _, attempt = folder.partition("/")
        found: list[StoredFile] = []
        try:
            with os.scandir(self._base / folder) as entries:
                for entry in entries:
                    if entry.is_dir() and deep:
                        found += self.files(f"{folder}/{entry.name}", deep=False)
                    elif entry.is_file() and not entry.name.startswith("."):
                        with suppress(FileNotFoundError):  # removed meanwhile
                            told = entry.stat()
                            found.append(StoredFile(owner, attempt, entry.name, told.st_size, told.st_mtime))
        except (FileNotFoundError, NotADirectoryError):
            return found
        return found

    def prune(self, owner: str, before: float) -> None:
        """Remove an owner's folders that hold no artifact and that nobody has touched since `before`."""
        top = self._base / owner
        for folder in (*(path for path in top.glob("*") if path.is_dir()), top):
            with suppress(OSError):  # it is not empty, or no longer there
                if folder.stat().st_mtime < before:
                    left = list(folder.iterdir())
                    if all(_SEAL.fullmatch(path.name) for path in left):  # of what was never finished
                        for path in left:
                            path.unlink()
                        folder.rmdir()

    def _seals(self, place: Path) -> set[str]:
        try:
            with os.scandir(place.parent) as entries:
                found = [_SEAL.fullmatch(entry.name) for entry in entries if entry.name.startswith(".")]
        except FileNotFoundError:
            return set()
        return {match["sha256"] for match in found if match is not None and match["name"] == place.name}


def _seal(place: Path, sha256: str) -> Path:
    return place.with_name(f".{place.name}.{sha256}.sha256")


def _bring_to_disk(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
