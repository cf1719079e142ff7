"""A Redis with replicas and Sentinels loses its master, and no accepted job with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.redis.servers import Server, Watched, order
from ytray import SystemUnavailable, UnknownJob
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.errors import SettingsError
from ytray.system import redis_server
from ytray.system.redis_address import opened, shown, url_now

WHAT = Submission("a task of nobody", "default", "default", 4)


@pytest.fixture
def watched() -> Iterator[Watched]:
    found = Watched.start()
    yield found
    found.stop()


class Clients:
    """Threads that submit jobs one after the other, and finish those that they claim, for as long as they are let."""

    def __init__(self, url: str, number: int) -> None:
        self.accepted: list[str] = []
        self.errors: list[BaseException] = []
        self.longest = 0.0
        self._url, self._stopped = url, threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(n,)) for n in range(number)]
        for thread in self._threads:
            thread.start()

    def _submit(self, number: int) -> None:
        store, turn = Store(self._url, "ytray", 30.0), 0
        try:
            while not self._stopped.is_set():
                job_id, began = f"{number}-{turn}", time.monotonic()
                store.submit([(job_id, b"{}")], WHAT)
                self.accepted.append(job_id)
                self.longest = max(self.longest, time.monotonic() - began)
                turn += 1
        except BaseException as error:
            self.errors.append(error)
        finally:
            store.close()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=40)
        assert self.errors == []


def nothing_is_lost(store: Store, clients: Clients) -> None:
    states = store.states(clients.accepted)
    assert states.count(None) == 0, f"{states.count(None)} of {len(states)} accepted jobs are lost"
    assert store.redis.zcard(store.key("ready:default")) == len(set(clients.accepted)) == len(clients.accepted)
    assert all(len(store.history(job_id)) == 1 for job_id in clients.accepted), "a job was made twice"


def after(clients: Clients, number: int) -> Callable[[], bool]:
    reached = len(clients.accepted) + number
    return lambda: len(clients.accepted) >= reached or bool(clients.errors)


def test_no_accepted_job_is_lost_when_the_master_is_killed(
    watched: Watched, with_settings: Callable[..., None], until: Callable[..., None]
) -> None:
    with_settings(redis_replicas=1)
    store = Store(watched.url, "ytray", 30.0)
    clients = Clients(watched.url, 3)
    until(after(clients, 200))
    watched.servers[0].send(signal.SIGKILL)
    until(after(clients, 500), 30)
    clients.stop()
    assert str(watched.servers[0].port) not in url_now(watched.url)
    nothing_is_lost(store, clients)
    assert clients.longest < 15


def test_a_master_that_was_cut_off_and_comes_back_takes_no_job_with_it(
    watched: Watched, with_settings: Callable[..., None], until: Callable[..., None]
) -> None:
    with_settings(redis_replicas=1)
    store = Store(watched.url, "ytray", 30.0)
    clients = Clients(watched.url, 3)
    until(after(clients, 200))
    store.take_office("tracker", "an epoch", 60)
    ((claimed,),) = store.claim("tracker", "an epoch", 60_000, [LaneRoom("default", 0, 1)])
    job = (claimed.job_id, claimed.fence)
    store.start("a worker", 60_000, 60, [job])
    old = watched.servers[0]
    old.send(signal.SIGSTOP)
    until(after(clients, 300), 30)
    old.send(signal.SIGCONT)
    until(after(clients, 300), 30)
    clients.stop()
    assert store.complete("a worker", 60, [(*job, b"1", 1.0)]) == 0, "the lease is not known to the new master"
    clients.accepted.remove(claimed.job_id)
    nothing_is_lost(store, clients)


def test_nothing_is_accepted_that_too_few_replicas_have(
    server: Callable[..., Server], with_settings: Callable[..., None]
) -> None:
    with_settings(redis_replicas=1)
    alone = server()
    store = Store(alone.url, "ytray", patience=0.2)
    with pytest.raises(SystemUnavailable, match=r"only 0 of 1 replicas.*YTRAY_REDIS_REPLICAS"):
        store.submit([("j", b"{}")], WHAT)


def test_a_repeat_is_not_accepted_either_before_a_replica_has_what_it_found(
    server: Callable[..., Server], with_settings: Callable[..., None], until: Callable[..., None]
) -> None:
    """The repeat writes nothing, and comes over another connection than what it finds."""
    with_settings(redis_replicas=1)
    master = server()
    replica = server(replicaof=f"127.0.0.1 {master.port}")
    client = master.client()
    until(lambda: client.info("replication").get("slave0", {}).get("state") == "online")
    replica.send(signal.SIGSTOP)
    first, again = (Store(master.url, "ytray", patience=0.1) for _ in range(2))
    for store in (first, again):
        with pytest.raises(SystemUnavailable, match="only 0 of 1 replicas"):
            store.submit([("j", b"{}")], WHAT)
    with pytest.raises(SystemUnavailable, match="only 0 of 1 replicas"):
        again.secure()
    replica.send(signal.SIGCONT)
    until(lambda: client.set("a write to wait for", 1) and client.wait(1, 500) == 1)
    assert again.submit([("j", b"{}")], WHAT) == ["j"]
    again.secure()
    assert len(Store(replica.url, "ytray").history("j")) == 1


def test_a_server_that_became_a_replica_is_left_for_another(server: Callable[..., Server]) -> None:
    """As where a managed Redis fails over behind a name: the same address leads elsewhere after a reconnection."""
    one, other = server(), server()
    store = Store(one.url, "ytray", patience=10.0)
    store.submit([("before", b"{}")], WHAT)
    one.client().replicaof("127.0.0.1", str(other.port))
    back = threading.Timer(0.3, lambda: one.client().replicaof("NO", "ONE"))
    back.start()
    store.submit([("after", b"{}")], WHAT)
    back.join()
    assert store.state("after") == "QUEUED"


def test_a_refusal_is_not_mistaken_for_a_lost_master_because_of_a_jobs_id(server: Callable[..., Server]) -> None:
    store = Store(server().url, "ytray", patience=0)
    for word in ("READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED"):
        with pytest.raises(UnknownJob, match=word):
            store.cancel(word, "", 60)


@pytest.mark.parametrize(
    "told",
    [
        "READONLY You can't write against a read only replica. script: 86518cec, on @user_script:1.",
        "NOREPLICAS Not enough good replicas to write.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "ERR WAIT cannot be used with replica instances.",
        # as Redis 6.2 wraps them
        "ERR Error running script (call to f_86518cec): @user_script:1: @user_script: 1: -READONLY You can't write",
        "ERR Error running script (call to f_86518cec): @user_script:1: @user_script: 1: -NOREPLICAS Not enough good",
    ],
)
def test_what_a_lost_master_says_breaks_its_connection(server: Callable[..., Server], told: str) -> None:
    refused = pytest.raises(redis.ConnectionError, match="takes no writes now")
    with opened(server().url, retry=Retry(NoBackoff(), 0)) as client, refused:
        order(client, "EVAL", "return redis.error_reply(ARGV[1])", 0, told)


def test_a_url_of_sentinels_that_cannot_work_says_why() -> None:
    with pytest.raises(SettingsError, match=r"\?master=NAME") as told:
        redis_server.check("redis+sentinel://u:s3cret@127.0.0.1:1/0")
    assert "s3cret" not in str(told.value)
    with pytest.raises(SystemUnavailable, match=r"127.0.0.1:1 name no master 'ours'") as away:
        redis_server.check("redis+sentinel://u:s3cret@127.0.0.1:1/0?master=ours")
    assert "s3cret" not in str(away.value)
    with pytest.raises(SettingsError, match="cannot be read") as wrong:
        redis_server.check("redis://u:s3/cret@127.0.0.1:1/0")
    assert "s3" not in str(wrong.value)


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("redis://10.0.0.1:6379/0", "redis://10.0.0.1:6379/0"),
        ("rediss://u:SECRET@host:6379/0?ssl_ca_certs=/a/SECRET.pem", "rediss://***@host:6379/0"),
        ("redis://u:SEC%40RET%2F%3F@[::1]:6379", "redis://***@[::1]:6379"),
        ("redis://u:SEC@RET/x@host/0", "redis://***@host/0"),
        ("redis://u:1234?SECRET@host/0", "redis://***"),
        ("redis://u:SEC/RET", "redis://***"),
        ("redis+sentinel://u:SEC/RET@s1:1,s2:2/0?master=m", "redis+sentinel://***@s1:1,s2:2/0"),
        ("redis+sentinel://s1:1,s2/0?sentinel_password=ab%40SECRET&master=m", "redis+sentinel://s1:1,s2/0"),
        ("redis+sentinel://s1/0?sentinel_password=ab@SECRET", "redis+sentinel://***"),
        ("redis+sentinel://u:x@s1/0?sentinel_password=a/b?c@SECRET", "redis+sentinel://***"),
        ("unix://u:SECRET@/run/redis.sock?db=1", "unix://***@/run/redis.sock"),
        ("SECRET@host", "***"),
    ],
)
def test_a_printed_url_has_no_password_wherever_it_stands(url: str, printed: str) -> None:
    assert shown(url) == printed


@pytest.mark.chaos
def test_a_whole_system_goes_on_with_the_new_master(watched: Watched, tmp_path: Path) -> None:
    master = watched.servers[0].process
    assert master is not None
    shrunk = {"YTRAY_HOME": str(tmp_path), "YTRAY_REDIS_URL": watched.url, "YTRAY_REDIS_REPLICAS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.redis.failing_system", str(master.pid)],
        env={**os.environ, **shrunk, "YTRAY_LEASE_SECONDS": "5"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    print(told)
    assert told.pop("seconds") < 15
    assert told == {"right": True, "flows": [f"F{n}!" for n in range(5)], "batch": 300, "twice": 0, "lost": 0}
