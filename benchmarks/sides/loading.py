"""Loading an HTTP server from a process of its own, and telling the best of three runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_CONNECTIONS = 16
_SECONDS = 4
_LOAD = str(Path(__file__).with_name("http_load.py"))


def request(method: str, path: str, body: Any = None) -> bytes:
    """A whole HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    content = json.dumps(body)
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()


def load(port: int, whole: bytes, connections: int = _CONNECTIONS, seconds: float = _SECONDS) -> dict[str, float]:
    """{"rate", "p50_ms", "p99_ms", "errors"} of so many connections that repeat the request."""
    done = subprocess.run(
        [sys.executable, _LOAD, "127.0.0.1", str(port), str(connections), str(seconds)],
        input=whole,
        capture_output=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{found['errors']:.0f} answers were errors")
    return found


def best(port: int, whole: bytes) -> dict[str, float]:
    """The fastest of three runs, after one to warm up."""
    load(port, whole, seconds=1)
    return max((load(port, whole) for _ in range(3)), key=lambda found: found["rate"])
