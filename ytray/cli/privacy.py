"""What `ytray doctor` says of other users of the machine, and of the network: who could take over what runs here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

from ytray.settings import settings
from ytray.system.private import is_open_to_others, ray_token

_OF_RAY = ("raylet", "gcs_server")


def open_doors() -> Iterator[str]:
    """A sentence for each thing of this user that other users of the machine can reach."""
    token = ray_token()
    if is_open_to_others(token):
        yield (
            f"Ray's token {token} can be read by other users, who then run code as this one: chmod 600 {token}, "
            "and 700 its folder"
        )
    home = settings().home
    if home.is_dir() and home.stat().st_mode & 0o055:
        yield f"other users can enter {home}, and read logs and finished files there: chmod 700 {home}"
    seen: set[str] = set()
    for process, words in _own_processes():
        folder = _folder_of(process, words)
        if folder is not None and not _is_closed(folder):
            seen.add(
                f"{process} keeps its sockets in {folder}, which other users can enter: start it by `ytray up`, "
                "or with its folders inside of one with mode 700"
            )
        if any(word.startswith(("--redis_password=", "--redis-password=")) and word[-1] != "=" for word in words):
            seen.add(
                f"{process} shows the password of Ray's Redis in the process list: hide other users' processes "
                "(mount /proc with hidepid=2), or let nobody else log in there"
            )
    yield from sorted(seen)


def _own_processes() -> Iterator[tuple[str, list[str]]]:
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and process.name() in (*_OF_RAY, "haproxy"):
                yield process.name(), process.cmdline()
        except psutil.Error:
            continue  # it has just ended


def _folder_of(process: str, words: list[str]) -> Path | None:
    if process == "haproxy":
        given = [after for word, after in pairwise(words) if word == "-f"]
        return Path(given[0]).parent if given else None
    named = [word.partition("=")[2] for word in words if word.startswith(("--session_dir=", "--session-dir="))]
    return Path(named[0]) if named else None


def _is_closed(folder: Path) -> bool:
    """Whether that folder, or one above it, lets nobody else in."""
    try:
        return any(not path.stat().st_mode & 0o077 for path in (folder, *folder.parents))
    except OSError:
        return True  # it is gone, or this process cannot enter it either
