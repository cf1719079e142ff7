"""Folders and files of a system that nobody else on the machine may reach: sockets, tokens, what its parts write."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from ytray.errors import SystemUnavailable

_SOCKET_PATH_LIMIT = 97  # bytes: the kernel takes 107, and HAProxy puts ten of its own behind


def private_folder(home: Path, name: str, *, room: int) -> Path:
    """The folder HOME/name, made for its owner alone, in which paths of sockets have `room` bytes.

    A long home gets a short folder elsewhere. Raises SystemUnavailable.
    """
    inside = home / name
    if not is_short(inside, room):
        return folder_elsewhere(home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _kept_private(inside)


def is_short(folder: Path, room: int) -> bool:
    """Whether the path of a socket may be `room` bytes longer than that folder's."""
    return len(os.fsencode(folder)) + 1 + room <= _SOCKET_PATH_LIMIT


def folder_elsewhere(home: Path) -> Path:
    """A short folder for the sockets of a long home. Raises SystemUnavailable."""
    hashed = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return _kept_private(Path(tempfile.gettempdir()) / f"ytray-{os.getuid()}-{hashed}")


def _kept_private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise SystemUnavailable(f"{folder} belongs to somebody else; remove it, or choose a shorter YTRAY_HOME")
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def keep_ray_token() -> None:
    """Make Ray's token if there is none, and keep it to this user: who can read it runs code as this user.

    Ray itself would leave it to be read by everybody. One that the environment gives or names is the operator's own.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return
    if "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    token = ray_token()
    token.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    for path, mode in ((token.parent, 0o700), (token, 0o600)):
        with contextlib.suppress(PermissionError):  # somebody else's, as of a mounted secret; the doctor tells
            if is_open_to_others(path):
                path.chmod(mode)


def ray_token() -> Path:
    """The file that Ray takes its token from."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def is_open_to_others(path: Path) -> bool:
    """Whether users other than the owner may do anything with it; False when there is no such file."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except FileNotFoundError:
        return False
