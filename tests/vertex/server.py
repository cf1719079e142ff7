"""Vertex AI for tests: its wire protocol over real HTTP, with faults to order and a record of what it billed."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import uuid
from collections import defaultdict, deque
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from tests.vertex import wire
from tests.vertex.faults import (
    Blocked,
    Drop,
    Fault,
    Filtered,
    Finished,
    Hold,
    Kind,
    OperationError,
    Slow,
    Status,
    bills,
    kinds_of,
)
from tests.vertex.wire import Call, Json, Work

__all__ = ["Call", "VertexServer"]

_STOP_TIMEOUT = 10.0  # seconds


class VertexServer:
    """Vertex AI on 127.0.0.1, from `start` (or `with`) to `stop`; other processes reach it by `url`.

    It answers text, pictures, speech, videos, interactions, judgements and OpenAI-compatible chat as the service does,
    and an operation or an interaction ends after `polls_needed` polls. All is kept in memory and may be changed while
    it runs.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []  # every request received, in order
        self.bill: list[tuple[Kind, str]] = []  # (kind, model) of every request that is paid for, in order
        self.scenes = 5  # items of an array whose schema does not say
        self.polls_needed = 1  # polls that find a video unfinished
        self.speech_as: Literal["pcm", "wav"] = "pcm"
        self.video_as: Literal["inline", "gcs"] = "inline"
        self.unknown_models: set[str] = set()  # answered 404
        self.stopping = threading.Event()
        self._news = threading.Condition()  # guards all that follows, the calls and the bill; told of every request
        self._faults: defaultdict[Kind, deque[Fault]] = defaultdict(deque)
        self._works: dict[str, Work] = {}
        self._released = 0
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="vertex", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and refuse new ones; requests that wait are dropped."""
        self.stopping.set()
        with self._news:
            self._news.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._http.cut_all()
        self._thread.join(_STOP_TIMEOUT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def script(self, kind: Kind, *faults: Fault) -> None:
        """Let the next requests of this kind meet these faults, one each and in order, after those scripted before.

        Raises ValueError for a fault that requests of this kind cannot meet. A request refused for what it asks
        (401, 404, 400) uses up none.
        """
        for fault in faults:
            if kind not in kinds_of(fault):
                raise ValueError(f"a request of kind {kind!r} cannot meet {fault}")
        with self._news:
            self._faults[kind].extend(faults)

    def billed(self, kind: Kind | None = None) -> int:
        """How many requests (of this kind) are paid for."""
        with self._news:
            return sum(kind in (None, of) for of, _ in self.bill)

    def reset(self) -> None:
        """Forget every request, bill and fault, and answer as at first; requests that wait are let go."""
        self.release()
        with self._news:
            self.calls.clear()
            self.bill.clear()
            self._faults.clear()
            self.unknown_models.clear()
        self.scenes, self.polls_needed, self.speech_as, self.video_as = 5, 1, "pcm", "inline"

    def release(self) -> None:
        """Let go of the requests that `hold` keeps waiting now; later ones wait for the next release."""
        with self._news:
            self._released += 1
            self._news.notify_all()

    def wait_for(self, kind: Kind, number: int, seconds: float) -> None:
        """Return once `number` requests of this kind were received; AssertionError when `seconds` pass before."""

        def received() -> int:
            return sum(call.kind == kind for call in self.calls)

        with self._news:
            if not self._news.wait_for(lambda: received() >= number, seconds):
                raise AssertionError(f"{received()} instead of {number} requests of kind {kind!r} in {seconds} s")

    def admit(self, call: Call) -> tuple[Fault | None, int]:
        """Record a request and bill it; the fault that it meets, and how often `release` was called before."""
        with self._news:
            if call.name in self._works:
                call = replace(call, model=self._works[call.name].model)
            self.calls.append(call)
            fault: Fault | None = wire.refusal(call) or self._not_found(call)
            if fault is None and self._faults[call.kind]:
                fault = self._faults[call.kind].popleft()
            if bills(call.kind, fault):
                self.bill.append((call.kind, call.model))
            self._news.notify_all()
            return fault, self._released

    def held(self, released: int) -> None:
        """Wait for a release after the first `released` of them, or for the server's end."""
        with self._news:
            self._news.wait_for(lambda: self._released > released or self.stopping.is_set())

    def answer(self, call: Call, fault: Fault | None) -> tuple[int, Json]:
        """The HTTP status and the JSON that answer a request which meets this fault."""
        match fault:
            case Status():
                return fault.code, wire.error(fault)
            case Blocked():
                return 200, wire.blocked(call, fault.reason)
            case Finished():
                return 200, wire.finished(call, fault.reason)
            case _:
                return 200, self._made(call, fault if isinstance(fault, Filtered | OperationError) else None)

    def _not_found(self, call: Call) -> Status | None:
        if call.model in self.unknown_models:
            return Status(404, None, f"Publisher model {call.model!r} was not found, or you have no access to it.")
        if call.kind in ("poll", "interaction_poll", "interaction_cancel") and call.name not in self._works:
            return Status(404, None, f"{call.name!r} was not found.")
        return None

    def _made(self, call: Call, ending: Filtered | OperationError | None) -> Json:
        match call.kind:
            case "text":
                return wire.text(call, self.scenes)
            case "image":
                return wire.image(call)
            case "speech":
                return wire.speech(call, self.speech_as == "wav")
            case "judge":
                return wire.judged()
            case "chat":
                return wire.chatted(call, self.scenes)
            case "video" | "interaction":
                return self._begun(call, ending)
            case _:
                return self._looked_at(call)

    def _begun(self, call: Call, ending: Filtered | OperationError | None) -> Json:
        work = wire.work_of(call, ending)
        if call.kind == "interaction":
            name = f"v1_{uuid.uuid4().hex}"
            told = wire.interaction(name, work, not call.body.get("background"), self.video_as == "gcs")
        else:
            name = f"{call.name}/operations/{uuid.uuid4()}"
            told = {"name": name}
        with self._news:
            self._works[name] = work
        return told

    def _looked_at(self, call: Call) -> Json:
        with self._news:
            work = self._works[call.name]
            if call.kind == "interaction_cancel":
                work.cancelled = True
            else:
                work.polls += 1
            done, work = work.polls > self.polls_needed, replace(work)
        tell = wire.operation if call.kind == "poll" else wire.interaction
        return tell(call.name, work, done, self.video_as == "gcs")


