"""The Ray cluster: the one of RAY_ADDRESS, the one that a running ytray recorded, or a local one started here."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import psutil
import structlog

from ytray.errors import SystemUnavailable
from ytray.settings import QUEUES, settings

_OBJECT_STORE_BYTES = 256 * 1024 * 1024  # jobs pass files by path or URI, not through Ray's object store
_SPARE_WORKERS = 4  # idle worker processes kept warm beside one for each slot

_log = structlog.get_logger("ytray.system")


def ensure(home: Path, *, dashboard: bool) -> tuple[str, bool]:
    """The address of the cluster, joined by this process, and whether this call started it."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not settings().ray_address:
        # Under `uv run` Ray would pack the working folder and build each worker an environment: they share ours.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray

    try:
        running = settings().ray_address or recorded(home)
        if ray.is_initialized() or running is not None:
            if not ray.is_initialized():
                _init(ray, address=running)
            _warn_of_missing_queues()
            return _address(), False
        _start(ray, dashboard=dashboard)
        _record(home, _address())
        return _address(), True
    except (ConnectionError, RuntimeError, ValueError, OSError) as failed:
        reason = str(failed).strip().splitlines()[0] if str(failed).strip() else type(failed).__name__
        if settings().ray_address:
            hint = "check RAY_ADDRESS, and RAY_AUTH_MODE if the cluster uses tokens"
        else:
            hint = "`ytray doctor` tells more"
        raise SystemUnavailable(f"the Ray cluster cannot be joined or started: {reason}; {hint}") from failed


def stop(home: Path) -> None:
    """Stop the cluster that this process started."""
    import ray

    _record_path(home).unlink(missing_ok=True)
    ray.shutdown()


def _start(ray: Any, *, dashboard: bool) -> None:
    slots = {queue: settings().slots(queue) for queue in QUEUES}
    _init(
        ray,
        address="local",
        num_cpus=os.cpu_count(),
        resources={f"queue_{queue}": number for queue, number in slots.items()},
        include_dashboard=dashboard,
        object_store_memory=_OBJECT_STORE_BYTES,
        _system_config={
            # A worker process takes about a second to start: keep them, and start none that no slot can use.
            "num_workers_soft_limit": sum(slots.values()) + _SPARE_WORKERS,
            "enable_worker_prestart": False,
        },
    )


def _init(ray: Any, **arguments: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    loud = settings().log_level == "DEBUG"
    ray.init(
        namespace=settings().namespace,
        logging_level=logging.INFO if loud else logging.ERROR,
        log_to_driver=loud,
        configure_logging=loud,
        **arguments,
    )


def _address() -> str:
    import ray

    context: Any = ray.get_runtime_context()
    return str(context.gcs_address)


def _record_path(home: Path) -> Path:
    return home / "system.json"


def _record(home: Path, address: str) -> None:
    me = psutil.Process()
    record = {"ray_address": address, "pid": me.pid, "started": me.create_time()}
    path = _record_path(home)
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(record))
    beside.replace(path)


def recorded(home: Path) -> str | None:
    """The cluster that another process of this home started, if that process still lives: the cluster dies with it."""
    try:
        record = json.loads(_record_path(home).read_text())
        alive = psutil.Process(record["pid"]).create_time() == record["started"]
        return str(record["ray_address"]) if alive else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def _warn_of_missing_queues() -> None:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for queue in QUEUES:
        if not resources.get(f"queue_{queue}"):
            _log.warning(f"no node of the Ray cluster offers queue_{queue}: jobs of that queue wait until one does")
