"""Files that outlive a job and a node: kept in a folder, or at any fsspec URL, under the id of the job that made them.

No partial file is ever visible: a file is written beside its place and then moved there.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ytray.errors import PermanentError
from ytray.settings import settings

_PIECE = 1 << 20  # bytes read at once from a remote store
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


class ArtifactStore:
    """Where artifacts are kept. `root` is a folder or fsspec URL; by default YTRAY_ARTIFACTS, else HOME/artifacts."""

    def __init__(self, root: str | None = None) -> None:
        self.root = root or settings().artifacts or str(settings().home / "artifacts")
        found: tuple[Any, str] = fsspec.url_to_fs(self.root)
        self._files, self._base = found
        self._is_folder = isinstance(self._files, LocalFileSystem)

    def publish(self, source: Path, job_id: str, name: str) -> str:
        """Keep the file `source` as `name` of that job, replacing an older one; returns its URI.

        Raises PermanentError when the name or the job id could lead out of the store.
        """
        place = f"{self._base}/{_safe(job_id)}/{_safe(name)}"
        beside = f"{place}.{uuid.uuid4().hex[:8]}.part"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(source), beside)
            self._files.mv(beside, place)
        except BaseException:
            if self._files.exists(beside):
                self._files.rm_file(beside)
            raise
        return place if self._is_folder else str(self._files.unstrip_protocol(place))

    def fetch(self, uri: str, into: Path) -> Path:
        """A local file with the artifact's content: the artifact itself where the store is a folder, else a copy."""
        place = self._inside(uri)
        if self._is_folder:
            if not Path(place).is_file():
                raise PermanentError(f"there is no artifact {uri}: it was removed, or is on another disk")
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

    def names(self, job_id: str) -> list[str]:
        """The names of a job's artifacts, sorted."""
        folder = f"{self._base}/{_safe(job_id)}"
        if not self._files.exists(folder):
            return []
        found = (str(path).rpartition("/")[2] for path in self._files.ls(folder, detail=False))
        return sorted(name for name in found if not name.endswith(".part"))

    def sizes(self, job_id: str) -> dict[str, int]:
        """The size in bytes of each of a job's artifacts, by name."""
        folder = f"{self._base}/{_safe(job_id)}"
        return {name: int(self._files.size(f"{folder}/{name}")) for name in self.names(job_id)}

    def open(self, job_id: str, name: str) -> Path | OpenArtifact:
        """An artifact to be read in parts: its file where the store is a folder. Raises PermanentError."""
        place = f"{self._base}/{_safe(job_id)}/{_safe(name)}"
        if not self._files.isfile(place):
            raise PermanentError(f"job {job_id} has no artifact {name}")
        if self._is_folder:
            return Path(place)
        return OpenArtifact(self._files, place, int(self._files.size(place)))

    def uri(self, job_id: str, name: str) -> str:
        """The URI of an artifact by its job and name, as `publish` returned it."""
        place = f"{self._base}/{_safe(job_id)}/{_safe(name)}"
        return place if self._is_folder else str(self._files.unstrip_protocol(place))

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
