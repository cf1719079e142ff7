"""Backup and restore of one system's state: all of its keys, as they were at one moment.

Writers go on while a backup is taken. Redis tells which keys change meanwhile (CLIENT TRACKING), these are read once
more, and only for the last few of them writers are held up (CLIENT PAUSE), for milliseconds.

The file is a line that names it, a line of JSON (`Header`), a record for each key, a last record that counts them, and
the SHA-256 of all that. A record that comes later is of a later moment and counts. Names of keys are without the
namespace, so that a backup can be restored under another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import redis
from redis.exceptions import NoPermissionError, ResponseError

from ytray.engine.state import schema
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable, YtrayError
from ytray.full_disk import telling_of_full_disk
from ytray.system import redis_server
from ytray.system.redis_address import opened

_MAGIC = b"ytray backup\n"
_FORMAT = 1
_HEAD = struct.Struct(">BIqI")  # kind, bytes of the name, milliseconds to live (-1: for ever), bytes of the value
_KEPT, _GONE, _END = 1, 2, 0
_DIGEST_BYTES = 32
_LONGEST_HEADER = 10_000  # bytes

_PAGE = 500  # keys that are read or written at once
_FEW = 300  # changed keys: so many are read while writers are held up
_ROUNDS = 8  # readings of what changed meanwhile, before writers are held up for however much it is
_LONGEST_PAUSE_MS = 10_000
_CHANGES = "__redis__:invalidate"  # Redis's name for the channel
_NOT_KEPT: Final = frozenset((b"schema", b"migrating", b"secured"))


class BadBackup(YtrayError, ValueError):
    """A file is no whole backup, or not one that can be restored here; nothing was changed."""


class NotEmpty(YtrayError, ValueError):
    """The system to restore into has something stored already; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says of itself. `keys` is about how many there were when it was begun."""

    format: int
    schema: int
    namespace: str
    redis_version: str
    taken_at: str
    keys: int


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: keys, bytes, seconds that it took, and milliseconds of them that writers were held up."""

    keys: int
    size_bytes: int
    seconds: float
    paused_ms: float


def write_backup(store: Store, out: BinaryIO) -> Written:
    """Write a consistent snapshot of the system to a stream, as it goes.

    Raises SystemUnavailable, in one sentence, also when Redis does not let this user take one.
    """
    started = time.perf_counter()
    try:
        with opened(store.redis_url, protocol=2, socket_connect_timeout=5) as client:
            version = int(schema.version_of(store))
            found = redis_server.server_version(client)
            keys = sum(len(page) for page in _pages(client, store))
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            writing = _Writing(out, Header(_FORMAT, version, store.namespace, found, now, keys))
            paused_ms = _Snapshot(client, store, writing).take()
    except ValueError:
        raise SystemUnavailable(f"system {store.namespace!r} is being restored: there is nothing to back up") from None
    except NoPermissionError as forbidden:
        raise SystemUnavailable(
            f"Redis does not let this user take a backup: {forbidden}; docs/redis.md has what it takes"
        ) from None
    except (redis.ConnectionError, redis.TimeoutError) as lost:
        raise SystemUnavailable(f"Redis went away during the backup: {lost}; take it again") from None
    return Written(writing.finish(), writing.size, time.perf_counter() - started, paused_ms)


