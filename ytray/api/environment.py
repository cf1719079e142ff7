"""What Ray Serve wants set before it is imported for the first time."""

from __future__ import annotations

import os

# Serve reads these when it is imported, in every process of it: they must be set before Ray starts.
SERVE_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",  # four times the requests a second of Serve's own proxy
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # seconds; HAProxy turns elsewhere at once
}


def prepare_environment() -> None:
    """Choose Serve's fast ingress for the Ray cluster that this process is about to start."""
    for name, value in SERVE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
