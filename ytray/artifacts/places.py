"""What the kinds of places where artifacts are kept have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ytray.artifacts.names import StoredFile
from ytray.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of an artifact without reading it: its size in bytes, and its SHA-256 where it is known."""

    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """An artifact that is read in parts: a file here (`path`), or one in a remote store; `size` is in bytes."""

    size: int
    sha256: str | None
    path: Path | None = None
    remote: Callable[[int, int], Iterator[bytes]] | None = None
    sign: Callable[[int], str] | None = None

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to but not including `stop`, in pieces of a few MB."""
        if self.remote is not None:
            yield from self.remote(start, stop)
        elif self.path is not None:
            with self.path.open("rb") as file:
                file.seek(start)
                while start < stop and (piece := file.read(min(1 << 20, stop - start))):
                    start += len(piece)
                    yield piece


class Places(Protocol):
    """Where artifacts are kept. A key is a place relative to it: `<job>/<fence>/<name>` or `<owner>/<name>`."""

    def uri(self, key: str) -> str:
        """The artifact's URI."""

    def key(self, uri: str) -> str | None:
        """The place of an artifact by its URI; None for one that is not of this store."""

    def missing(self, uri: str) -> PermanentError:
        """The error for a file that is not there."""

    def put(self, source: Path, key: str) -> None:
        """Copy a file into the store, where it appears whole."""

    def fetch(self, key: str, into: Path) -> Path:
        """A local file with the artifact's content. Raises PermanentError, DamagedArtifact."""

    def copy_to(self, key: str, target: Path) -> None:
        """Copy the artifact to a new file. Raises PermanentError, DamagedArtifact."""

    def look(self, key: str) -> Looked | None:
        """What is known of an artifact without reading it; None when there is none."""

    def open(self, key: str, looked: Looked) -> OpenArtifact:
        """The artifact, to be read in parts."""

    def mark_used(self, key: str) -> None:
        """Have it count as used today, where the store can tell."""

    def move(self, key: str, to: str) -> None:
        """Put an artifact elsewhere."""

    def delete(self, key: str) -> None:
        """Delete an artifact, if it is there."""

    def owners(self) -> list[str]:
        """Whose files there are."""

    def by_owner(self) -> Iterator[tuple[str, list[StoredFile]]]:
        """Every owner with their files, those that were never finished too."""

    def files(self, folder: str, *, deep: bool) -> list[StoredFile]:
        """The files in a folder; `deep`: and in the folders in it."""

    def prune(self, owner: str, before: float) -> None:
        """Remove an owner's folders that hold no artifact and that nobody has touched since `before`."""
