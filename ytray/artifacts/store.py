"""The artifact store: what the rest of the system calls."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ytray.artifacts.cache import Cache
from ytray.artifacts.folder import Folder
from ytray.artifacts.names import TAKEN_IN, StoredFile, checked_folder, checked_name, is_key, is_partial
from ytray.artifacts.objects import Objects
from ytray.artifacts.places import OpenArtifact, Places
from ytray.errors import PermanentError, SettingsError, SystemUnavailable
from ytray.full_disk import telling_of_full_disk
from ytray.settings import Settings, settings

_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
_ENDING = re.compile(r"\.[a-z0-9]{1,10}")
_AT_ONCE = 16  # folders of a remote store that are listed, or looked into


class ArtifactStore:
    """Where artifacts are kept. `root` is a folder or fsspec URL; by default YTRAY_ARTIFACTS, else HOME/artifacts.

    What an attempt of a job makes lies at `<job>/<fence>/<name>`, so no other attempt can change it; what is named by
    its content lies at `<owner>/<name>`. No partial file is ever visible. Raises SettingsError for a URL that cannot
    be used here.
    """

    def __init__(self, root: str | None = None) -> None:
        given = settings()
        root = root or root_of(given)
        self.root = re.sub(r"//[^/@]*@", "//***@", root)
        files, base = _opened(root, self.root)
        self.is_folder = isinstance(files, LocalFileSystem)
        self._places: Places = (
            Folder(Path(base))
            if self.is_folder
            else Objects(files, base.rstrip("/"), Cache(given.home / "cache" / "artifacts", given.cache_bytes))
        )

    def publish(self, source: Path, folder: str, name: str) -> str:
        """Keep the file `source` as `name` in a folder, replacing an older one; returns its URI.

        `folder` is `attempt_folder(…)`, or the owner's name for what is named by its content. Tasks publish by
        `ytray.unit_of_work()`. Raises PermanentError when the name or the folder could lead out of the store, DiskFull.
        """
        key = _key(folder, name)
        self._places.put(source, key)
        return self._places.uri(key)

    def take_in(self, source: Path, digest: str) -> str:
        """Keep a file that somebody gives, under its content's digest; it counts as used today. Returns its URI.

        Of its own name only a plain ending is kept; `?download=1` or ` (2)` is none.
        """
        ending = source.suffix.lower()
        owner, name = f"{TAKEN_IN}{digest}", f"file{ending if _ENDING.fullmatch(ending) else ''}"
        key = _key(owner, name)
        if not self.is_folder or self._places.look(key) is None:
            return self.publish(source, owner, name)
        self._places.mark_used(key)
        return self._places.uri(key)

    def fetch(self, uri: str, into: Path) -> Path:
        """A local file with the artifact's content, for reading: the artifact itself where the store is a folder, else
        a copy in the folder `into`.

        In a folder, what is named by its content then counts as used today, and clean-up leaves it. Raises
        PermanentError for an artifact that is gone or none of this system's; ForeignArtifact for one that the user of
        the running job may not read; DamagedArtifact for one that came with another content than was published;
        DiskFull.
        """
        return self._places.fetch(self._readable(uri), into)

    def fetch_kept(self, uri: str, into: Path) -> Path:
        """`fetch` for a URI that the reading job did not get from anybody, but names itself by what it has made."""
        return self._places.fetch(self._inside(uri), into)

    def copy_to(self, uri: str, target: Path) -> None:
        """Write the artifact to a file of the caller's own, which appears when it is whole. Raises as `fetch` does."""
        beside = target.with_name(f".{uuid.uuid4().hex}.part")  # also beside a name that is as long as can be
        try:
            with telling_of_full_disk(target):
                self._places.copy_to(self._readable(uri), beside)
                beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def exists(self, uri: str) -> bool:
        """Whether the artifact is still there. Raises PermanentError for a URI that is none of this system's."""
        return self._places.look(self._readable(uri)) is not None

    def has_kept(self, uri: str) -> bool:
        """`exists` as `fetch_kept` is `fetch`."""
        return self._places.look(self._inside(uri)) is not None

    def holds(self, uri: str) -> bool:
        """Whether the URI is one of this system's."""
        return self.key(uri) is not None

    def key(self, uri: str) -> str | None:
        """The place of an artifact in the store by its URI; None for what is no artifact of this system."""
        key = self._places.key(uri)
        return key if key is not None and is_key(key) else None

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of each artifact in a folder, by name."""
        found = (file for file in self._places.files(checked_folder(folder), deep=False) if not file.is_partial)
        return {file.name: file.size for file in sorted(found, key=lambda file: file.name)}

    def sizes_of(self, folders: Sequence[str]) -> list[dict[str, int]]:
        """`sizes` of several folders; those of a remote store are listed side by side."""
        if self.is_folder or len(folders) < 2:
            return [self.sizes(folder) for folder in folders]
        with ThreadPoolExecutor(min(_AT_ONCE, len(folders))) as threads:
            return list(threads.map(self.sizes, folders))

    def open(self, folder: str, name: str) -> OpenArtifact | None:
        """An artifact to be read in parts; None when there is none. Raises PermanentError for names that cannot be."""
        key = _key(folder, name)
        looked = None if is_partial(name) else self._places.look(key)
        return None if looked is None else self._places.open(key, looked)

    def open_first(self, folders: Sequence[str], name: str) -> OpenArtifact | None:
        """`open` of the first of several folders that has it; those of a remote store are looked into side by side."""
        if self.is_folder or len(folders) < 2:
            return _first(self.open(folder, name) for folder in folders)
        with ThreadPoolExecutor(min(_AT_ONCE, len(folders))) as threads:
            opened = partial(self.open, name=name)
            some = (folders[start : start + _AT_ONCE] for start in range(0, len(folders), _AT_ONCE))
            return _first(_first(threads.map(opened, together)) for together in some)

    def uri(self, folder: str, name: str) -> str:
        """The URI of an artifact by its folder and name, as `publish` returned it."""
        return self._places.uri(_key(folder, name))

    def move(self, name: str, folder: str, to: str) -> None:
        """Put an artifact into another folder."""
        self._places.move(_key(folder, name), _key(to, name))

    def remove(self, folder: str, name: str) -> None:
        """Delete an artifact, if it is there, and its folder with the last one."""
        self._places.delete(_key(folder, name))

    def discard(self, file: StoredFile) -> None:
        """Delete a file that was listed, finished or not, and its folder with the last one."""
        self._places.delete(f"{file.folder}/{file.name}")

    def drop_attempts_before(self, job_id: str, fence: int) -> None:
        """Delete what attempts of a job with a smaller fence have left."""
        for file in self.files(job_id):
            if file.fence is not None and file.fence < fence:
                self.discard(file)

    def owners(self) -> list[str]:
        """Whose files there are: ids of jobs, and names of what is named by its content."""
        return self._places.owners()

    def files(self, owner: str) -> list[StoredFile]:
        """Every file of an owner, those that were never finished too."""
        found = self._places.files(checked_folder(owner), deep=True)
        return sorted(found, key=lambda file: (file.folder, file.name))

    def by_owner(self) -> Iterator[tuple[str, list[StoredFile]]]:
        """Every owner with their files, by one listing of a remote store."""
        return self._places.by_owner()

    def prune(self, owner: str, before: float) -> None:
        """Remove an owner's empty folders that nobody has touched since `before` (Unix seconds)."""
        self._places.prune(checked_name(owner), before)

    def probe(self) -> None:
        """Write, read back and delete a small file. Raises SystemUnavailable, which says what cannot be done."""
        folder, doing = f"probe-{uuid.uuid4().hex}", "written"
        with tempfile.TemporaryDirectory(prefix="ytray-") as own:
            sent, back = Path(own, "sent"), Path(own, "back")
            sent.write_bytes(os.urandom(64))
            try:
                uri = self.publish(sent, folder, "probe")
                doing = "read back"
                self.copy_to(uri, back)
                doing = "deleted"
                self.remove(folder, "probe")
            except Exception as wrong:  # of whatever kind the store's library has
                told = re.sub(r"//[^/@\s]*@", "//***@", f"{type(wrong).__name__}: {wrong}")
                raise SystemUnavailable(f"{self.root}: a file cannot be {doing}: {told}") from None
        if self.open(folder, "probe") is not None:
            raise SystemUnavailable(f"{self.root}: a file that was deleted is still there")

    def _readable(self, uri: str) -> str:
        key = self._inside(uri)
        if _rule is not None:
            _rule(uri, key)
        return key

    def _inside(self, uri: str) -> str:
        key = self.key(uri)
        if key is None:
            hint = ""
            if self.is_folder and Path(uri).is_absolute() and uri.count("/") > 2:
                hint = (
                    "; if another node made it, the nodes do not share one folder: set YTRAY_ARTIFACTS to one that all "
                    "of them mount, or to s3://… or gs://…"
                )
            raise PermanentError(f"{uri} is not an artifact of this system ({self.root}){hint}")
        return key


