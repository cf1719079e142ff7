"""A load generator for HTTP: keep-alive connections, each with one request at a time, as fast as it answers.

    python http_load.py HOST PORT CONNECTIONS SECONDS < request

The request is one whole HTTP/1.1 request as bytes. Prints {"rate", "p50_ms", "p99_ms", "errors"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


class Connection(asyncio.Protocol):
    """One connection that sends the request again as soon as its answer is complete."""

    def __init__(self, request: bytes, took: list[float], errors: list[int], ends: float) -> None:
        self._request = request
        self._took = took
        self._errors = errors
        self._ends = ends
        self._buffer = b""
        self._begun = 0.0
        self._transport: asyncio.Transport | None = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Read on; when the answer is complete, note how long it took and send the next one."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        start = head.lower().index(b"content-length:") + 15
        length = int(head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else len(head)])
        if len(body) < length:
            return
        now = time.perf_counter()
        self._took.append(now - self._begun)
        if head[9:10] != b"2":
            self._errors.append(int(head[9:12]))
        self._buffer = b""
        if now < self._ends:
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is closed, by us or by the server."""
        if time.perf_counter() < self._ends:
            self._errors.append(0)
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        self._begun = time.perf_counter()
        self._transport.write(self._request)


async def main(host: str, port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    """Load the server for so many seconds, and say how it did."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    errors: list[int] = []
    begun = time.perf_counter()
    made = [
        await loop.create_connection(lambda: Connection(request, took, errors, begun + seconds), host, port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    spent = time.perf_counter() - begun
    took.sort()
    return {
        "rate": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "errors": len(errors),
    }


if __name__ == "__main__":
    where, port, connections, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(main(where, int(port), int(connections), float(seconds), sys.stdin.buffer.read()))))
