"""Run Serve's HAProxy as `ytray up` has it, over a replica that is not there and then over one that breaks off.

Its argument is a folder; it prints what HAProxy answered, as JSON. It is a process of its own, since Serve reads its
switches when it is imported.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from ytray.api.environment import prepare_environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def break_off(replica: socket.socket) -> None:
    """Be well when asked for that, and else hang up once the request is there."""
    while True:
        connection, _ = replica.accept()
        if b"GET /api" not in connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()


def answer(url: str, wanted: Callable[[httpx.Response], bool]) -> dict[str, Any]:
    """The first answer that is wanted."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            got = httpx.get(url)
        except httpx.TransportError:
            got = None  # it is starting
        if got is not None and wanted(got):
            return {"status": got.status_code, "headers": dict(got.headers), "body": got.text}
        time.sleep(0.05)
    raise TimeoutError(url)


def main(folder: Path) -> None:
    prepare_environment()
    from ray.serve._private import haproxy
    from ray.serve.config import HTTPOptions

    listening, behind = free_port(), free_port()
    config = haproxy.HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=listening),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        metrics_port=free_port(),
        stats_port=free_port(),
    )
    api: Any = haproxy.HAProxyApi(cfg=config, config_file_path=str(folder / "haproxy.cfg"))
    server = haproxy.ServerConfig(name="replica", host="127.0.0.1", port=behind)
    api.set_backend_configs({"api": haproxy.BackendConfig("api", "/", app_name="ytray", servers=[server])})
    api._generate_config_file_internal()
    proxy = subprocess.Popen(
        [haproxy.get_haproxy_binary(), "-db", "-f", folder / "haproxy.cfg"], stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        url = f"http://127.0.0.1:{listening}/api/queues"
        nobody = answer(url, lambda _: True)
        replica = socket.create_server(("127.0.0.1", behind))
        threading.Thread(target=break_off, args=(replica,), daemon=True).start()
        print(json.dumps([nobody, answer(url, lambda got: got.status_code != nobody["status"])]))
    finally:
        proxy.kill()
        proxy.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
