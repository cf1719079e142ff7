"""What is attacked: one Redis for all of these tests, and over it an API that asks for keys and one that does not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ytray.api.keys import KeyRing
from ytray.engine.state import connection
from ytray.engine.state.store import Store
from ytray.system import redis_server


@dataclass(frozen=True)
class Attacked:
    """An API, the store under it, and its keys as an operator makes them."""

    url: str
    store: Store
    ring: KeyRing

    def ask(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        """GET a path, with a key."""
        own = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{self.url}{path}", headers={**own, **headers}, timeout=30)


@pytest.fixture(scope="package")
def redis_url(home: Path) -> Iterator[str]:
    """A Redis of these tests' own, and a YTRAY_HOME."""
    assert home.is_dir()
    folder = Path(tempfile.mkdtemp(prefix="ytray-test-"))
    url, _ = redis_server.ensure(folder)
    yield url
    redis_server.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def shut(redis_url: str, serving: Callable[..., str]) -> Iterator[Attacked]:
    """An API that asks for keys. What is asked of "the system" in this process meanwhile is asked of its store."""
    where = Store(redis_url, "shut")
    before = connection._current
    connection._current = connection._Connection(where, has_ray=True)
    yield Attacked(serving(where, open_without_keys=False), where, KeyRing(where))
    connection._current = before


@pytest.fixture(scope="module")
def apart(redis_url: str, serving: Callable[..., str], request: pytest.FixtureRequest) -> Iterator[Attacked]:
    """The same for one module, where nobody else's jobs are."""
    where = Store(redis_url, request.module.__name__.rpartition(".")[2])
    before = connection._current
    connection._current = connection._Connection(where, has_ray=True)
    yield Attacked(serving(where, open_without_keys=False), where, KeyRing(where))
    connection._current = before


@pytest.fixture(scope="package")
def opened(redis_url: str, serving: Callable[..., str]) -> Attacked:
    """An API on loopback for which no key was made yet."""
    where = Store(redis_url, "opened")
    return Attacked(serving(where, open_without_keys=True), where, KeyRing(where))
