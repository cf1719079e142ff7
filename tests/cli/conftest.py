"""The API over the session's system, for commands that reach it from outside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from ytray.api.app import build
from ytray.engine.store import Store


@pytest.fixture(scope="session")
def api_url(system: Store) -> Iterator[str]:
    """Where it is served; anybody may do everything."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = build(system, open_without_keys=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
