"""The Ray cluster: the one of RAY_ADDRESS, the one that a running ytray recorded, or a local one started here."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import structlog

from ytray.errors import SystemUnavailable
from ytray.settings import QUEUES, settings
from ytray.system.identity import Identity, identity, myself
from ytray.system.kept import drop, keep
from ytray.system.private import keep_ray_token, private_folder

_OBJECT_STORE_BYTES = 256 * 1024 * 1024  # jobs pass files by path or URI, not through Ray's object store
_SPARE_WORKERS = 4  # idle worker processes kept warm beside one for each slot

_RAYS_OWN = (
    ("ray._private.worker", "global_worker"),
    ("ray._private.worker", "_global_node"),
    ("ray._private.state", "state"),
    ("ray.experimental.internal_kv", "global_gcs_client"),
)

_AGENT_PORT = 52365  # Ray's usual one of the agent that takes `ray job submit`; a container's health check asks there

# Ray puts its sockets into SESSION/sockets, SESSION being session_ with the time and the number of a process.
_SOCKETS = len("ray/session_2026-12-01_10-57-38_163076_1234567/sockets/plasma_store")
_SESSIONS_KEPT = 4  # of the local Ray, with their logs

_TOKEN_PATIENCE = 30.0  # seconds

_log = structlog.get_logger("ytray.system")


def ensure(home: Path, *, dashboard: bool) -> tuple[str, bool]:
    """The address of the cluster, joined by this process, and whether this call started it."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not settings().ray_address:
        # Under `uv run` Ray would pack the working folder and build each worker an environment: they share ours.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray

    # It would tell of Ray's tokens in every command's output; docs/operations.md does.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    try:
        running = _meant_by_the_driver(home) or settings().ray_address or recorded(home)
        if running is not None and not settings().ray_address:
            _show_the_token(home)
        if ray.is_initialized() or running is not None:
            joins = not ray.is_initialized()
            if joins:
                _init(ray, address=running)
            try:
                _check_it_is_of(home)
                if settings().ray_address or not joins:
                    _check_it_asks_for_a_token()
            except SystemUnavailable:
                if joins:
                    ray.shutdown()
                raise
            _warn_of_missing_queues()
            return _address(), False
        url = _start(ray, private_folder(home, "run", room=_SOCKETS) / "ray", dashboard=dashboard)
        _record(home, _address(), url)
        return _address(), True
    except SystemUnavailable:
        raise
    except Exception as failed:  # Ray raises a bare Exception when its node does not come up in time
        reason = str(failed).strip().splitlines()[0] if str(failed).strip() else type(failed).__name__
        if settings().ray_address:
            hint = "check RAY_ADDRESS, and RAY_AUTH_MODE if the cluster uses tokens"
        else:
            hint = "`ytray doctor` tells more"
        raise SystemUnavailable(f"the Ray cluster cannot be joined or started: {reason}; {hint}") from failed


def leave(home: Path) -> None:
    """Have nothing to do with Ray any more, also where it is dead; ends what this process started of it."""
    import ray

    if owner(home) == myself():
        forget(home)
    ray.shutdown()


def own_processes() -> dict[str, Identity]:
    """The processes of the cluster that this process started, without which Ray does nothing."""
    from ray._private import worker

    node: Any = worker._global_node
    started = {f"the {kind} of the local Ray": node.all_processes.get(kind, []) for kind in ("gcs_server", "raylet")}
    return {
        name: known
        for name, infos in started.items()
        for info in infos
        if (known := identity(info.process.pid)) is not None
    }


def forget(home: Path) -> None:
    """The cluster that is recorded for that home runs no more."""
    drop(_record_path(home))


def leave_to_parent() -> None:
    """In a forked child: leave Ray's connections alone, whose threads there are only in the parent."""
    joined = sys.modules.get("ray._private.worker")
    if joined is None:
        return
    atexit.unregister(joined.shutdown)
    # Ray's library has a last word in C, too, in which it waits for its threads: it is skipped. Nothing of Python's is.
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)
    # Taken apart at the end of the process they would wait for those threads, crash, or say goodbye on the parent's
    # connections: so one more reference keeps each, and all that it holds.
    for module, name in _RAYS_OWN:
        held = getattr(sys.modules.get(module), name, None)
        if held is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def _check_it_asks_for_a_token() -> None:
    """Raises SystemUnavailable when others can reach the cluster that was joined, and it asks for no token."""
    address = _address()
    if settings().ray_without_token or is_on_loopback(address) or asks_for_a_token(address):
        return
    raise SystemUnavailable(
        f"the Ray cluster {address} asks for no token: whoever reaches it runs code on all of its nodes. Make one with "
        "`ray get-auth-token --generate`, copy ~/.ray/auth_token to all nodes and start Ray there again; or set "
        "YTRAY_RAY_WITHOUT_TOKEN=true where nobody else reaches the nodes"
    )


def is_on_loopback(address: str) -> bool:
    """Whether only this machine reaches the cluster of that address."""
    return address.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1")


def asks_for_a_token(address: str) -> bool:
    """Whether the cluster refuses who shows no token; this process may show one that nobody asks for.

    Raises SystemUnavailable when it does not answer.
    """
    import grpc

    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
        try:
            ask(b"", timeout=_TOKEN_PATIENCE)
        except grpc.RpcError as refused:
            if refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise SystemUnavailable(f"the Ray cluster {address} does not answer; is its head alive?") from refused
            # One that wants TLS is not reached in this way.
            return refused.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
    return False


