"""Inputs of batches that come as files: which types are taken, how large they may be, where they wait to be read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ytray.full_disk import telling_of_full_disk

_SUFFIXES: Final = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
}
_TIMES: Final = 50  # an upload may be so many times as long as a job's arguments, since it is read row by row
_TAKERS: Final = re.compile(r"/api/batches(?:/[^/]+/resume)?")


def largest_upload(method: str, path: str, content_type: str, usual: int) -> int:
    """How many bytes a request's body may have: more than the `usual` ones if it is a file that a route takes."""
    takes = method == "POST" and _plain(content_type) in _SUFFIXES and _TAKERS.fullmatch(path) is not None
    return _TIMES * usual if takes else usual


def is_upload(request: Request) -> bool:
    """Whether the request's body is a file of rows."""
    return _plain(request.headers.get("content-type", "")) in _SUFFIXES


@asynccontextmanager
async def kept(request: Request) -> AsyncIterator[Path]:
    """The request's body as a file, which is removed afterwards.

    Raises ClientDisconnect when the sender breaks off, DiskFull.
    """
    suffix = _SUFFIXES[_plain(request.headers["content-type"])]
    with (
        telling_of_full_disk("what was uploaded"),
        tempfile.TemporaryDirectory(prefix="ytray-upload-") as folder,
    ):
        path = Path(folder, f"input{suffix}")
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        yield path


def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
