"""A real HTTP server that misbehaves as a test wants, and both clients, driven alike."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvicorn
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ytray.client import AsyncClient, Client

Answer = Callable[["Seen"], Response | Awaitable[Response]]


@dataclass
class Seen:
    """A request as the server got it."""

    method: str
    path: str  # as it was sent, with its escapes
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers as `answer` says; `seen` lists what was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answer: Answer = lambda _: Response(status_code=500)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        request = Request(scope, receive)
        seen = Seen(
            scope["method"],
            scope["raw_path"].decode(),
            dict(request.query_params),
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        self.seen.append(seen)
        answer = self.answer(seen)
        await (await answer if inspect.isawaitable(answer) else answer)(scope, receive, send)

    def asked(self, end: str) -> list[Seen]:
        """The requests whose path ends so."""
        return [seen for seen in self.seen if seen.path.endswith(end)]


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    app = Server()
    listening = socket.create_server(("127.0.0.1", 0))
    app.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield app
    server.should_exit = True
    thread.join(60)


@pytest.fixture
def server(running: Server) -> Server:
    """The server, which has seen nothing yet."""
    running.seen.clear()
    running.answer = lambda _: Response(status_code=500)
    return running


class Driven:
    """An AsyncClient, used as if it were a Client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = AsyncClient(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._client)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return self._each(answer) if inspect.isasyncgen(answer) else self._loop.run_until_complete(answer)

        return call

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _each(self, generator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(generator))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(generator.aclose())


Connect = Callable[..., Client]


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest, server: Server) -> Iterator[Connect]:
    """`connect(…)` makes a client of the server; each test runs with both kinds."""
    made: list[Client] = []

    def client(*args: Any, **kwargs: Any) -> Client:
        kind = Client if request.param == "Client" else cast("type[Client]", Driven)
        made.append(kind(*(args or (server.url,)), **kwargs))
        return made[-1]

    yield client
    for one in made:
        one.close()


def json(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(to_json(value), status, given, media_type="application/json")


def problem(status: int, kind: str, detail: str, **more: Any) -> Response:
    """An answer that tells of an error."""
    told = {"type": f"https://ytray.dev/problems/{kind}" if kind else "about:blank", "detail": detail, **more}
    return Response(to_json(told), status, media_type="application/problem+json")


def status(job_id: str, state: str, **more: Any) -> dict[str, Any]:
    """A job's status as the API tells it."""
    return {
        "job_id": job_id,
        "task_name": "add",
        "queue": "default",
        "priority": 4,
        "current_state": state,
        "progress": 0.0,
        "progress_message": "",
        "created_at": "2026-11-23T22:17:40.722Z",
        "started_at": None,
        "completed_at": None,
        "error": None,
        "result": None,
        "retry_count": 0,
        "next_retry_at": None,
        "user_id": None,
        "metadata": {},
        "idempotency_key": None,
        "parent_id": None,
        "cost_usd": 0.0,
        **more,
    }
