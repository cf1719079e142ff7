"""Files that outlive a job and a node: kept in a folder, or at any fsspec URL.

What an attempt of a job makes lies at `<job>/<fence>/<name>`, so no other attempt can change it; what is named by its
content lies at `<owner>/<name>`. No partial file is ever visible: a file is written beside its place and then moved
there.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ytray.errors import PermanentError
from ytray.settings import settings

BOUGHT = "bought-"  # in front of the key of the call that bought a file
TAKEN_IN = "given-"  # in front of the digest of a file that somebody gave
_PIECE = 1 << 20  # bytes read at once from a remote store
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_ATTEMPT = re.compile(r"(?P<fence>[0-9]{1,12})(?:\.failed)?")
_PARTIAL = re.compile(r".*\.[0-9a-f]{8}\.part")
_DATES = ("mtime", "LastModified", "last_modified", "updated", "created")  # what filesystems call a file's age


def attempt_folder(job_id: str, fence: int, *, failed: bool = False) -> str:
    """Where the files of one attempt of a job lie, or what it left to be read when it failed."""
    return f"{job_id}/{fence}{'.failed' if failed else ''}"


def owner_and_name(uri: str) -> tuple[str, str]:
    """The job that made an artifact (or whose content names it), and its name, from its URI wherever it is kept."""
    *_, above, folder, name = ("", "", *uri.split("/"))
    return (above if above and _ATTEMPT.fullmatch(folder) else folder), name


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store. `modified` is in Unix seconds; None where the store does not tell."""

    place: str
    owner: str
    attempt: str
    name: str
    size: int
    modified: float | None

    @property
    def folder(self) -> str:
        """The folder that it was published in."""
        return f"{self.owner}/{self.attempt}" if self.attempt else self.owner

    @property
    def is_of_attempt(self) -> bool:
        """Whether an attempt of a job made it; else its owner is a name that its content was given."""
        return _ATTEMPT.fullmatch(self.attempt) is not None

    @property
    def is_partial(self) -> bool:
        """Whether it was never finished."""
        return _PARTIAL.fullmatch(self.name) is not None


