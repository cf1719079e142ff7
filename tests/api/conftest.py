"""The API over the session's system, served by uvicorn in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn

from ytray.api.app import build
from ytray.engine.store import Store

Serve = Callable[[Store], str]


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[..., str]]:
    """`serving(store, open_without_keys=…)` serves the API over a store and returns its URL."""
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
        thread.join(timeout=10)


@pytest.fixture(scope="session")
def api_url(system: Store, serving: Callable[..., str]) -> str:
    """The URL of the API over the running system; anybody may do everything."""
    return serving(system, open_without_keys=True)


@pytest.fixture
def api(api_url: str) -> Iterator[httpx.Client]:
    """An HTTP client of it."""
    with httpx.Client(base_url=api_url, timeout=30) as client:
        yield client
