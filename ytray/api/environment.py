"""What Ray Serve wants set before it is imported for the first time."""

from __future__ import annotations

import json
import os
from http import HTTPStatus

# Serve reads these when it is imported, in every process of it: they must be set before Ray starts.
_PROXY_CHECKS = "1"  # seconds between two looks at the proxies; the third that fails has one replaced
SERVE_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",  # four times the requests a second of Serve's own proxy
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # seconds; HAProxy turns elsewhere at once
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": _PROXY_CHECKS,  # with Serve's 10 a dead HAProxy is back after 28 s
}

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


def prepare_environment() -> None:
    """Choose Serve's fast ingress for the Ray cluster that this process is about to start."""
    for name, value in SERVE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # HAProxy answers itself where no replica does, and Serve has it say a bare "Internal Server Error". Serve has no
    # setting for that text; but this one it writes into HAProxy's defaults as it is, behind its own answers, and the
    # last ones count. 502 and 504 stay apart from 503: only after that is a request safe to be sent again.
    os.environ.setdefault("RAY_SERVE_HAPROXY_BALANCE_ALGORITHM", "\n".join(["leastconn", *_own_answers()]))


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
