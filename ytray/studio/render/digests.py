"""The content of a file as a short text, to name what was made of it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from ytray.studio.render.files import check_file


def digest(path: Path) -> str:
    """The SHA-256 of a file of any size; it is read again only when it has changed.

    Raises PermanentError, by its name, when it is no file, or an empty one.
    """
    check_file(path, "file to be read")
    stat = path.stat()
    # Its times alone do not tell: a copy may keep them, and a clock may be set back.
    return _digest_at(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@cache
def _digest_at(path: Path, _size: int, _modified: int, _changed: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
