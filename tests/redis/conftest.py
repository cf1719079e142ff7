"""Servers of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.redis.servers import Server


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """`server(options)` starts a Redis that the test has for itself."""
    started: list[Server] = []

    def start(**options: str) -> Server:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        started.append(Server({"appendonly": "yes", **named}))
        return started[-1].start()

    yield start
    for one in started:
        one.stop()
