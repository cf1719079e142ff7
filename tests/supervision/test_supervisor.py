"""A supervisor brings back what dies, gives up in the end, and ends all that is its own and nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import psutil
import pytest

from ytray.engine.state.store import Store
from ytray.supervision.mirror import Mirror
from ytray.supervision.picture import Patience, Picture
from ytray.supervision.report import read_report
from ytray.system import redis_server
from ytray.system.identity import Identity
from ytray.system.parts import Part, read_parts
from ytray.system.redis_address import opened
from ytray.system.running import supervisor_of

Until = Callable[..., None]
REPOSITORY = Path(__file__).parents[2]


class Supervised:
    """A home, and commands that run for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("YTRAY_", "RAY_"))}
        self.environment = {**kept, "YTRAY_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}

    def up(self, node: str = "comes up", log: IO[str] | int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.supervision.supervised", node],
            env={**self.environment, **more},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def down(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ytray", "down"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def processes(self) -> dict[str, Identity]:
        report = read_report(self.home)
        assert report is not None
        redis = redis_server.process(self.home)
        assert redis is not None
        found = {name: part.found[0] for name, part in report.parts.items()}
        return {**found, "node": report.node, "redis": redis}

    def part(self, name: str) -> Part:
        return next(part for part in read_parts(self.home) if part.name == name)

    def is_whole(self) -> bool:
        parts = read_parts(self.home)
        return len(parts) == 6 and all(part.state == "up" for part in parts)


@pytest.fixture
def supervised() -> Iterator[Supervised]:
    """A home of its own; whatever runs for it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="ytray-test-") as folder:
        found = Supervised(Path(folder))
        yield found
        if (found.home / "up.pid").exists():
            found.down()


@pytest.fixture
def init_system(supervised: Supervised) -> Iterator[socket.socket]:
    """What an init system listens to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(supervised.home / "notify"))
        listening.settimeout(120)
        yield listening


def test_what_dies_is_brought_back_and_the_rest_is_left_alone(
    supervised: Supervised, init_system: socket.socket, until: Until
) -> None:
    up = supervised.up(NOTIFY_SOCKET=str(supervised.home / "notify"))
    until(supervised.is_whole, 90)
    told = ""
    while "READY=1" not in told or "WATCHDOG=1" not in told:
        told += init_system.recv(1024).decode()
    before = supervised.processes()
    before["redis"].signal(signal.SIGKILL)
    until(lambda: supervised.part("redis").restarts == 1, 90)
    until(supervised.is_whole, 90)
    after = supervised.processes()
    assert after.pop("redis") != before.pop("redis")
    assert after == before
    assert "was ended by SIGKILL" in supervised.part("redis").last_end

    before["dashboard"].signal(signal.SIGKILL)
    until(lambda: supervised.part("dashboard").restarts == 1)  # though it was back before anybody looked
    until(supervised.is_whole)
    after = supervised.processes()
    assert after["dashboard"] != before["dashboard"]
    assert after["node"] == before["node"]

    redis = supervised.processes()["redis"]
    before["raylet"].signal(signal.SIGKILL)
    until(lambda: supervised.part("raylet").restarts == 1, 90)
    until(supervised.is_whole, 90)
    after = supervised.processes()
    assert not any(process.is_alive() for process in before.values())
    assert after["redis"] == redis
    assert not {after["node"], after["raylet"], after["haproxy"]} & set(before.values())
    assert (supervised.part("redis").restarts, supervised.part("node").restarts) == (1, 0)

    store = redis_server.url_of(supervised.home)
    with opened(store) as client:
        until(lambda: client.hgetall("{ytray}:part_restarts") == {b"redis": b"1", b"dashboard": b"1", b"raylet": b"1"})
        shown = client.hgetall("{ytray}:parts")
        assert isinstance(shown, dict)
        assert Part.received(shown[b"raylet"]) == supervised.part("raylet")
        assert client.ttl("{ytray}:parts") in range(1, 61)
    up.terminate()
    while "STOPPING=1" not in told:
        told += init_system.recv(1024).decode()
    assert up.wait(60) == 0
    assert not any(process.is_alive() for process in (*after.values(), redis))
    assert sorted(path.name for path in supervised.home.iterdir()) == ["node.log", "notify", "redis", "up.lock"]


def test_a_full_disk_ends_nothing_and_what_happened_meanwhile_is_kept_when_there_is_room(
    disk: Path, until: Until
) -> None:
    supervised = Supervised(disk)
    with (disk / "ytray.log").open("w") as log:
        up = supervised.up(log=log)
    until(supervised.is_whole, 90)
    redis = supervised.processes()["redis"]
    with (disk / "rest").open("wb") as rest, suppress(OSError):
        rest.write(bytes(1 << 20))
    redis.signal(signal.SIGKILL)
    until(lambda: redis_server.process(disk) not in (None, redis), 90)
    until(lambda: redis_server.is_running(disk), 90)
    assert supervised.part("redis").restarts == 0
    assert up.poll() is None
    (disk / "rest").unlink()
    until(lambda: supervised.part("redis").restarts == 1, 90)
    up.terminate()
    assert up.wait(60) == 0


def test_what_is_stopped_is_ended_and_brought_back(supervised: Supervised, until: Until) -> None:
    up = supervised.up(HANG="1")
    until(supervised.is_whole, 90)
    before = supervised.processes()
    for name in ("redis", "raylet"):
        before[name].signal(signal.SIGSTOP)
        until(lambda name=name: supervised.part(name).restarts == 1, 90)
        assert "was stopped by a signal for" in supervised.part(name).last_end
        until(supervised.is_whole, 90)
    assert not any(process.is_alive() for process in before.values())
    up.terminate()
    assert up.wait(60) == 0


def test_who_answers_no_more_is_told_from_who_cannot(
    bare_store: Store, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ytray.supervision.mirror._AGAIN", 0.05)
    monkeypatch.setattr("ytray.supervision.mirror._ANSWER_WITHIN", 0.2)
    mirror = Mirror(bare_store.redis_url, bare_store.namespace)

    def silent() -> set[str]:
        return {name for name in ("redis", "job_tracker", "haproxy") if mirror.silent_for(name) > 0.3}

    written = bare_store.key("parts")
    mirror.show([Part("raylet", "up", 0, 0.0, "")], Counter())
    until(lambda: bare_store.redis.delete(written))
    until(lambda: bare_store.redis.exists(written))
    assert silent() == set()  # no tracker has ever been there
    bare_store.redis.set(bare_store.key("at_work"), "tracker")
    until(lambda: bare_store.redis.delete(written))
    until(lambda: bare_store.redis.delete(written))
    bare_store.redis.delete(bare_store.key("at_work"))
    until(lambda: silent() == {"job_tracker"})
    redis = psutil.Process(bare_store.redis.info("server")["process_id"])
    redis.suspend()
    try:
        until(lambda: silent() == {"redis"})
    finally:
        redis.resume()
    until(lambda: silent() == {"job_tracker"})
    mirror.forget("job_tracker")
    assert silent() == set()


def test_what_dies_again_and_again_makes_it_exit_with_a_sentence(supervised: Supervised, until: Until) -> None:
    up = supervised.up()
    until(supervised.is_whole, 90)
    supervised.processes()["raylet"].signal(signal.SIGKILL)
    until(lambda: supervised.is_whole() and supervised.part("raylet").restarts == 1, 90)
    supervised.processes()["raylet"].signal(signal.SIGKILL)
    told, _ = up.communicate(timeout=120)
    assert up.returncode == 1
    assert "raylet has died 2 times within 5 minutes, so the system is stopped; accepted jobs are kept" in told
    assert supervisor_of(supervised.home) is None
    assert redis_server.process(supervised.home) is None


@pytest.mark.parametrize(("node", "why"), [("fails", "the port is taken"), ("crashes", "this is the end")])
def test_a_node_that_does_not_come_up_at_all_ends_it_at_once_and_says_why(
    supervised: Supervised, node: str, why: str
) -> None:
    up = supervised.up(node)
    told, _ = up.communicate(timeout=120)
    assert up.returncode == 1
    assert why in told.splitlines()[-1]
    assert redis_server.process(supervised.home) is None


def test_the_next_one_cleans_up_after_a_killed_one_and_only_after_it(supervised: Supervised, until: Until) -> None:
    with ExitStack() as held:
        # Of another system, and of a shell that only knows the home.
        others = [
            held.enter_context(
                subprocess.Popen(["sleep", "1000"], env={**os.environ, **marked}, start_new_session=True)
            )
            for marked in ({"YTRAY_NODE": "another"}, {"YTRAY_HOME": str(supervised.home)})
        ]
        try:
            up = supervised.up()
            until(supervised.is_whole, 90)
            before = supervised.processes()
            up.kill()
            up.communicate()
            assert all(process.is_alive() for process in before.values())
            again = supervised.up()
            until(supervised.is_whole, 90)
            after = supervised.processes()
            assert after["redis"] == before.pop("redis")  # taken over as it is
            assert not any(process.is_alive() for process in before.values())
            second = supervised.up()
            told, _ = second.communicate(timeout=120)
            assert (second.returncode, f"running already (process {again.pid})" in told) == (1, True)
            again.kill()
            again.communicate()
            assert supervised.down() == "stopped"
            assert not any(process.is_alive() for process in after.values())
            assert supervised.down() == "nothing was running"
            assert [other.poll() for other in others] == [None, None]
        finally:
            for other in others:
                other.kill()


def test_a_pid_file_of_somebody_else_is_no_system_and_nobody_else_is_ended(
    supervised: Supervised, until: Until
) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 1000; :", "up"]) as other:
        try:
            for kept in (str(other.pid), f"{other.pid} 1@00000000 mark"):
                (supervised.home / "up.pid").write_text(kept)
                supervised.down()
                assert other.poll() is None
            (supervised.home / "up.pid").write_text(f"{other.pid} 1@00000000 mark")
            up = supervised.up()
            until(supervised.is_whole, 90)
            assert supervisor_of(supervised.home) is not None
            assert up.poll() is None
            assert supervised.down() == "stopped"
            up.communicate()
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("supervisor", ["lives", "killed"])
def test_in_a_container_whose_first_process_reaps_nobody_down_leaves_nothing(
    supervised: Supervised, supervisor: str
) -> None:
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "tests.supervision.no_init", supervisor],
        env=supervised.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "code": 0,
        "told": "stopped\n",
        "left": [],
        "files": ["node.log", "redis", "up.lock"],
    }


def test_however_many_start_the_redis_of_a_home_there_is_one(supervised: Supervised) -> None:
    with ThreadPoolExecutor(8) as at_once:
        started = [one for one in at_once.map(redis_server.launch, [supervised.home] * 8) if one is not None]
    (one,) = started
    there = redis_server.process(supervised.home)
    assert there is not None
    assert there.pid == one.pid
    psutil.Process(there.pid).suspend()
    try:
        assert redis_server.launch(supervised.home) is None  # also while it does not answer
    finally:
        psutil.Process(there.pid).resume()
    assert redis_server.stop(supervised.home)
    assert one.wait(60) == 0


def test_what_dies_again_is_started_later_and_later_until_it_was_well_for_a_while() -> None:
    picture = Picture(Patience(window=300, first_delay=1))
    delays = []
    for _ in range(4):
        picture.is_up("raylet")
        picture.died("raylet", "it was killed")
        delays.append(picture.delay("raylet"))
    assert delays == [0, 1, 2, 4]
    assert picture.lately("raylet") == 4
    brief = Picture(Patience(window=0, first_delay=1))
    for _ in range(4):
        brief.died("raylet", "it was killed")
        assert brief.delay("raylet") == 0
    picture.is_up("raylet")
    (part,) = picture.parts()
    assert (part.state, part.restarts, part.last_end) == ("up", 4, "it was killed")
    assert picture.new_restarts == {"raylet": 4}
