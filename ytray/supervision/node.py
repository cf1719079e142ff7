"""The process that is the driver of the local Ray and serves the API: started, watched and replaced by the supervisor.

It reports which processes its parts are, by Ray's own word, whenever one of them ends or comes, and starts again what
neither Ray nor Serve would.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import structlog

import ytray
from ytray.api.environment import prepare_environment
from ytray.engine.base.logs import configure
from ytray.errors import SystemUnavailable, YtrayError
from ytray.settings import settings
from ytray.supervision.report import Processes, Report, write_report
from ytray.system.identity import Identity, identity, myself
from ytray.system.ray_cluster import recorded

_WHOLE = 5.0  # seconds between looks at the parts while all are there; one that ends is noticed at once
_NOT_WHOLE = 0.3  # seconds while some are missing
_ANSWERS_WITHIN = 60.0  # seconds until the API must answer once it is deployed

# By the names of Ray's processes and actors; the actors of this system have their own.
_STARTED_BY_DRIVER = {
    "gcs_server": "gcs",
    "raylet": "raylet",
    "dashboard": "dashboard",
    "monitor": "monitor",
    "log_monitor": "log_monitor",
}
_AGENTS = {"ray::DashboardAgent": "dashboard_agent", "ray::RuntimeEnvAgent": "runtime_env_agent"}
_ACTORS = {
    "JobTracker": "job_tracker",
    "FlowRunner": "flow_runner",
    "CircuitBreakers": "circuit_breakers",
    "ServeController": "serve_controller",
    "HAProxyManager": "serve_proxy",
    "ProxyActor": "serve_fallback_proxy",
}
_REPLICA = "ServeReplica:"

_log = structlog.get_logger("ytray.node")


class Node:
    """The parts of this machine's Ray, as this process finds and keeps them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._poll = select.poll()
        self._watched: dict[Identity, int] = {}  # with their pidfds
        self._wanted: dict[str, int] = {}
        self._url = ""
        self._stops = False
        self._last: Report | None = None

    def run(self) -> None:
        """Start everything, and keep it until SIGTERM. Raises YtrayError when it cannot be started."""
        self._report()
        ytray.connect(for_up=True)
        self._report()  # from here on the supervisor watches Ray, too
        from ytray.api import deployment

        url = deployment.start(again="again" in sys.argv)
        _await_an_answer(url)
        self._url = url
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(reading, select.POLLIN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        while not self._stops:
            missing = self._report()
            self._repair(missing)
            self._wait(_NOT_WHOLE if missing else _WHOLE, reading)
        deployment.stop()
        ytray.shutdown()

    def _stop(self, *_: object) -> None:
        self._stops = True

    def _report(self) -> set[str]:
        """Tell the supervisor what there is; returns the names of the parts that are not whole."""
        parts = self._parts()
        report = Report(
            node=myself(),
            state="up" if self._url else "starting",
            url=self._url,
            ray_address=_ray_address(),
            dashboard=recorded(self._home, "dashboard") or "",
            logs=_logs(),
            parts=parts,
        )
        write_report(self._home, report)
        for part in parts.values():
            for process in part.found:
                self._watch(process)
        return {name for name, part in parts.items() if len(part.found) < part.wanted}

    def _parts(self) -> dict[str, Processes]:
        found: dict[str, list[Identity]] = {}

        def add(name: str, pid: int) -> None:
            known = identity(pid)
            if known is not None and known not in found.setdefault(name, []):
                found[name].append(known)

        if _is_connected():
            for kind, pid in _processes_of_the_driver():
                add(_STARTED_BY_DRIVER.get(kind, kind), pid)
                if kind == "raylet":
                    for name, agent in _agents_of(pid):
                        add(name, agent)
            for name, pid in _actors_here():
                add(name, pid)
                if name == "serve_proxy":
                    for child in _haproxies_of(pid):
                        add("haproxy", child)
        for name in found:
            # What was there once is wanted for as long as this node lives.
            self._wanted[name] = settings().http_replicas if name == "replicas" else 1
        return {name: Processes(wanted, found.get(name, [])) for name, wanted in self._wanted.items()}

    def _repair(self, missing: set[str]) -> None:
        """Start again what is started by a driver, but for what its Ray cannot do without: that is a new node's."""
        starts = {"dashboard": _start_dashboard, "monitor": _start_monitor, "log_monitor": _start_log_monitor}
        for name in missing & starts.keys():
            try:
                starts[name]()
            except Exception as failed:
                _log.warning("a part of Ray does not start again", part=name, error=str(failed))

    def _watch(self, process: Identity) -> None:
        if process in self._watched:
            return
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return  # it has just ended, and the next look tells
        self._watched[process] = descriptor
        self._poll.register(descriptor, select.POLLIN)

    def _wait(self, seconds: float, signals: int) -> None:
        ready = {descriptor for descriptor, _ in self._poll.poll(seconds * 1000)}
        if signals in ready:
            os.read(signals, 4096)
        for process, descriptor in list(self._watched.items()):
            if descriptor in ready:
                self._poll.unregister(descriptor)
                os.close(descriptor)
                del self._watched[process]


def _is_connected() -> bool:
    import ray

    return ray.is_initialized()


def _ray_address() -> str:
    import ray

    context: Any = ray.get_runtime_context() if ray.is_initialized() else None
    return "" if context is None else str(context.gcs_address)


def _processes_of_the_driver() -> list[tuple[str, int]]:
    """What this process started itself; nothing where the cluster was joined."""
    from ray._private import worker

    node: Any = worker._global_node
    return [
        (kind, info.process.pid)
        for kind, infos in node.all_processes.items()
        for info in infos
        if info.process.poll() is None
    ]


def _agents_of(raylet: int) -> list[tuple[str, int]]:
    found = []
    try:
        for child in psutil.Process(raylet).children():
            title = _title(child)
            found += [(name, child.pid) for start, name in _AGENTS.items() if title.startswith(start)]
    except psutil.Error:
        pass
    return found


def _haproxies_of(proxy: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(proxy).children() if child.name() == "haproxy"]
    except psutil.Error:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _actors_here() -> list[tuple[str, int]]:
    """The actors of this system and of Serve on this machine, by the word of the GCS."""
    import ray
    from ray._private.state import actors

    table: Any = actors(actor_state_name="ALIVE")
    here = ray.get_runtime_context().get_node_id()
    found = []
    for actor in table.values():
        if actor["Address"]["NodeID"] != here:
            continue
        kind = str(actor["ActorClassName"])
        if kind.startswith(_REPLICA):
            found.append(("replicas", int(actor["Pid"])))
        elif kind in _ACTORS:
            found.append((_ACTORS[kind], int(actor["Pid"])))
    return found


def _start_dashboard() -> None:
    node = _dead("dashboard")
    node.start_api_server(include_dashboard=True, raise_on_failure=False)


def _start_monitor() -> None:
    _dead("monitor").start_monitor()


def _start_log_monitor() -> None:
    _dead("log_monitor").start_log_monitor()


def _dead(kind: str) -> Any:
    """Ray's node, which no longer counts on a process of that kind."""
    from ray._private import worker

    node: Any = worker._global_node
    node.all_processes.pop(kind, None)
    return node


def _logs() -> str:
    from ray._private import worker

    node: Any = worker._global_node
    return "" if node is None else str(node.get_logs_dir_path())


def _await_an_answer(url: str) -> None:
    deadline = time.monotonic() + _ANSWERS_WITHIN
    with httpx.Client(timeout=5, trust_env=False) as asking:  # a proxy of the environment is not for this machine
        while True:
            try:
                if asking.get(f"{url}/healthz").status_code == httpx.codes.OK:
                    return
                failed = "it is not well"
            except httpx.HTTPError as refused:
                failed = str(refused)
            if time.monotonic() > deadline:
                raise SystemUnavailable(f"the API at {url} does not answer: {failed}")
            time.sleep(0.1)


def _main() -> None:
    home = settings().home
    configure()
    prepare_environment()
    try:
        Node(home).run()
    except YtrayError as failed:
        if type(failed.__cause__) is Exception:
            raise  # Ray's word for a start that took too long: the next one may not
        write_report(home, Report(node=myself(), state="failed", told=str(failed)))
        raise SystemExit(1) from None


if __name__ == "__main__":
    _main()
