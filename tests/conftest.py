"""One real system for the whole session: a Redis of its own and a local Ray cluster, with clocks shrunk by settings."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import typer.rich_utils
import uvicorn

import ytray
from tests.small_pictures import smaller
from tests.vertex.server import VertexServer
from ytray.api.app import build
from ytray.engine.base.model import QUEUE_PRIORITIES, JobState
from ytray.engine.batch.batches import Batch
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store
from ytray.errors import InvalidBatchMove, InvalidTransition
from ytray.settings import Settings, settings
from ytray.studio.model import SIZES
from ytray.system import redis_server
from ytray.system.redis_address import opened

# Compiled modules are kept, also where the environment says otherwise: the tests start hundreds of processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SHRUNK = {
    "YTRAY_RETRY_DELAYS": "0.05,0.1",
    "YTRAY_LEASE_SECONDS": "3",
    "YTRAY_CANCEL_GRACE": "0.5",
    "YTRAY_BREAKER_THRESHOLD": "3",
    "YTRAY_BREAKER_TIMEOUT": "0.5",
    "YTRAY_SLOTS_DEFAULT": "3",
    "YTRAY_CLEANUP_CRON": "0 0 1 1 *",
    "YTRAY_VERTEX_PROJECT": "project-for-tests",
    "YTRAY_VERTEX_TOKEN": "token-for-tests",
    "YTRAY_VERTEX_POLL": "0.2",
    "YTRAY_MODEL_LIMITS": "one-at-a-time=at_once:1",
    "YTRAY_OPENAI_MODEL": "a-local-model",
    "YTRAY_OPENAI_API_KEY": "token-for-tests",
    "YTRAY_IMPORTS": "tests.small_pictures",
}

# Typer decides at its import whether a terminal is forced: for the whole process, and here for none.
typer.rich_utils.FORCE_TERMINAL = None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the session's Ray cluster: `make test` runs that in one process, and the rest beside it."""
    for item in items:
        if "system" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")


@pytest.fixture(scope="session")
def vertex_server() -> Iterator[VertexServer]:
    """A Vertex AI for the whole session; tests/vertex/ asks it."""
    with VertexServer() as server:
        yield server


@pytest.fixture(scope="session")
def home(vertex_server: VertexServer) -> Iterator[Path]:
    """A YTRAY_HOME of the session's own, with the shrunk clocks in the environment."""
    folder = Path(tempfile.mkdtemp(prefix="ytray-test-"))
    before = dict(os.environ)
    asked = {
        "YTRAY_VERTEX_BASE_URL": vertex_server.url,
        "YTRAY_OPENAI_BASE_URL": f"{vertex_server.url}/v1",
    }
    for name in [name for name in os.environ if name.startswith("YTRAY_")]:
        del os.environ[name]
    os.environ.update(SHRUNK, **asked, YTRAY_HOME=str(folder))
    settings.cache_clear()
    yield folder
    ytray.shutdown()  # what a test without `system` has started
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()
    shutil.rmtree(folder, ignore_errors=True)


_systems: list[Store] = []


@pytest.fixture(scope="session")
def system(home: Path) -> Iterator[Store]:
    """The running system; gives its store."""
    assert home.is_dir()
    ytray.connect()
    _systems.append(store())
    yield store()
    _systems.clear()
    ytray.shutdown()


@pytest.fixture(scope="module", autouse=True)
def no_module_leaves_work_to_the_next() -> Iterator[None]:
    """Cancel what a module's tests submitted and did not wait for: it would take the cores from the tests after it."""
    yield
    for where in _systems:
        for batch in where.redis.smembers(where.key("living")):
            assert isinstance(batch, bytes)
            with contextlib.suppress(InvalidBatchMove):
                Batch(batch.decode()).cancel("its tests are over")
        for queue in QUEUE_PRIORITIES:
            where.pause(queue, paused=False)
        for state in (state for state in JobState if not state.has_ended):
            left, _ = where.list_jobs(state=state, limit=10_000)
            for job in left:
                with contextlib.suppress(InvalidTransition):
                    job_tracker.cancel(job.job_id, "its tests are over")
        deadline = time.monotonic() + 60
        while any(job_tracker.counts()[state] for state in JobState if not state.has_ended):
            assert time.monotonic() < deadline, "cancelled jobs go on"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[..., str]]:
    """`serving(store, open_without_keys=…)` serves the API over a store, from this process, and returns its URL."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(where: Store, *, open_without_keys: bool) -> str:
        app = build(where, open_without_keys=open_without_keys)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for server, _ in servers:
        server.should_exit = True
    for _, thread in servers:
        thread.join(timeout=60)


@pytest.fixture(scope="session")
def api_url(system: Store, serving: Callable[..., str]) -> str:
    """The URL of the API over the running system; anybody may do everything."""
    return serving(system, open_without_keys=True)


@pytest.fixture
def until() -> Callable[[Callable[[], object], float], None]:
    """`until(condition, seconds)` waits for a condition, and fails when it does not come true in time."""

    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true within {seconds} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process makes small pictures, too, as the workers do."""
    for aspect, size in smaller().items():
        monkeypatch.setitem(SIZES, aspect, size)


class BareServer:
    """A Redis with nobody at work on it, emptied for each test. One that a test has stopped or changed is replaced."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._as_started: object = None

    def emptied(self) -> str:
        """Its URL; nothing is in it and nobody is connected."""
        if self._folder is not None:
            url = redis_server.url_of(self._folder)
            with contextlib.suppress(redis.RedisError), opened(url) as client:
                if _without_data(client) == self._as_started:
                    client.client_kill_filter(skipme=True)
                    client.flushall()
                    return url
            self.stop()
        self._folder = Path(tempfile.mkdtemp(prefix="ytray-test-"))
        url, _ = redis_server.ensure(self._folder)
        with opened(url) as client:
            self._as_started = _without_data(client)
        return url

    def stop(self) -> None:
        """Stop it, and forget what it had."""
        if self._folder is not None:
            redis_server.stop(self._folder)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _without_data(client: redis.Redis) -> object:
    return client.config_get("*"), client.acl_list(), client.info("server").get("run_id")


@pytest.fixture(scope="session")
def bare_server() -> Iterator[BareServer]:
    """A Redis for all tests of the moves themselves."""
    server = BareServer()
    yield server
    server.stop()


@pytest.fixture
def bare_store(bare_server: BareServer) -> Store:
    """An empty store with nobody at work on it: for the moves themselves."""
    return Store(bare_server.emptied(), "ytray")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of a quarter of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        told = f"no disk can be mounted here: {mounted.stderr.strip()}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(told)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def with_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`with_settings(name=value)` changes settings of this process for one test."""
    before = settings()

    def change(**chosen: Any) -> None:
        changed = Settings(**{**before.model_dump(exclude={"ray_address"}), **chosen})
        monkeypatch.setattr("ytray.settings._adopted", changed)
        settings.cache_clear()

    yield change
    monkeypatch.undo()
    settings.cache_clear()
