"""Files that users hand in: a name can stand for anything, and only plain files that hold something are read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ytray.errors import PermanentError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: Path, wanted: str) -> None:
    """Raises PermanentError, by its name, for what is no file that can be read, or an empty one. Opens nothing else.

    A pipe or a device could be read without end. `wanted`: what it should be, for the message: "picture".
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise PermanentError(f"{path.name} is not there: no such file") from missing
    except (OSError, ValueError) as wrong:
        raise PermanentError(f"{path.name} is not there: {getattr(wrong, 'strerror', None) or wrong}") from wrong
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is not None:
        raise PermanentError(f"{path.name} is no {wanted}: it is {kind}; give a file")
    if found.st_size == 0:
        raise PermanentError(f"{path.name} is no {wanted}: it is empty (0 bytes); save or send it again")
    if not os.access(path, os.R_OK):
        raise PermanentError(f"{path.name} cannot be read: permission denied; let this user read it")
