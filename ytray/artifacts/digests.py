"""SHA-256 of files, and copies that are read once for both."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import IO

from ytray.errors import DamagedArtifact

_PIECE = 1 << 20  # bytes


def copy(source: IO[bytes], to: IO[bytes]) -> str:
    """Copy a file of any size; returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
        to.write(piece)
    return digest.hexdigest()


def verify(file: Path, sha256: str, uri: str) -> None:
    """Raises DamagedArtifact when the copy `file` is not what was published as `uri`."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise damaged(uri, found, sha256)


def damaged(uri: str, found: str, *published: str) -> DamagedArtifact:
    """The error that says so."""
    right = " or ".join(f"{one[:16]}…" for one in published)
    return DamagedArtifact(
        f"{uri} is damaged: its content has the SHA-256 {found[:16]}…, and {right} was published; this copy was thrown "
        "away, so try again; if it stays so, the store has lost the file"
    )


def media_type(name: str) -> str:
    """What kind of file it is, by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


mimetypes.add_type("application/x-subrip", ".srt")
