"""A Redis whose memory or disk is full: said in one sentence, nothing acknowledged that could be lost, no work lost."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ytray.engine.state.connection import adopt_store
from ytray.engine.state.store import Store, Submission
from ytray.errors import SystemUnavailable
from ytray.system import redis_server

_WHAT = Submission("a.task", "default", "default", 4)


@pytest.fixture
def short_of_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose Redis may write files of 200,000 bytes and no longer, as if its disk were full then."""
    home = Path(tempfile.mkdtemp(prefix="ytray-test-"))
    binary, _ = redis_server.find_binary()
    (home / "bin").mkdir()
    limited = home / "bin" / "redis-server"
    # A file that gets too long is to fail the write, not to end the server.
    limited.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {binary} \"$@\"\n")
    limited.chmod(limited.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{limited.parent}:{os.environ['PATH']}")
    redis_server.ensure(home)
    yield home
    redis_server.stop(home)
    shutil.rmtree(home, ignore_errors=True)


def _server_of(where: Store) -> int:
    return int(where.redis.info("server")["process_id"])


def _limit(pid: int, size: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _store_of(home: Path) -> Store:
    return Store(f"unix://{redis_server.socket_path(home)}", "ytray", patience=10)


def _fill(where: Store, accept: Callable[[int], list[str]]) -> list[str]:
    """Submit until the disk is full; returns what was acknowledged."""
    accepted: list[str] = []

    def go_on() -> None:
        for number in range(10_000):
            accepted.extend(accept(number))

    with pytest.raises(SystemUnavailable, match=r"append-only file \(.*: free space on its disk"):
        go_on()
    return accepted


def test_what_is_acknowledged_while_the_disk_fills_survives_the_death_of_redis(short_of_disk: Path) -> None:
    where = _store_of(short_of_disk)
    pid = _server_of(where)
    for lots in (1, 7):
        _limit(pid, 150_000 if lots == 1 else 250_000)

        def accept(number: int, lots: int = lots) -> list[str]:
            ids = [f"job-{lots}-{number}-{place}" for place in range(lots)]
            return where.submit([(job_id, b'{"args":{}}') for job_id in ids], _WHAT)

        accepted = _fill(where, accept)
        assert accepted
        os.kill(pid, signal.SIGKILL)
        redis_server.ensure(short_of_disk)
        pid = _server_of(where)
        assert None not in where.states(accepted)


def test_with_the_disk_full_every_path_says_so_and_what_was_asked_for_is_done_once(
    short_of_disk: Path,
    serving: Callable[..., str],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = _store_of(short_of_disk)
    monkeypatch.setattr("ytray.engine.state.connection._current", None)
    adopt_store(where)
    _fill(where, lambda number: _limited(where, number))
    refusals: tuple[Callable[[], object], ...] = (
        lambda: where.cancel("job-0", "no longer wanted", 60),
        lambda: where.redis.set(where.key("budgets"), 1),
        lambda: _in_pipeline(where, transaction=True),
        lambda: where.secure(),
        lambda: where.pause("default", paused=True),
    )
    for refused in refusals:
        with pytest.raises(SystemUnavailable) as told:
            refused()
        assert str(told.value).startswith("Redis takes no changes, because it cannot write its append-only file (")
    answer = httpx.post(
        f"{serving(where, open_without_keys=True)}/api/queues/default/pause",
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 503
    assert "free space on its disk" in answer.json()["detail"]
    assert redis_server.is_running(short_of_disk)  # else a second server would be started on the same file
    _limit(_server_of(where), resource.RLIM_INFINITY)
    until(lambda: _is_writable(where))
    assert where.submit([("again", b"{}")], _keyed()) == where.submit([("other", b"{}")], _keyed())


def _in_pipeline(where: Store, *, transaction: bool) -> None:
    pipe = where.redis.pipeline(transaction=transaction)
    pipe.set(where.key("a"), "its value")
    pipe.execute()


def _keyed() -> Submission:
    return Submission("a.task", "default", "default", 4, user="u", key="k", digest="d")


def _limited(where: Store, number: int) -> list[str]:
    if number == 1:
        _limit(_server_of(where), 100_000)
    return where.submit([(f"job-{number}", b"{}")], _WHAT)


def _is_writable(where: Store) -> bool:
    with contextlib.suppress(SystemUnavailable):
        where.secure()
        return True
    return False


def test_with_the_memory_full_nothing_new_is_taken_and_what_is_there_can_be_stopped_and_deleted(
    bare_store: Store,
) -> None:
    where = bare_store
    where.submit([("one", b"{}"), ("two", b"{}")], _WHAT)
    where.redis.config_set("maxmemory", 1)
    refusals: tuple[Callable[[], object], ...] = (
        lambda: where.submit([("three", b"{}")], _WHAT),
        lambda: _in_pipeline(where, transaction=False),
        lambda: _in_pipeline(where, transaction=True),
    )
    for refused in refusals:
        with pytest.raises(SystemUnavailable, match=r"^the memory of Redis is full .* raise maxmemory"):
            refused()
    where.cancel("one", "no longer wanted", 60)
    assert where.forget(["one"], float(2**50), dry_run=False) == ["one"]
    where.redis.config_set("maxmemory", 0)
    assert where.submit([("three", b"{}")], _WHAT) == ["three"]
