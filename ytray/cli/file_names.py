"""Names of the files that commands write: the letters of any script, and never two films under one."""

from __future__ import annotations

import fcntl
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from ytray.errors import InvalidArguments

LONGEST = 255  # bytes of a file's name: what file systems take


def numbered(name: str, fits: Callable[[str], bool]) -> str:
    """The first of NAME, NAME-2, NAME-3, … that fits."""
    return next(one for one in chain((name,), (f"{name}-{number}" for number in count(2))) if fits(one))


def names_in(folder: Path) -> set[str]:
    """The names of the files in a folder, as `folded` writes them."""
    return {folded(file.name) for file in folder.iterdir()}


def folded(name: str) -> str:
    """A name as file systems compare it that know no capitals, and one way to write a letter with its marks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def free_file(target: Path) -> Path:
    """The file itself, or with a number behind its name where that is taken."""
    ending = target.suffix.encode(errors="surrogateescape")
    stem = target.name.encode(errors="surrogateescape").removesuffix(ending)
    for number in chain((b"",), (b"-%d" % number for number in count(2))):
        name = stem[: LONGEST - len(number + ending)] + number + ending
        file = target.with_name(name.decode(errors="surrogateescape"))
        if not os.path.lexists(file):
            return file
    raise AssertionError("numbers do not end")


def check_target(target: Path) -> None:
    """Raises InvalidArguments for a file that could not be written when it is made."""
    if len(target.name.encode(errors="surrogateescape")) > LONGEST:
        raise InvalidArguments(f"--out {target}: a file's name has at most {LONGEST} bytes")
    if target.is_dir():
        raise InvalidArguments(f"--out {target}: this is a folder; name the file")
    check_folder(target.absolute().parent)


def check_folder(folder: Path) -> None:
    """Make a folder. Raises InvalidArguments for one that cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as wrong:
        raise InvalidArguments(f"--out {folder}: {getattr(wrong, 'strerror', None) or wrong}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidArguments(f"--out {folder}: files cannot be written there")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let no other command choose names in a folder meanwhile, where its file system has locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