class _Http(ThreadingHTTPServer):
    """Listens for a VertexServer; knows its open connections, so that it can end them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, vertex: VertexServer) -> None:
        self.vertex = vertex
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.vertex.stopping.is_set():
            super().handle_error(request, client_address)

    def cut_all(self) -> None:
        """End every open connection."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client, or a scripted reset, was first
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, lets it meet its fault, and answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits some 40 ms for the acknowledgement of its headers
    server: _Http

    def handle(self) -> None:
        # A client that gives up or dies closes its connection in the middle.
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_POST(self) -> None:
        vertex = self.server.vertex
        call = self._read()
        fault, released = vertex.admit(call)
        match fault:
            case Slow():
                vertex.stopping.wait(fault.seconds)
            case Hold():
                vertex.held(released)
        if vertex.stopping.is_set() or (isinstance(fault, Drop) and fault.at != "in_body"):
            self._cut(isinstance(fault, Drop) and fault.reset)
            return
        code, told = vertex.answer(call, fault)
        self._send(code, told, fault)

    do_GET = do_POST  # noqa: N815  # the base class's name

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read `calls`."""

    def _read(self) -> Call:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body: Json = json.loads(sent or b"{}")
        return wire.call_of(self.command, self.path, body, self.headers.get("Authorization", ""))

    def _send(self, code: int, told: Json, fault: Fault | None) -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        if isinstance(fault, Status) and fault.retry_after is not None:
            self.send_header("Retry-After", fault.retry_after)
        self.end_headers()
        if isinstance(fault, Drop):
            self.close_connection = True
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def _cut(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # Closed here, as the server's own way says goodbye first; with a linger of 0 s the kernel sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()  # which otherwise keeps the connection open
            self.connection.close()