def backup_to_file(store: Store, path: Path) -> Written:
    """The same into a file, which is there whole or not at all and only its owner can read. Raises DiskFull."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with telling_of_full_disk(path), open(beside, "xb", opener=partial(os.open, mode=0o600)) as out:
            written = write_backup(store, out)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return written


def read_header(path: Path) -> Header:
    """What a backup says of itself. Raises BadBackup."""
    with path.open("rb") as file:
        return _read_header(file)


def verify(path: Path) -> Header:
    """Read a backup from end to end. Raises BadBackup unless every byte is as it was written."""
    digest, left = hashlib.sha256(), path.stat().st_size - _DIGEST_BYTES
    with path.open("rb") as file:
        header = _read_header(file)
        file.seek(0)
        while left > 0 and (piece := file.read(min(1 << 20, left))):
            digest.update(piece)
            left -= len(piece)
        if file.read() != digest.digest():
            raise BadBackup(f"{path} is damaged or cut off: its checksum does not fit; nothing was changed")
    return header


def restore(store: Store, path: Path, *, replace: bool = False) -> int:
    """Put a backup into the system of `store`; returns how many keys. It should not be running meanwhile.

    Args:
        replace: delete what the system has stored; else it must be empty.

    Raises BadBackup, NotEmpty, and SystemUnavailable when Redis went away meanwhile: then restore it once more.
    """
    header = verify(path)
    if header.schema > schema.current():
        raise BadBackup(
            f"{path} is of schema {header.schema}, and this ytray understands {schema.current()}: upgrade it first"
        )
    try:
        _refuse_foreign_version(store, path, header)
        stored = [key for page in _pages(store.redis, store) for key in page if _own_name(store, key) not in _NOT_KEPT]
        if stored and not replace:
            raise NotEmpty(
                f"system {store.namespace!r} is not empty: {len(stored):,} keys; restore into another one "
                "(YTRAY_NAMESPACE), or say --replace to delete what it has"
            )
        store.redis.set(store.key("schema"), schema.RESTORING)
        for start in range(0, len(stored), _PAGE):
            store.redis.unlink(*stored[start : start + _PAGE])
        keys = _put_back(store, path)
        store.redis.set(store.key("schema"), header.schema)
        store.secure()
    except NoPermissionError as forbidden:
        raise SystemUnavailable(
            f"Redis does not let this user restore a backup: {forbidden}; docs/redis.md has what it takes"
        ) from None
    except (redis.ConnectionError, redis.TimeoutError) as lost:
        raise SystemUnavailable(
            f"Redis went away during the restore: {lost}; repeat it with --replace, nothing works on the system before"
        ) from None
    return keys


# ---------------------------------------------------------------------------------------------- taking it


class _Writing:
    """A backup as it is written: everything that goes out is counted and hashed."""

    def __init__(self, out: BinaryIO, header: Header) -> None:
        self.size = 0
        self._out = out
        self._digest = hashlib.sha256()
        self._names: set[bytes] = set()
        self._put(_MAGIC + json.dumps(asdict(header)).encode() + b"\n")

    def add(self, name: bytes, ttl_ms: int, value: bytes | None) -> None:
        """A key, or None for one that is gone."""
        if value is None:
            if name in self._names:
                self._names.discard(name)
                self._put(_HEAD.pack(_GONE, len(name), -1, 0) + name)
        else:
            self._names.add(name)
            self._put(_HEAD.pack(_KEPT, len(name), ttl_ms, len(value)) + name)
            self._put(value)

    def finish(self) -> int:
        """Write the end; returns how many keys there are."""
        self._put(_HEAD.pack(_END, 0, len(self._names), 0))
        self._out.write(self._digest.digest())
        self.size += _DIGEST_BYTES
        return len(self._names)

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._digest.update(data)
        self.size += len(data)


class _Snapshot:
    """One reading of all keys of a system while others write."""

    def __init__(self, client: redis.Redis, store: Store, writing: _Writing) -> None:
        connect: Callable[[], Any] = client.connection_pool.make_connection
        self._client, self._store, self._writing = client, store, writing
        self._reader, self._hearer = connect(), connect()
        self._changed: set[bytes] = set()

    def take(self) -> float:
        """Write every key; returns for how many milliseconds writers were held up."""
        try:
            self._listen()
            for page in _pages(self._client, self._store):
                self._copy(page)
                self._hear()
            for _ in range(_ROUNDS):
                if len(self._changed) <= _FEW:
                    break
                self._copy_changed()
                self._hear()
            return self._finish()
        finally:
            self._reader.disconnect()
            self._hearer.disconnect()

    def _listen(self) -> None:
        """Have Redis tell the name of each key that changes from now on."""
        (number,) = _ask(self._hearer, ("CLIENT", "ID"))
        _ask(self._hearer, ("SUBSCRIBE", _CHANGES))
        _ask(
            self._reader,
            ("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", "PREFIX", self._store.prefix),
        )

    def _hear(self, *, until_now: bool = False) -> None:
        """Take in what has been told; with `until_now` all that changed before this call."""
        if until_now:
            self._hearer.send_command("PING")
        while until_now or self._hearer.can_read(timeout=0):
            told = self._hearer.read_response()
            if told[0] == b"pong":
                return
            if told[2] is None:
                raise SystemUnavailable("the Redis was emptied during the backup; it is no use")
            self._changed.update(told[2])

    def _copy_changed(self) -> None:
        keys, self._changed = list(self._changed), set()
        for start in range(0, len(keys), _PAGE):
            self._copy(keys[start : start + _PAGE])

    def _copy(self, keys: Sequence[bytes]) -> None:
        wanted = [key for key in keys if _own_name(self._store, key) not in _NOT_KEPT]
        replies = _ask(self._reader, *(command for key in wanted for command in (("DUMP", key), ("PTTL", key))))
        for key, value, ttl in zip(wanted, replies[0::2], replies[1::2], strict=True):
            self._writing.add(_own_name(self._store, key), ttl, value)

    def _finish(self) -> float:
        """Hold up writers, and read what is left."""
        for _ in range(3):
            began = time.perf_counter()
            _ask(self._reader, ("CLIENT", "PAUSE", _LONGEST_PAUSE_MS, "WRITE"))
            try:
                self._hear(until_now=True)
                self._copy_changed()
                paused_ms = (time.perf_counter() - began) * 1000
            finally:
                with suppress(redis.ConnectionError):  # then it ends by itself
                    _ask(self._reader, ("CLIENT", "UNPAUSE"))
            if paused_ms < _LONGEST_PAUSE_MS:
                return paused_ms
        raise SystemUnavailable("too much changes at once for a backup; take it when there is less to do")


def _ask(connection: Any, *commands: tuple[Any, ...]) -> list[Any]:
    if not commands:
        return []
    connection.send_packed_command(connection.pack_commands(commands))
    replies = []
    refused: ResponseError | None = None
    for _ in commands:
        try:
            replies.append(connection.read_response())
        except ResponseError as refusal:
            refused = refused or refusal
    if refused is not None:
        raise refused
    return replies


def _pages(client: redis.Redis, store: Store) -> Iterator[list[bytes]]:
    """The names of all keys of the system, some at a time, and some of them twice."""
    scan: Callable[..., Any] = client.scan
    cursor = 0
    while True:
        cursor, keys = scan(cursor, match=f"{_escaped(store.prefix)}*", count=2 * _PAGE)
        yield keys
        if cursor == 0:
            return


def _escaped(prefix: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix)


def _own_name(store: Store, key: bytes) -> bytes:
    return key[len(store.prefix.encode()) :]


# ---------------------------------------------------------------------------------------------- restoring


@contextmanager
def _opened_backup(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        _read_header(file)
        yield file


def _read_header(file: BinaryIO) -> Header:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BadBackup(f"{file.name} is no backup of ytray; nothing was changed")
    try:
        told = json.loads(file.readline(_LONGEST_HEADER))
        if told["format"] == _FORMAT:
            return Header(**told)
    except (ValueError, KeyError, TypeError):
        raise BadBackup(f"{file.name} is damaged: its header cannot be read; nothing was changed") from None
    raise BadBackup(f"{file.name} has format {told['format']}, and this ytray reads {_FORMAT}: upgrade it first")


def _records(file: BinaryIO) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Name, milliseconds to live and value of each key; no value for one that was gone later."""
    while True:
        kind, name_bytes, ttl, value_bytes = _HEAD.unpack(file.read(_HEAD.size))
        if kind == _END:
            return
        yield file.read(name_bytes), ttl, file.read(value_bytes) if kind == _KEPT else None


