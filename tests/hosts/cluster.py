"""A Ray cluster over several hosts, and the Redis and the object store that they share. Nothing else is shared."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from tests.artifacts.s3 import s3_server
from tests.hosts.host import Cable, Host, Lan, die_with_parent
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.state.store import Store
from ytray.system import redis_server

LEASE = 3  # seconds
ALL = dict.fromkeys(QUEUE_PRIORITIES, 2)

_RAY_PORT, _REDIS_PORT = 6380, 6379
# Ray calls a silent node dead after two to six seconds, when three looks have failed. A busy machine may take its time.
DETECTION = {"RAY_health_check_initial_delay_ms": "500", "RAY_health_check_period_ms": "500"}
DETECTION |= {"RAY_health_check_timeout_ms": "1500", "RAY_health_check_failure_threshold": "3"}


class Machines:
    """The hosts of one cluster. `store` is the state of the system that runs on it, as this process sees it."""

    def __init__(self, lan: Lan, redis_url: str, environment: Mapping[str, str]) -> None:
        self.lan = lan
        self.store = Store(redis_url, "ytray")
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(24),
            "RAY_REDIS_ADDRESS": redis_url.rpartition("@")[2].partition("/")[0],
            "YTRAY_REDIS_URL": redis_url,
            "YTRAY_LEASE_SECONDS": str(LEASE),
            "YTRAY_RETRY_DELAYS": "0.1,0.2",
            "YTRAY_CANCEL_GRACE": "0.5",
            **environment,
            **DETECTION,
        }
        self._password = redis_url.partition("//:")[2].partition("@")[0]
        self.workers: dict[str, Host] = {}

    def start_head(self) -> None:
        """A host that keeps the cluster together and runs no jobs."""
        self.head = self.host("head")
        self.environment["RAY_ADDRESS"] = f"{self.head.ip}:{_RAY_PORT}"
        self._start_head()

    def restart_head(self, **environment: str) -> None:
        """The head was killed, and comes back."""
        self.head = self.lan.restart(self.head)
        self.head.environment |= environment
        self._start_head()

    def _start_head(self) -> None:
        self.head.environment["RAY_ADDRESS"] = self.environment["RAY_ADDRESS"]
        self._ray(self.head, "--head", f"--port={_RAY_PORT}", "--num-cpus=0", f"--redis-password={self._password}",
                  f"--dashboard-host={self.head.ip}")  # fmt: skip

    def add(self, name: str, slots: Mapping[str, int] = ALL, host: Host | None = None) -> Host:
        """A host that serves queues."""
        host = host or self.host(name)
        offered = json.dumps({f"queue_{queue}": number for queue, number in slots.items()})
        self._ray(host, f"--address={self.environment['RAY_ADDRESS']}", "--num-cpus=2", f"--resources={offered}")
        self.workers[name] = host
        return host

    def add_all(self, **slots: Mapping[str, int]) -> None:
        """Several at once."""
        hosts = {name: self.host(name) for name in slots}  # by this thread: a host ends with the thread that made it
        with ThreadPoolExecutor() as together:
            list(together.map(lambda name: self.add(name, slots[name], hosts[name]), slots))

    def host(self, name: str, cable: Cable | None = None) -> Host:
        """A host that is not in the cluster, with the settings of those that are."""
        return self.lan.host(name, self.environment, cable)

    def connect(self) -> None:
        """Start the system on the cluster, as its first user does."""
        self.head.run("python", "-c", "import ytray; ytray.connect()")

    def _ray(self, host: Host, *arguments: str) -> None:
        host.run("ray", "start", f"--node-ip-address={host.ip}", "--object-store-memory=100000000",
                 "--disable-usage-stats", *arguments)  # fmt: skip

    def where(self, job_id: str) -> str:
        """The name of the host that a job runs on, '' when none has taken it up."""
        (worker,) = self.store.fields(job_id, "worker")
        told = (worker or b"").decode()
        return next((name for name in self.workers if f":{name}:" in f":{told}"), "")

    def fetched(self, uri: str) -> Path:
        """A copy of an artifact, which the head has fetched."""
        code = "import pathlib, sys; from ytray.artifacts import ArtifactStore; "
        code += "print(ArtifactStore().fetch(sys.argv[1], pathlib.Path('.')).resolve())"
        return self.head.seen_here(Path(self.head.run("python", "-c", code, uri).strip()))


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    """A network with a Redis and an object store on it, and as yet no hosts; all of it ends with the block."""
    with contextlib.ExitStack() as held:
        lan = Lan()
        held.callback(lan.close)
        password = secrets.token_hex(8)
        url = f"redis://:{password}@{lan.address}:{_REDIS_PORT}/0"
        held.enter_context(_redis(lan, password, url))
        s3 = held.enter_context(s3_server(lan.address, 9000))
        yield Machines(lan, url, {**s3.environment, "YTRAY_ARTIFACTS": s3.artifacts})


@contextlib.contextmanager
def _redis(lan: Lan, password: str, url: str) -> Iterator[None]:
    binary, _ = redis_server.find_binary()
    folder = lan.folder / "redis"
    folder.mkdir()
    options = {"bind": lan.address, "port": str(_REDIS_PORT), "requirepass": password, "appendonly": "yes", "save": "",
               "dir": str(folder), "maxmemory-policy": "noeviction", "logfile": str(folder / "log")}  # fmt: skip
    command = [binary, *(part for name in options for part in (f"--{name}", options[name]))]
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        client = redis.Redis.from_url(url)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()
