"""Artifacts in an object store (`s3://`, `gs://`), or behind any other fsspec URL.

An object appears when its upload is complete, and not before. Its SHA-256 is part of its metadata, so the two appear
and go together. Credentials and endpoint are those of the store's own standard variables.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from ytray.artifacts import digests
from ytray.artifacts.cache import Cache
from ytray.artifacts.names import StoredFile, is_name
from ytray.artifacts.places import Looked, OpenArtifact
from ytray.errors import PermanentError

_PART = 8 << 20  # bytes of a file that are sent at once
_SIDE_BY_SIDE = 2  # parts on their way up
_PIECE = 4 << 20  # bytes read at once for somebody who reads a range
_DATES = ("mtime", "LastModified", "last_modified", "updated", "created")  # what filesystems call a file's age
_MOST_PARTS = 10_000  # of one upload to S3


class Objects:
    """The store at an fsspec URL, whose filesystem `files` keeps it under `base`. Keys are places relative to it."""

    def __init__(self, files: Any, base: str, cache: Cache) -> None:
        self._files, self._base, self._cache = files, base, cache
        self._told = str(files.unstrip_protocol(base))
        protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
        self._is_s3, self._is_gs = "s3" in protocols, "gs" in protocols

    def uri(self, key: str) -> str:
        """The artifact's URI."""
        return f"{self._told}/{key}"

    def key(self, uri: str) -> str | None:
        """The place of an artifact by its URI; None for one that is not of this store."""
        place = str(self._files._strip_protocol(uri))
        key = place.removeprefix(f"{self._base}/")
        return key if key != place and not {"", ".", ".."} & set(key.split("/")) else None

    def missing(self, uri: str) -> PermanentError:
        """The error for a file that is not there."""
        return PermanentError(f"there is no artifact {uri}: it was removed")

    def put(self, source: Path, key: str) -> None:
        """Upload a file. What is uploaded is a copy, which stays in the cache of this node."""
        with self._cache.snapshot(source, self.uri(key)) as (copy, sha256):
            self._upload(copy, key, sha256)

    def _upload(self, file: Path, key: str, sha256: str) -> None:
        place, media_type = self._place(key), digests.media_type(key)
        if self._is_s3:
            part = max(_PART, -(-file.stat().st_size // _MOST_PARTS))
            told = {"Metadata": {"sha256": sha256}, "ContentType": media_type}
            self._files.put_file(str(file), place, chunksize=part, max_concurrency=_SIDE_BY_SIDE, **told)
        elif self._is_gs:
            self._files.put_file(
                str(file), place, chunksize=_PART, metadata={"sha256": sha256}, content_type=media_type
            )
        else:
            self._put_beside(file, place)

    def _put_beside(self, file: Path, place: str) -> None:
        beside = f"{place}.{uuid.uuid4().hex[:8]}.part"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(file), beside)
            self._files.mv(beside, place)
        except BaseException:
            with suppress(FileNotFoundError):
                self._files.rm_file(beside)
            raise

    def fetch(self, key: str, into: Path) -> Path:
        """A copy in the folder `into`, by way of this node's cache."""
        uri, target = self.uri(key), into / key.rpartition("/")[2]
        if not self._cache.lend(uri, target):
            looked = self.look(key)
            if looked is None:
                raise self.missing(uri)
            self._cache.fill(uri, looked.size, target, partial(self._download, key, looked.sha256))
        return target

    def copy_to(self, key: str, target: Path) -> None:
        """Copy the artifact to a new file, past the cache. Raises DamagedArtifact, PermanentError."""
        looked = self.look(key)
        if looked is None:
            raise self.missing(self.uri(key))
        self._download(key, looked.sha256, target)

    def _download(self, key: str, sha256: str | None, to: Path) -> None:
        chosen: dict[str, int] = {}
        if self._is_s3:
            chosen = {"max_concurrency": 1}  # one request, written as it arrives
        elif self._is_gs:
            chosen = {"concurrency": 1}
        try:
            self._files.get_file(self._place(key), str(to), **chosen)
        except FileNotFoundError:
            raise self.missing(self.uri(key)) from None
        if sha256 is not None:
            digests.verify(to, sha256, self.uri(key))

    def look(self, key: str) -> Looked | None:
        """What is known of an artifact without reading it; None when there is none."""
        place = self._place(key)
        try:
            if self._is_s3:
                bucket, name, _ = self._files.split_path(place)
                head = self._files.call_s3("head_object", Bucket=bucket, Key=name)
                return Looked(int(head["ContentLength"]), head["Metadata"].get("sha256"))
            info: dict[str, Any] = self._files.info(place)
        except FileNotFoundError:
            return None
        return Looked(int(info["size"]), info.get("metadata", {}).get("sha256")) if info["type"] == "file" else None

    def open(self, key: str, looked: Looked) -> OpenArtifact:
        """The artifact, to be read in parts."""
        sign = partial(self._signed, self._place(key)) if self._is_s3 or self._is_gs else None
        return OpenArtifact(looked.size, looked.sha256, remote=partial(self._read, self._place(key)), sign=sign)

    def _read(self, place: str, start: int, stop: int) -> Iterator[bytes]:
        for piece in range(start, stop, _PIECE):
            yield self._files.cat_file(place, start=piece, end=min(stop, piece + _PIECE))

    def _signed(self, place: str, seconds: int) -> str:
        return str(self._files.sign(place, expiration=seconds, **({"version": "v4"} if self._is_gs else {})))

    def mark_used(self, key: str) -> None:
        """Nothing: an object's age is that of its upload."""

    def move(self, key: str, to: str) -> None:
        """Copy an artifact within the store, and delete it in its old place."""
        if self._is_s3 or self._is_gs:
            self._files.cp_file(self._place(key), self._place(to))
            self.delete(key)
        else:
            self._files.makedirs(self._place(to).rpartition("/")[0], exist_ok=True)
            self._files.mv(self._place(key), self._place(to))
            self._cache.drop(self.uri(key))

    def delete(self, key: str) -> None:
        """Delete an artifact, if it is there."""
        self._cache.drop(self.uri(key))
        with suppress(FileNotFoundError):
            self._files.rm_file(self._place(key))

    def owners(self) -> list[str]:
        """The names of what looks like folders at the top."""
        try:
            listed: list[dict[str, Any]] = self._files.ls(self._base, detail=True)
        except FileNotFoundError:
            return []
        names = (str(info["name"]).rstrip("/").rpartition("/")[2] for info in listed if info["type"] == "directory")
        return sorted(filter(is_name, names))

    def by_owner(self) -> Iterator[tuple[str, list[StoredFile]]]:
        """Every owner with their files, of one listing of the whole store."""
        found: Iterator[StoredFile]
        if self._is_s3 or self._is_gs:
            found = chain.from_iterable(self._pages_of_s3() if self._is_s3 else self._pages_of_gs())
        else:
            found = iter(sorted(self._listed(self._base, deep=True), key=_owner))
        for owner, files in groupby(found, key=_owner):  # these stores list in the order of their keys
            yield owner, list(files)

    def _pages_of_s3(self) -> Iterator[list[StoredFile]]:
        bucket, prefix, _ = self._files.split_path(f"{self._base}/")
        asked: dict[str, str] = {}
        while True:
            page = self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **asked)
            items = page.get("Contents", [])
            yield self._all_stored((f"{bucket}/{item['Key']}", {**item, "size": item["Size"]}) for item in items)
            if not page.get("IsTruncated"):
                return
            asked = {"ContinuationToken": page["NextContinuationToken"]}

    def _pages_of_gs(self) -> Iterator[list[StoredFile]]:
        bucket, prefix, _ = self._files.split_path(f"{self._base}/")
        asked: dict[str, str] = {}
        while True:
            page = self._files.call("GET", "b/{}/o", bucket, prefix=prefix, json_out=True, **asked)
            yield self._all_stored((f"{bucket}/{item['name']}", item) for item in page.get("items", []))
            if not page.get("nextPageToken"):
                return
            asked = {"pageToken": page["nextPageToken"]}

    def files(self, folder: str, *, deep: bool) -> list[StoredFile]:
        """The files whose names begin with the folder's; `deep`: also those of its folders."""
        return self._listed(self._place(folder), deep=deep)

    def prune(self, owner: str, before: float) -> None:
        """Nothing: a folder is there while it has a file."""

    def _listed(self, folder: str, *, deep: bool) -> list[StoredFile]:
        try:
            found: dict[str, dict[str, Any]] = self._files.find(folder, maxdepth=None if deep else 1, detail=True)
        except FileNotFoundError:
            return []
        return self._all_stored((str(place), info) for place, info in found.items() if info["type"] == "file")

    def _all_stored(self, found: Iterable[tuple[str, dict[str, Any]]]) -> list[StoredFile]:
        return [stored for place, info in found if (stored := self._stored(place, info)) is not None]

    def _stored(self, place: str, info: dict[str, Any]) -> StoredFile | None:
        match place.removeprefix(f"{self._base}/").split("/"):
            case [owner, name]:
                return StoredFile(owner, "", name, int(info["size"] or 0), self._modified(place, info))
            case [owner, attempt, name]:
                return StoredFile(owner, attempt, name, int(info["size"] or 0), self._modified(place, info))
        return None

    def _modified(self, place: str, info: dict[str, Any]) -> float | None:
        date = next((info[name] for name in _DATES if info.get(name) is not None), None)
        if isinstance(date, str):
            date = datetime.fromisoformat(date)
        if not isinstance(date, (int, float, datetime)):
            try:
                date = self._files.modified(place)
            except (NotImplementedError, FileNotFoundError):
                return None
        return date.timestamp() if isinstance(date, datetime) else float(date)

    def _place(self, key: str) -> str:
        return f"{self._base}/{key}"


def _owner(file: StoredFile) -> str:
    return file.owner