_rule: Callable[[str, str], None] | None = None


def readable_by(rule: Callable[[str, str], None]) -> None:
    """From now on `rule` decides in this process who may read what: it is given URI and key, and raises."""
    global _rule
    _rule = rule


def root_of(given: Settings) -> str:
    """Where a system keeps its files: one of another name than the default in a folder of its own.

    Clean-up takes what no job of its system owns for forgotten, so two systems must not share one.
    """
    root = given.artifacts or str(given.home / "artifacts")
    return (
        root
        if given.namespace == Settings.model_fields["namespace"].default
        else f"{root.rstrip('/')}/_{given.namespace}"
    )


def _first(opened: Iterable[OpenArtifact | None]) -> OpenArtifact | None:
    return next((one for one in opened if one is not None), None)


def _key(folder: str, name: str) -> str:
    return f"{checked_folder(folder)}/{checked_name(name)}"


def _opened(root: str, told: str) -> tuple[Any, str]:
    protocol = fsspec.utils.get_protocol(root)
    # What other processes do must be seen; signatures are of the kind that every region takes.
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {"signature_version": "s3v4"}
    try:
        opened: tuple[Any, str] = fsspec.url_to_fs(root, **options)
    except ImportError as missing:
        package, extra = _EXTRAS.get(protocol, ("", ""))
        how = f"the package {package}: pip install 'ytray[{extra}]'" if package else f"another package: {missing}"
        raise SettingsError(f"YTRAY_ARTIFACTS: {told} needs {how}") from None
    except ValueError as unknown:
        raise SettingsError(f"YTRAY_ARTIFACTS: {told} cannot be used: {unknown}") from None
    return opened