class ArtifactStore:
    """Where artifacts are kept. `root` is a folder or fsspec URL; by default YTRAY_ARTIFACTS, else HOME/artifacts."""

    def __init__(self, root: str | None = None) -> None:
        self.root = root or settings().artifacts or str(settings().home / "artifacts")
        found: tuple[Any, str] = fsspec.url_to_fs(self.root)
        self._files, self._base = found
        self._is_folder = isinstance(self._files, LocalFileSystem)

    def publish(self, source: Path, folder: str, name: str) -> str:
        """Keep the file `source` as `name` in a folder, replacing an older one; returns its URI.

        `folder` is `attempt_folder(…)`, or the owner's name for what is named by its content. Tasks publish by
        `ytray.unit_of_work()`. Raises PermanentError when the name or the folder could lead out of the store.
        """
        place = self._place(folder, name)
        beside = f"{place}.{uuid.uuid4().hex[:8]}.part"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(source), beside)
            self._files.mv(beside, place)
        except BaseException:
            if self._files.exists(beside):
                self._files.rm_file(beside)
            raise
        return self._told(place)

    def take_in(self, source: Path, digest: str) -> str:
        """Keep a file that somebody gives, under its content's digest; it counts as used today. Returns its URI."""
        owner, name = f"{TAKEN_IN}{digest}", f"file{source.suffix.lower()}"
        place = self._place(owner, name)
        if not self._is_folder or not self._files.isfile(place):
            return self.publish(source, owner, name)
        self._mark_used(place)
        return place

    def fetch(self, uri: str, into: Path) -> Path:
        """A local file with the artifact's content: the artifact itself where the store is a folder, else a copy.

        In a folder, what is named by its content then counts as used today, and clean-up leaves it. Raises
        PermanentError for an artifact that is gone or none of this system's.
        """
        place = self._inside(uri)
        if self._is_folder:
            if not Path(place).is_file():
                raise PermanentError(f"there is no artifact {uri}: it was removed, or is on another disk")
            if not _ATTEMPT.fullmatch(Path(place).parent.name):
                self._mark_used(place)
            return Path(place)
        target = into / place.rpartition("/")[2]
        try:
            self._files.get_file(place, str(target))
        except FileNotFoundError:
            raise PermanentError(f"there is no artifact {uri}: it was removed") from None
        return target

    def exists(self, uri: str) -> bool:
        """Whether the artifact is still there. Raises PermanentError for a URI that is none of this system's."""
        return bool(self._files.isfile(self._inside(uri)))

    def holds(self, uri: str) -> bool:
        """Whether the URI is one of this system's."""
        try:
            return bool(self._inside(uri))
        except PermanentError:
            return False

    def names(self, folder: str) -> list[str]:
        """The names of the artifacts in a folder, sorted."""
        return sorted(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of each artifact in a folder, by name."""
        found = (file for file in self._listed(self._folder(folder)) if not file.is_partial)
        return {file.name: file.size for file in sorted(found, key=lambda file: file.name)}

    def open(self, folder: str, name: str) -> Path | OpenArtifact:
        """An artifact to be read in parts: its file where the store is a folder. Raises PermanentError."""
        place = self._place(folder, name)
        if not self._files.isfile(place):
            raise PermanentError(f"job {folder.partition('/')[0]} has no artifact {name}")
        if self._is_folder:
            return Path(place)
        return OpenArtifact(self._files, place, int(self._files.size(place)))

    def uri(self, folder: str, name: str) -> str:
        """The URI of an artifact by its folder and name, as `publish` returned it."""
        return self._told(self._place(folder, name))

    def move(self, name: str, folder: str, to: str) -> None:
        """Put an artifact into another folder."""
        place = self._place(to, name)
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.mv(self._place(folder, name), place)

    def remove(self, folder: str, name: str) -> None:
        """Delete an artifact, if it is there, and its folder with the last one."""
        self._delete(self._place(folder, name))

    def discard(self, file: StoredFile) -> None:
        """Delete a file that was listed, finished or not, and its folder with the last one."""
        self._delete(file.place)

    def drop_attempts_before(self, job_id: str, fence: int) -> None:
        """Delete what attempts of a job with a smaller fence have left."""
        for file in self.files(job_id):
            match = _ATTEMPT.fullmatch(file.attempt)
            if match is not None and int(match["fence"]) < fence:
                self.discard(file)

    def owners(self) -> list[str]:
        """Whose files there are: ids of jobs, and names of what is named by its content."""
        if not self._files.exists(self._base):
            return []
        listed: list[dict[str, Any]] = self._files.ls(self._base, detail=True)
        names = (str(info["name"]).rstrip("/").rpartition("/")[2] for info in listed if info["type"] == "directory")
        return sorted(name for name in names if _NAME.fullmatch(name))

    def files(self, owner: str) -> list[StoredFile]:
        """Every file of an owner, those that were never finished too."""
        return self._listed(self._folder(owner), deep=True)

    def prune(self, owner: str, before: float) -> None:
        """Remove an owner's empty folders that nobody has touched since `before` (Unix seconds)."""
        if not self._is_folder:
            return
        top = Path(self._folder(owner))
        for folder in (*(path for path in top.glob("*") if path.is_dir()), top):
            with suppress(OSError):  # it is not empty, or no longer there
                if folder.stat().st_mtime < before:
                    folder.rmdir()

    def _delete(self, place: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(place)
        if self._is_folder:
            with suppress(OSError):  # there are others
                Path(place).parent.rmdir()

    def _mark_used(self, place: str) -> None:
        with suppress(OSError):  # this machine may only read there
            os.utime(place)

    def _listed(self, folder: str, *, deep: bool = False) -> list[StoredFile]:
        find = self._files.find
        try:
            found: dict[str, dict[str, Any]] = find(folder, maxdepth=None if deep else 1, detail=True)
        except FileNotFoundError:  # removed meanwhile
            return []
        return [
            self._stored(str(place), info)
            for place, info in found.items()
            if info["type"] == "file" and str(place).count("/") - self._base.count("/") in (2, 3)
        ]

    def _stored(self, place: str, info: dict[str, Any]) -> StoredFile:
        owner, *attempt, name = place.removeprefix(f"{self._base}/").split("/")
        return StoredFile(place, owner, "".join(attempt), name, int(info["size"] or 0), self._modified(place, info))

    def _modified(self, place: str, info: dict[str, Any]) -> float | None:
        date = next((info[name] for name in _DATES if info.get(name) is not None), None)
        if not isinstance(date, (int, float, datetime)):
            try:
                date = self._files.modified(place)
            except (NotImplementedError, FileNotFoundError):
                return None
        return date.timestamp() if isinstance(date, datetime) else float(date)

    def _told(self, place: str) -> str:
        return place if self._is_folder else str(self._files.unstrip_protocol(place))

    def _place(self, folder: str, name: str) -> str:
        return f"{self._folder(folder)}/{_safe(name)}"

    def _folder(self, folder: str) -> str:
        owner, slash, attempt = folder.partition("/")
        if slash and not _ATTEMPT.fullmatch(attempt):
            raise PermanentError(f"{folder!r} cannot name an artifact's folder: <job>/<fence>, or one name")
        return f"{self._base}/{_safe(owner)}{slash}{attempt}"

    def _inside(self, uri: str) -> str:
        place = str(self._files._strip_protocol(uri))
        if self._is_folder:
            place = str(Path(place).resolve())
            base = str(Path(self._base).resolve())
        else:
            base = self._base
        if not place.startswith(base + "/") or "/../" in place:
            raise PermanentError(f"{uri} is not an artifact of this system ({self.root})")
        return place


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A file in a remote store; `size` is in bytes."""

    files: Any
    place: str
    size: int

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to but not including `stop`, in pieces."""
        for piece in range(start, stop, _PIECE):
            yield self.files.cat_file(self.place, start=piece, end=min(stop, piece + _PIECE))


def _safe(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise PermanentError(f"{name!r} cannot name an artifact: letters, digits, '.', '_' and '-' only")
    return name