def _refuse_foreign_version(store: Store, path: Path, header: Header) -> None:
    """Try the first value: a Redis that is older than the backup's does not understand it."""
    with _opened_backup(path) as file:
        value = next((value for _, _, value in _records(file) if value is not None), None)
    if value is None:
        return
    probe = store.key("restoring")
    try:
        store.redis.restore(probe, 1000, value, replace=True)
    except NoPermissionError:
        raise
    except ResponseError as refused:
        raise BadBackup(
            f"{path} was made by Redis {header.redis_version}, and Redis {redis_server.server_version(store.redis)} "
            f"cannot read it ({refused}): restore it into one of the same version or newer; nothing was changed"
        ) from None
    store.redis.delete(probe)


def _put_back(store: Store, path: Path) -> int:
    names: set[bytes] = set()
    with _opened_backup(path) as file:
        pipe = store.redis.pipeline(transaction=False)
        for number, (name, ttl, value) in enumerate(_records(file), start=1):
            key = store.prefix.encode() + name
            if value is None:
                names.discard(name)
                pipe.delete(key)
            else:
                names.add(name)
                pipe.restore(key, max(1, ttl) if ttl >= 0 else 0, value, replace=True)
            if number % _PAGE == 0:
                pipe.execute()
        pipe.execute()
    return len(names)
