"""How artifacts are named, and what a name says: `<job>/<fence>/<name>`, or `<owner>/<name>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ytray.errors import PermanentError

BOUGHT = "bought-"  # in front of the key of the call that bought a file
TAKEN_IN = "given-"  # in front of the digest of a file that somebody gave
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_ATTEMPT = re.compile(r"(?P<fence>[0-9]{1,12})(?:\.failed)?")
_PARTIAL = re.compile(r".*\.[0-9a-f]{8}\.part")


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
    def fence(self) -> int | None:
        """The fence of the attempt that made it; None for what is named by its content."""
        match = _ATTEMPT.fullmatch(self.attempt)
        return None if match is None else int(match["fence"])

    @property
    def is_of_attempt(self) -> bool:
        """Whether an attempt of a job made it; else its owner is a name that its content was given."""
        return self.fence is not None

    @property
    def is_partial(self) -> bool:
        """Whether it was never finished."""
        return is_partial(self.name)


def checked_folder(folder: str) -> str:
    """The folder as it is. Raises PermanentError when it could lead out of the store."""
    if not is_folder(folder):
        raise PermanentError(f"{folder!r} cannot name an artifact's folder: <job>/<fence>, or one name")
    return folder


def is_folder(folder: str) -> bool:
    """Whether a folder of the store may be called so."""
    owner, slash, attempt = folder.partition("/")
    return is_name(owner) and (not slash or _ATTEMPT.fullmatch(attempt) is not None)


def checked_name(name: str) -> str:
    """The name as it is. Raises PermanentError when it could lead out of the store."""
    if not is_name(name):
        raise PermanentError(f"{name!r} cannot name an artifact: letters, digits, '.', '_' and '-' only")
    return name


def is_name(name: str) -> bool:
    """Whether something in the store may be called so."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_partial(name: str) -> bool:
    """Whether a file of that name was never finished."""
    return _PARTIAL.fullmatch(name) is not None


def is_key(key: str) -> bool:
    """Whether an artifact may lie there: no seal, nothing unfinished, no place of another system's in this one's."""
    folder, _, name = key.rpartition("/")
    return is_folder(folder) and is_name(name) and not is_partial(name)


def is_of_attempt(key: str) -> bool:
    """Whether an attempt of a job made the artifact at `key`, a place relative to the store."""
    return key.count("/") == 2
