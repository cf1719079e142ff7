"""Start Serve's HAProxy as `ytray up` does, and attack it. A process of its own, as Serve reads its switches on import.

It is started with Serve's own template, by the program that Serve is told to start.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tests.serve.haproxy_alone import free_port
from ytray.api.environment import prepare_environment

SWITCH = "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"


def connected(port: int) -> socket.socket:
    """A connection, once somebody listens there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except OSError:
            assert time.monotonic() < deadline, "HAProxy does not start"
            time.sleep(0.05)


def main() -> None:
    prepare_environment()
    assert "timeout http-request 15s" in os.environ[SWITCH]
    os.environ[SWITCH] = os.environ[SWITCH].replace("http-request 15s", "http-request 1s")
    from ray.serve._private import haproxy
    from ray.serve.config import HTTPOptions

    folder = Path(os.environ["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
    listening = free_port()
    config = haproxy.HAProxyConfig(
        http_options=HTTPOptions(host="0.0.0.0", port=listening), metrics_port=free_port(), stats_port=free_port()
    )
    api: Any = haproxy.HAProxyApi(cfg=config)
    server = haproxy.ServerConfig(name="replica", host="127.0.0.1", port=free_port())
    api.set_backend_configs({"api": haproxy.BackendConfig("api", "/", app_name="ytray", servers=[server])})
    api._generate_config_file_internal()
    program = haproxy.get_haproxy_binary()
    proxy = subprocess.Popen([program, "-db", "-f", api.config_file_path], stdout=sys.stderr, stderr=sys.stderr)
    try:
        half = connected(listening)
        half.sendall(b"GET /api/jobs HTTP/1.1\r\nHost: x\r\n")  # and the rest never
        assert half.recv(4096).startswith(b"HTTP/1.1 408"), "a half request is waited for"
        assert psutil.Process(proxy.pid).name() == "haproxy", "Serve and the doctor know it by its name"
        bound = {
            (at.laddr.ip, at.laddr.port) for at in psutil.Process(proxy.pid).net_connections() if at.status == "LISTEN"
        }
        assert bound == {("0.0.0.0", listening), ("127.0.0.1", config.metrics_port), ("127.0.0.1", config.stats_port)}
        assert Path(config.socket_path).stat().st_mode & 0o777 == 0o600
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        text = Path(api.config_file_path).read_text()
        most = re.search(r"maxconn (\d+)", text)
        assert most is not None
        assert int(most[1]) >= 500
        assert "option forwardfor header X-Ytray-Client" in text
    finally:
        proxy.kill()
        proxy.wait()


if __name__ == "__main__":
    main()
