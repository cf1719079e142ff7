"""Small files of a YTRAY_HOME that one process keeps and others read: never seen in part, and only for their owner."""

from __future__ import annotations

import os
from pathlib import Path

from ytray.full_disk import telling_of_full_disk


def keep(path: Path, content: bytes) -> None:
    """Replace the file's content, at once for whoever reads it. Raises DiskFull, and then it is as it was."""
    try:
        with (
            telling_of_full_disk(path),
            open(_beside(path), "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out,
        ):
            out.write(content)
        _beside(path).replace(path)
    except BaseException:
        _beside(path).unlink(missing_ok=True)
        raise


def drop(path: Path) -> None:
    """Remove the file, and what a process that was killed while it wrote has left beside it."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
