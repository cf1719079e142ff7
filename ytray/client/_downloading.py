"""A file on its way: written beside its place, moved there when it is whole, continued where a connection broke."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import uuid
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx

from ytray.client import _calls
from ytray.client._calls import Call
from ytray.client._retrying import pause_after_answer
from ytray.errors import DamagedArtifact, InvalidArguments, YtrayError
from ytray.full_disk import telling_of_full_disk

_REPR_DIGEST = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]{44}):")
_HEX = re.compile(r"[0-9a-f]{64}")
_UNFIT = (206, 416)  # a part that does not follow on what is here: the whole file is asked for instead


def sent_on(answer: httpx.Response) -> httpx.Request | None:
    """The request to the store where the API sends its readers; None when the answer is the API's own.

    Only a 307 does so: a proxy that wants a login leads elsewhere too, and its page is not the file.
    """
    return answer.next_request if answer.status_code == 307 else None


class Download:
    """One download, over as many connections as it takes. A context manager: leaving it drops what is not whole."""

    def __init__(self, job_id: str, name: str, to: Path) -> None:
        self._keeps_others = False
        if to.is_dir():
            # The name may come from a server, and must not lead out of the folder.
            if Path(name).name != name or name in ("", ".", ".."):
                raise InvalidArguments(f"{name!r} is no file name; say which file to write")
            to = to / name
            self._keeps_others = True
        self.to = to.absolute()
        self._job_id, self._name = job_id, name
        self._part = self.to.with_name(f".{uuid.uuid4().hex}.part")  # also beside a name that is as long as can be
        self._file: IO[bytes] | None = None
        self._version = ""  # of the file that the bytes received so far belong to
        self._total: int | None = None
        self._digest = hashlib.sha256()  # of the bytes received so far
        self._published: bytes | None = None  # the digest that the server told

    def __enter__(self) -> Download:
        with telling_of_full_disk(self.to):
            self._file = self._part.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            with suppress(OSError):  # its last bytes do not fit, and it is thrown away
                self._open.close()
        finally:
            self._part.unlink(missing_ok=True)

    @property
    def _open(self) -> IO[bytes]:
        assert self._file is not None, "entered"
        return self._file

    def call(self) -> Call[bytes]:
        """The request for what is still missing."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        have = self._open.tell()
        if have and self._version:
            headers |= {"Range": f"bytes={have}-", "If-Range": self._version}
        return _calls.artifact(self._job_id, self._name, headers)

    def begin(self, response: httpx.Response) -> bool:
        """Whether the answer brings the file; it is then written on from where the answer begins."""
        if response.status_code == 206 and self._continues(response):
            return True
        if response.status_code in (200, *_UNFIT):
            self._start_over()
        if response.status_code != 200:
            return False
        etag = response.headers.get("etag", "")
        self._version = "" if etag.startswith("W/") else etag
        self._published = _told_digest(response.headers)
        return True

    def pause_after(self, response: httpx.Response, tries: int, most: int, chance: float) -> float | None:
        """Seconds until it is asked for again after an answer that did not bring it; None: the answer counts."""
        if response.status_code in _UNFIT:
            return 0.0 if tries < most else None
        return pause_after_answer(self.call(), response, tries, most, chance)

    def write(self, received: bytes) -> None:
        """Keep the next bytes."""
        with telling_of_full_disk(self.to):
            self._open.write(received)
        self._digest.update(received)

    def finish(self) -> Path:
        """Put the whole file in its place."""
        with telling_of_full_disk(self.to):
            self._open.flush()
        size = self._open.tell()
        found = self._digest.digest()
        if self._total is not None and size != self._total:
            raise YtrayError(f"{self._name} of job {self._job_id} came with {size} bytes of {self._total}; try again")
        if self._published is not None and found != self._published:
            raise DamagedArtifact(
                f"{self._name} of job {self._job_id} came with the SHA-256 {found.hex()[:16]}…, and "
                f"{self._published.hex()[:16]}… was published; it was thrown away, so try again"
            )
        if self._keeps_others:
            self.to = _free(self.to, found)
        os.replace(self._part, self.to)
        return self.to

    def _continues(self, response: httpx.Response) -> bool:
        start, _, total = response.headers.get("content-range", "").removeprefix("bytes ").partition("/")
        if start.partition("-")[0] != str(self._open.tell()):
            return False
        self._total = int(total) if total.isdigit() else None
        return True

    def _start_over(self) -> None:
        self._open.seek(0)
        self._open.truncate()
        self._version, self._total = "", None
        self._digest, self._published = hashlib.sha256(), None


def _free(target: Path, digest: bytes) -> Path:
    """The file itself, or with a number behind its name where another one lies there: each job has a video.mp4."""
    base = target
    for number in count(2):
        try:
            with target.open("rb") as there:
                if hashlib.file_digest(there, "sha256").digest() == digest:
                    return target
        except FileNotFoundError:
            return target
        target = base.with_stem(f"{base.stem}-{number}")
    raise AssertionError("numbers do not end")


def _told_digest(headers: httpx.Headers) -> bytes | None:
    """The SHA-256 that a server tells: in a Repr-Digest (RFC 9530), or as a store's metadata of an artifact."""
    if (match := _REPR_DIGEST.search(headers.get("repr-digest", ""))) is not None:
        with suppress(binascii.Error):
            return base64.b64decode(match[1], validate=True)
    for name in ("x-amz-meta-sha256", "x-goog-meta-sha256"):
        if _HEX.fullmatch(told := headers.get(name, "")):
            return bytes.fromhex(told)
    return None
