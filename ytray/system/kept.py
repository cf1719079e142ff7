"""Small files of a YTRAY_HOME that one process keeps and others read: never seen in part, and only for their owner."""

from __future__ import annotations

import os
from pathlib import Path


def keep(path: Path, content: bytes) -> None:
    """Replace the file's content, at once for whoever reads it."""
    with open(_beside(path), "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        out.write(content)
    _beside(path).replace(path)


def drop(path: Path) -> None:
    """Remove the file, and what a process that was killed while it wrote has left beside it."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
