"""The Redis underneath: shared, recovered, refused by name."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from ytray import SystemUnavailable
from ytray.system import redis_server


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    redis_server.stop(tmp_path)


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def pid_of(url: str) -> int:
    info = client(url).info("server")
    assert isinstance(info, dict)
    return int(info["process_id"])


def test_a_second_process_joins_the_first_ones_server(own_home: Path) -> None:
    url, started = redis_server.ensure(own_home)
    assert started
    program = (
        "import sys; from pathlib import Path; from ytray.system import redis_server; "
        "print(*redis_server.ensure(Path(sys.argv[1])))"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, str(own_home)], capture_output=True, text=True, check=True, timeout=60
    )
    assert second.stdout.split() == [url, "False"]


def test_a_killed_server_leaves_its_data_and_its_stale_socket_is_replaced(own_home: Path) -> None:
    url, _ = redis_server.ensure(own_home)
    client(url).set("kept", "yes")
    server = psutil.Process(pid_of(url))
    server.send_signal(signal.SIGKILL)
    psutil.wait_procs([server], timeout=60)
    assert redis_server.socket_path(own_home).exists()
    again, started = redis_server.ensure(own_home)
    assert (again, started) == (url, True)
    assert client(url).get("kept") == b"yes"


def test_no_acknowledged_write_is_lost_when_the_server_is_killed_under_load(own_home: Path) -> None:
    url, _ = redis_server.ensure(own_home)
    server = psutil.Process(pid_of(url))
    acknowledged = 0
    writer = client(url)
    killer = threading.Timer(0.7, lambda: server.send_signal(signal.SIGKILL))
    killer.start()
    try:
        while True:
            writer.set(f"key{acknowledged}", "x" * 500)
            acknowledged += 1
    except redis.ConnectionError:
        pass
    psutil.wait_procs([server], timeout=60)
    redis_server.ensure(own_home)
    assert acknowledged > 100
    assert client(url).dbsize() in (acknowledged, acknowledged + 1)


def test_a_long_home_gets_a_short_private_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    place = redis_server.socket_path(deep)
    assert len(os.fsencode(place)) < 100
    assert place.parent.stat().st_mode & 0o077 == 0
    assert redis_server.socket_path(deep) == place


@contextmanager
def server_with(folder: Path, *options: str) -> Iterator[str]:
    binary, _ = redis_server.find_binary()
    place = folder / "own.sock"
    process = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
    )
    url = f"unix://{place}"
    try:
        probe = redis.Redis.from_url(url, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100))
        probe.ping() if "--requirepass" not in options else _wait_for(place)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(place: Path) -> None:
    while not place.exists():
        pass


def test_a_redis_that_evicts_keys_is_refused_by_name(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with (
        server_with(tmp_path, *options) as url,
        pytest.raises(SystemUnavailable, match=r"allkeys-lru.*would lose jobs"),
    ):
        redis_server.check(url)


def test_a_redis_without_an_append_only_file_is_warned_of(tmp_path: Path) -> None:
    with server_with(tmp_path, "--appendonly", "no") as url:
        (warning,) = redis_server.check(url)
    assert "append-only file off" in warning


def test_a_redis_that_wants_a_password_says_so(tmp_path: Path) -> None:
    with (
        server_with(tmp_path, "--requirepass", "secret") as url,
        pytest.raises(SystemUnavailable, match=r"password|Authentication"),
    ):
        redis_server.check(url)


def test_an_unreachable_redis_is_named_without_its_password() -> None:
    with pytest.raises(SystemUnavailable) as refused:
        redis_server.check("redis://user:s3cret@127.0.0.1:1/0")
    assert "cannot be reached" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_redis_that_is_too_old_is_refused() -> None:
    answer = b"# Server\r\nredis_version:5.0.7\r\n"

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                for command in data.split(b"*")[1:]:
                    if b"INFO" in command.upper():
                        connection.sendall(b"$%d\r\n%s\r\n" % (len(answer), answer))
                    elif b"CONFIG" in command.upper():
                        connection.sendall(b"*0\r\n")
                    elif b"HELLO" in command.upper():
                        connection.sendall(b"-ERR unknown command 'HELLO'\r\n")
                    else:
                        connection.sendall(b"+OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(SystemUnavailable, match=r"Redis 5\.0\.7 is too old"):
            redis_server.check(f"redis://127.0.0.1:{port}/0?protocol=2")
