"""The API as a Ray Serve deployment: how it starts, where it listens, and what its replicas need to know."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import ray
from ray import serve

from ytray.api.app import build
from ytray.api.keys import KeyRing
from ytray.engine.control.joining import ensure_running
from ytray.engine.run.setup import pack_setup, unpack_setup
from ytray.engine.state import signing
from ytray.engine.state.connection import adopt_store, store
from ytray.errors import SystemUnavailable
from ytray.settings import settings
from ytray.system import ray_cluster, redis_server

_NAME = "ytray"  # of the Serve application; with a hyphen and the namespace, where that is another
_PATIENCE = 10.0  # seconds that a request waits for a Redis that restarts, before it is refused with 503
_CONCURRENCY = 5_000  # requests at once in a replica; event streams count
_DRAIN = 10.0  # seconds that a stopping replica has to finish its requests; event streams resume elsewhere
_CHECKS = 2.0  # seconds between two looks at a replica: by them Serve notices that one has died
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@serve.deployment(
    name="api",
    max_ongoing_requests=_CONCURRENCY,
    graceful_shutdown_timeout_s=_DRAIN,
    graceful_shutdown_wait_loop_s=0.5,
    health_check_period_s=_CHECKS,
    ray_actor_options={"num_cpus": 0},
)
@serve.ingress()
class Api:
    """One replica. It keeps nothing of its own: `setup` (of `pack_setup`) says where the system is."""

    def __init__(self, setup: bytes, ray_dashboard: str | None) -> None:
        self._setup = setup
        self._dashboard = ray_dashboard

    def __serve_build_asgi_app__(self) -> Any:  # Serve's name for it
        """The ASGI application. Raises SystemUnavailable where it would be open to strangers."""
        where = unpack_setup(self._setup, _PATIENCE)
        adopt_store(where)
        host = _listening_host()
        if host not in _LOOPBACK and not KeyRing(where).exists():
            raise SystemUnavailable(
                f"the API would listen on {host}, where others reach it, and there is no API key: make one with "
                "`ytray keys create NAME`, set YTRAY_API_KEYS, or listen on 127.0.0.1"
            )
        return build(where, open_without_keys=host in _LOOPBACK, ray_dashboard=self._dashboard)


def application(_: dict[str, str] | None = None) -> serve.Application:
    """The Serve application over the running system, which is joined (or started) by this call.

    Serve calls it with the `args` of a config file; it takes none. Raises SystemUnavailable.
    """
    in_a_ray_task = ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE
    if in_a_ray_task and settings().redis_url is None and not redis_server.is_running(settings().home):
        # What such a short-lived process starts would end with it.
        raise SystemUnavailable(
            "`serve deploy` needs a running system: start it with `ytray up`, or set YTRAY_REDIS_URL for the cluster"
        )
    ensure_running()
    setup = pack_setup(store().redis_url, settings(), signing.secret())
    dashboard = ray_cluster.recorded(settings().home, "dashboard")
    deployment: Any = Api
    bound: serve.Application = deployment.options(num_replicas=settings().http_replicas).bind(setup, dashboard)
    return bound


def start(*, again: bool = False) -> str:
    """Serve the API and the console where YTRAY_HTTP_HOST and YTRAY_HTTP_PORT say; returns their URL.

    `again` is for who follows a driver that has died: on a cluster that was joined, Serve still serves there.

    Raises SystemUnavailable, in one sentence, when the port is taken, strangers could come in, or the cluster serves
    the API of another system.
    """
    _refuse_to_replace_another()
    host, port = settings().http_host, settings().http_port
    if host not in _LOOPBACK and not KeyRing(store()).exists():
        raise SystemUnavailable(
            f"YTRAY_HTTP_HOST is {host}, where others reach the API, and there is no API key: make one with "
            "`ytray keys create NAME`, or set YTRAY_API_KEYS"
        )
    if not (again and _name() in serve.status().applications):
        _refuse_a_taken_port(host, port)
    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    serve.start(http_options={"host": host, "port": port}, logging_config={"log_level": "WARNING"})
    serve.run(application(), name=_name(), route_prefix="/")
    shown = f"[{host}]" if ":" in host else host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else shown}:{port}"


def stop() -> None:
    """Stop serving; requests that are being answered are finished."""
    stop_serving: Callable[[], None] = serve.shutdown
    stop_serving()


def _name() -> str:
    return _NAME if settings().namespace == _NAME else f"{_NAME}-{settings().namespace}"


def _refuse_to_replace_another() -> None:
    for other in serve.status().applications:
        if other != _name() and (other == _NAME or other.startswith(f"{_NAME}-")):
            raise SystemUnavailable(
                f"this Ray cluster serves the API of another system already (Serve application {other!r}); one cluster "
                "serves one: start this system without an API by `ytray.connect()`, or on a cluster of its own"
            )


def _refuse_a_taken_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as taken:
            raise SystemUnavailable(
                f"port {port} of {host} cannot be used: {taken.strerror}; set YTRAY_HTTP_PORT to another"
            ) from None


def _listening_host() -> str:
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client()
    return str(client.http_config.host)