def _start(ray: Any, folder: Path, *, dashboard: bool) -> str:
    """Start a local cluster, which keeps its sockets and logs in that folder; returns its dashboard's URL, or ''.

    Ray opens that folder to everybody: it must be in one that is closed.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" and not settings().ray_without_token:
        raise SystemUnavailable(
            "RAY_AUTH_MODE would have the local Ray ask for no token, and other machines reach it: unset it, or set "
            "YTRAY_RAY_WITHOUT_TOKEN=true where nobody else reaches this machine"
        )
    keep_ray_token()
    _forget_old_sessions(folder)
    slots = {queue: settings().slots(queue) for queue in QUEUES}
    with contextlib.nullcontext() if dashboard and _is_free(_AGENT_PORT) else _agent_at_any_port():
        context = _init(
            ray,
            address="local",
            num_cpus=os.cpu_count(),
            resources={f"queue_{queue}": number for queue, number in slots.items()},
            include_dashboard=dashboard,
            _temp_dir=str(folder),
            object_store_memory=_OBJECT_STORE_BYTES,
            _system_config={
                # A worker process takes about a second to start: keep them, and start none that no slot can use.
                "num_workers_soft_limit": sum(slots.values()) + _SPARE_WORKERS,
                "enable_worker_prestart": False,
            },
        )
    return f"http://{context.dashboard_url}" if context.dashboard_url else ""


def _forget_old_sessions(folder: Path) -> None:
    sessions = sorted(path for path in folder.glob("session_2*") if path.is_dir())
    for session in sessions[: -_SESSIONS_KEPT + 1]:
        shutil.rmtree(session, ignore_errors=True)


def _init(ray: Any, **arguments: Any) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    loud = settings().log_level == "DEBUG"
    return ray.init(
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


def _record(home: Path, address: str, dashboard: str) -> None:
    me = psutil.Process()
    auth = os.environ.get("RAY_AUTH_MODE", "disabled")  # Ray sets it for a local cluster: token, unless told otherwise
    record = {
        "ray_address": address,
        "dashboard": dashboard,
        "pid": me.pid,
        "started": me.create_time(),  # read by versions before `start`, and moved by who sets the clock
        "start": myself().started,
        "ray_auth_mode": auth,
    }
    keep(_record_path(home), json.dumps(record).encode())


def recorded(home: Path, what: str = "ray_address") -> str | None:
    """The address (or `what` else) of the cluster that a process of this home started.

    None when that process has ended: its cluster died with it.
    """
    try:
        record = json.loads(_record_path(home).read_text())
        return str(record[what]) if _owner(record) is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def owner(home: Path) -> Identity | None:
    """The process that started the cluster of that home, if it runs: its cluster ends with it."""
    try:
        return _owner(json.loads(_record_path(home).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _owner(record: dict[str, Any]) -> Identity | None:
    found = identity(int(record["pid"]))
    if found is None:
        return None
    if "start" in record:
        return found if found.started == record["start"] else None
    with contextlib.suppress(psutil.Error):  # of a version that kept no more than the time
        if abs(psutil.Process(found.pid).create_time() - record["started"]) < 1:
            return found
    return None


def _show_the_token(home: Path) -> None:
    """Join with a token if the recorded cluster asks for one: Ray decides that from the environment of each process."""
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    if recorded(home, "ray_auth_mode") == "token":
        # Setting the variable is not enough where `import ray` came before: Ray has read it by then.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _agent_at_any_port() -> Iterator[None]:
    """Have the agent of the cluster that is started here listen where there is room: `ray.init` has no argument for it.

    At Ray's usual port it would go without `ray job submit` beside another cluster, or leave that one without.
    """
    from ray._private.parameter import RayParams

    usual = RayParams.__init__
    made: Any = functools.partialmethod(usual, dashboard_agent_listen_port=0)
    RayParams.__init__ = made  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayParams.__init__ = usual  # type: ignore[method-assign]


def _meant_by_the_driver(home: Path) -> str | None:
    """In a driver of `ray job submit`, the cluster of this home, if Redis is its own, too.

    Ray gives such a driver a RAY_ADDRESS by a guess: of the cluster that was started last on this machine.
    """
    if settings().redis_url is not None or "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        return None
    return recorded(home)


def _check_it_is_of(home: Path) -> None:
    """Raises SystemUnavailable when Redis would be this home's own, and Ray another cluster than this home's."""
    own, joined = recorded(home), _address()
    if settings().redis_url is not None or own is None or own.rpartition(":")[2] == joined.rpartition(":")[2]:
        return
    raise SystemUnavailable(
        f"this process would join the Ray cluster at {joined}, but the system of YTRAY_HOME {home} runs on the one at "
        f"{own}, and jobs of one Redis are run by one cluster: unset RAY_ADDRESS (and leave out ray.init), or set "
        "YTRAY_HOME to that of the system that is meant"
    )


def _warn_of_missing_queues() -> None:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for queue in QUEUES:
        if not resources.get(f"queue_{queue}"):
            _log.warning(f"no node of the Ray cluster offers queue_{queue}: jobs of that queue wait until one does")
