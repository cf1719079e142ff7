"""The process of `ytray up`: it starts the parts of the system, waits for the end of each, and brings back what dies.

- Redis is started again at once, on the same socket and append-only file: everybody goes on trying for a minute.
- Without the raylet, the GCS, an agent or the node's own process the local Ray is no use: it is taken down whole and a
  new node is started. Redis is left alone, so the jobs are there, and what was in flight is requeued.
- Everything else is brought back by Ray and Serve themselves, or by the node; where none does, by a new node.
- What does not die but stands still (it was stopped by a signal; Redis or the tracker answers no more) is killed.

What dies again and again is started later and later, and in the end this process gives up, for the init system to
decide. It imports no Ray.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import structlog

from ytray.errors import DiskFull, SystemUnavailable, YtrayError
from ytray.settings import settings
from ytray.supervision import standby
from ytray.supervision.hanging import Hanging
from ytray.supervision.mirror import Mirror
from ytray.supervision.notify import notify
from ytray.supervision.picture import Patience, Picture
from ytray.supervision.report import Report, read_report, report_path
from ytray.supervision.tree import adopt_orphans, end_tree, reap
from ytray.system import ray_cluster, redis_server
from ytray.system.identity import Identity, identity, wait_until_ended
from ytray.system.kept import drop
from ytray.system.parts import forget_parts, read_parts, write_parts
from ytray.system.running import MARK, forget, mark_left, record

_TICK = 0.5  # seconds between looks at the node's report and the clocks
_LINES = 3  # of the end of a log that are told

_OWN = frozenset(("supervisor", "redis", "standby"))  # what is none of the node's parts
# Ray does not work without these, and brings none of them back.
_ESSENTIAL = ("node", "gcs", "raylet", "dashboard_agent", "runtime_env_agent")
_CHANGES = frozenset(("haproxy",))  # its process is another with each configuration, and has not died then
_LOGS = {"gcs": "gcs_server.out", "raylet": "raylet.out"}

_log = structlog.get_logger("ytray.supervisor")


class Supervisor:
    """Supervises the system of one home, of which this process is the only supervisor (`only_one`)."""

    node_command: ClassVar[Sequence[str]] = (sys.executable, "-m", "ytray.supervision.node")

    def __init__(
        self,
        home: Path,
        *,
        with_standby: bool,
        is_successor: bool = False,
        tell: Callable[[Report], None] = lambda _: None,
        patience: Patience | None = None,
    ) -> None:
        """`is_successor` goes on with what a supervisor that was killed has left; else that is ended first.

        `tell` is called whenever a node is up.
        """
        self._home, self._tell, self._patience = home, tell, patience or Patience()
        self._picture = Picture(self._patience, read_parts(home, of_a_dead_one=True) if is_successor else ())
        url = settings().redis_url
        self._embedded = url is None
        self._mirror = Mirror(
            redis_server.url_of(home) if url is None else url.get_secret_value(), settings().namespace
        )
        self._is_successor = is_successor
        self._with_standby = with_standby
        self._mark = (mark_left(home) if is_successor else None) or uuid.uuid4().hex
        self._watched: dict[int, tuple[str, Identity]] = {}  # by pidfd
        self._poll = select.poll()
        self._statuses: dict[int, int] = {}  # of children that have ended, by their numbers
        # Ends of which the node's next report tells what they were.
        self._unexplained: dict[str, Identity] = {}
        self._hanging = Hanging(self._mirror, self._patience.hang)
        self._killed: dict[Identity, str] = {}  # by us, and why
        self._due: dict[str, float] = {}  # when what is not there is to be started
        self._node: Identity | None = None
        self._node_since = 0.0
        self._reported: tuple[int, float] = (0, 0.0)  # the report's time of change, and when it was seen
        self._has_told = False
        self._was_up = is_successor
        self._stops = False
        self._why_given_up = ""
        self._shown: object = None
        self._is_full = False  # the disk
        self._notified = 0.0

    def run(self) -> None:
        """Supervise until SIGTERM, SIGINT or SIGHUP, then stop the system. Raises SystemUnavailable if it gives up."""
        adopt_orphans()
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(reading, select.POLLIN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes the wait, so that who has ended is reaped
        try:
            self._begin()
            while not self._stops:
                self._start_what_is_due()
                self._read_the_report()
                self._look_at_the_clocks()
                self._show()
                self._wait(reading)
        except (YtrayError, OSError) as failed:
            self._give_up(str(failed))
        finally:
            self._end()
        if self._why_given_up:
            raise SystemUnavailable(self._why_given_up)

    def _stop(self, *_: object) -> None:
        self._stops = True

    def _begin(self) -> None:
        left = mark_left(self._home)
        report = read_report(self._home)
        goes_on = self._is_successor and report is not None and report.state != "failed" and report.node.is_alive()
        if left is not None and not goes_on:
            end_tree(left)
        if not goes_on:
            drop(report_path(self._home))
        # From here on a successor would end or take over what carries this mark.
        record(self._home, self._mark)
        if goes_on and report is not None:
            _log.warning("the supervisor was killed; this is its successor", node=report.node.pid)
            self._node, self._node_since = report.node, time.monotonic()
            self._watch("node", report.node)
        else:
            self._due["node"] = 0.0
        if self._embedded:
            self._due["redis"] = 0.0
        if self._with_standby:
            self._due["standby"] = 0.0
        if self._is_successor:
            self._picture.died("supervisor", "the supervisor was killed, and its standby took its place")
        self._picture.is_up("supervisor")

    # ------------------------------------------------------------------------------------------ starting

    def _start_what_is_due(self) -> None:
        for name, starts in (
            ("redis", self._start_redis),
            ("standby", self._start_standby),
            ("node", self._start_node),
        ):
            # A node would wait for its Redis, and what it waits for does not count as its own fault.
            waits = name == "node" and self._embedded and not self._is_answering()
            if not waits and time.monotonic() >= self._due.get(name, float("inf")):
                del self._due[name]
                self._picture.expect(name)
                starts()

    def _start_redis(self) -> None:
        redis_server.launch(self._home)  # unless its predecessor has left one
        self._watch_or_mourn("redis", redis_server.process(self._home))

    def _start_standby(self) -> None:
        me = os.pidfd_open(os.getpid())
        try:
            started = subprocess.Popen(
                [sys.executable, "-I", standby.__file__, str(me)],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(me,),
                env={**os.environ, MARK: self._mark},
            )
        finally:
            os.close(me)
        self._watch_or_mourn("standby", identity(started.pid))
        self._picture.is_up("standby")

    def _start_node(self) -> None:
        drop(report_path(self._home))
        with (self._home / "node.log").open("wb") as log:
            started = subprocess.Popen(
                [*self.node_command, *(["again"] if self._was_up else [])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for this process, which stops the node in order
                env={**os.environ, MARK: self._mark},
            )
        self._node, self._node_since, self._has_told = identity(started.pid), time.monotonic(), False
        self._watch_or_mourn("node", self._node)

    def _watch_or_mourn(self, name: str, process: Identity | None) -> None:
        if process is None or not self._watch(name, process):
            self._died(name, process)

    # ------------------------------------------------------------------------------------------ watching

    def _watch(self, name: str, process: Identity) -> bool:
        if (name, process) in self._watched.values():
            return True
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return False
        if not process.is_alive():  # the number is another's by now
            os.close(descriptor)
            return False
        self._watched[descriptor] = (name, process)
        self._mirror.forget(name)
        self._poll.register(descriptor, select.POLLIN)
        return True

    def _unwatch(self, names: set[str]) -> None:
        for descriptor, (name, _) in list(self._watched.items()):
            if name in names:
                self._poll.unregister(descriptor)
                os.close(descriptor)
                del self._watched[descriptor]

    def _wait(self, signals: int) -> None:
        ready = [descriptor for descriptor, _ in self._poll.poll(_TICK * 1000)]
        if signals in ready:
            os.read(signals, 4096)
        self._statuses.update(reap())
        ended = [self._watched.pop(descriptor) for descriptor in ready if descriptor in self._watched]
        for descriptor in ready:
            if descriptor != signals:
                self._poll.unregister(descriptor)
                os.close(descriptor)
        # Of several that ended together the first of these took the others along.
        order = {name: place for place, name in enumerate(("redis", "standby", *_ESSENTIAL))}
        for name, process in sorted(ended, key=lambda one: order.get(one[0], len(order))):
            if not self._stops and (name in _OWN or self._node is not None):
                if name in _OWN or name in _ESSENTIAL:
                    self._died(name, process)
                else:
                    self._unexplained[name] = process
                    self._reported = (0, self._reported[1])  # the report that tells may have been read before
        self._statuses.clear()

    def _read_the_report(self) -> None:
        try:
            changed = report_path(self._home).stat().st_mtime_ns
        except OSError:
            return
        if self._node is None or changed == self._reported[0]:
            return
        self._reported = (changed, time.monotonic())
        report = read_report(self._home)
        if report is None or report.node != self._node:
            return
        if report.state == "failed":
            return  # its end, which is near, tells of it
        for name, processes in report.parts.items():
            self._picture.expect(name)
            is_whole = sum(self._watch(name, process) for process in processes.found) >= processes.wanted
            if name in self._unexplained:
                process = self._unexplained[name]
                if process in processes.found:
                    continue  # it was written before
                del self._unexplained[name]
                if not (is_whole and name in _CHANGES):
                    self._died(name, process)
            if is_whole:
                self._picture.is_up(name)
        if report.state == "up" and not self._has_told:
            self._has_told = self._was_up = True
            self._picture.is_up("node")
            self._tell(report)
            notify("READY=1", "STATUS=up")

    def _look_at_the_clocks(self) -> None:
        now = time.monotonic()
        if self._embedded and self._picture.down_for("redis") and "redis" not in self._due and self._is_answering():
            self._picture.is_up("redis")
        if self._node is not None:
            if not self._has_told and now - self._node_since > self._patience.start:
                self._take_down("node", f"the node was not up within {self._patience.start:.0f} s")
            elif now - max(self._reported[1], self._node_since) > self._patience.silence:
                self._take_down("node", f"the node has reported nothing for {self._patience.silence:.0f} s")
        if self._node is not None and self._has_told:
            for part in self._picture.parts():
                if (
                    part.name not in ("redis", "standby")
                    and self._picture.down_for(part.name) > self._patience.self_healing
                ):
                    how = f"{part.name} was not brought back within {self._patience.self_healing:.0f} s"
                    self._take_down(part.name, f"{how}; {part.last_end}" if part.last_end else how)
                    break
        for process, why in self._hanging.look(self._watched.values()):
            self._killed[process] = why
            process.signal(signal.SIGKILL)
        if now - self._notified > 1:
            self._notified = now
            notify("WATCHDOG=1")

    def _is_answering(self) -> bool:
        return redis_server.is_running(self._home)

    # ------------------------------------------------------------------------------------------ dying

    def _died(self, name: str, process: Identity | None) -> None:
        how = self._how(name, process)
        if name in _ESSENTIAL:
            self._take_down(name, how)
            return
        self._picture.died(name, how)
        _log.warning("a part of the system has died", part=name, times=self._picture.lately(name), how=how)
        if name in _OWN:
            self._bring_back(name, name)

    def _take_down(self, name: str, how: str) -> None:
        """End the whole node, since that part has died; and start another."""
        self._picture.died(name, how)
        _log.warning(
            "a part has died that Ray does not work without: the local Ray is started anew",
            part=name, times=self._picture.lately(name), how=how,
        )  # fmt: skip
        report = read_report(self._home)
        self._end_node()
        # What has never been up and says why will fail the same way again; else the machine may have been too busy.
        if not self._was_up and ((report is not None and report.state == "failed") or self._picture.lately(name) > 1):
            self._give_up(how)
            return
        self._bring_back("node", name)

    def _bring_back(self, name: str, cause: str) -> None:
        lately = self._picture.lately(cause)
        if lately >= self._patience.limit and name != "standby":
            self._give_up(
                f"{cause} has died {lately} times within {self._patience.window / 60:g} minutes, so the system is "
                f"stopped; accepted jobs are kept. {self._picture.last_end(cause)}"
            )
            return
        delay = min(self._picture.delay(cause), self._patience.window / 4)
        self._due[name] = time.monotonic() + delay
        if delay:
            _log.warning("it is started again later, since it died before", part=name, after_seconds=delay)

    def _give_up(self, why: str) -> None:
        self._why_given_up, self._stops = why, True

    def _end_node(self) -> None:
        of_node = {name for name, _ in self._watched.values()} - _OWN
        self._unwatch(of_node)
        self._unexplained.clear()
        self._node = None
        for part in self._picture.parts():
            if part.name not in _OWN:
                self._picture.is_down(part.name)
        self._show()
        left = end_tree(self._mark, [process for _, process in self._watched.values()])
        if left:
            _log.error("these processes do not end, though they were killed", pids=[process.pid for process in left])
        ray_cluster.forget(self._home)

    def _how(self, name: str, process: Identity | None) -> str:
        number = f" (process {process.pid})" if process is not None else ""
        status = self._statuses.get(process.pid) if process is not None else None
        killed = self._killed.pop(process, "") if process is not None else ""
        ended = killed or (
            "has ended"
            if status is None
            else f"was ended by {signal.Signals(-status).name}"
            if status < 0
            else f"has ended with exit code {status}"
        )
        if name == "redis":
            return f"redis{number} {ended}; {redis_server.why_it_ended(self._home)}"
        report = read_report(self._home)
        if name == "node" and report is not None and report.told:
            return report.told
        last = _end_of(self._log_of(name))
        return f"{name}{number} {ended}" + (f"; its log ends with: {last}" if last else "")

    def _log_of(self, name: str) -> Path:
        if name == "node":
            return self._home / "node.log"
        report = read_report(self._home)
        folder = Path(report.logs if report is not None else self._home)
        return folder / _LOGS.get(name, f"{name}.log")

    # ------------------------------------------------------------------------------------------ telling, stopping

    def _show(self) -> None:
        parts, new = self._picture.parts(), self._picture.new_restarts
        if parts != self._shown or new:
            self._shown, self._picture.new_restarts = parts, type(new)()
            self._mirror.show(parts, new)
            try:
                write_parts(self._home, parts)
                self._is_full = False
            except DiskFull as full:
                self._shown = None  # to be kept when there is room
                if not self._is_full:
                    _log.warning("what the parts do cannot be kept", reason=str(full))
                self._is_full = True

    def _end(self) -> None:
        notify("STOPPING=1")
        spare = [process for name, process in self._watched.values() if name == "redis"]
        for name, process in list(self._watched.values()):
            if name == "standby":
                process.signal(signal.SIGKILL)
        if self._node is not None and self._node.signal(signal.SIGTERM):
            wait_until_ended([self._node], self._patience.stop)
        left = end_tree(self._mark, spare)
        self._mirror.clear()
        if self._embedded:
            redis_server.stop(self._home)
        reap()
        sweep(self._home)
        if left:
            raise SystemUnavailable(f"these processes do not end, though they were killed: {[one.pid for one in left]}")


def sweep(home: Path) -> None:
    """Remove the files that name what runs, when nothing does."""
    ray_cluster.forget(home)
    drop(report_path(home))
    forget_parts(home)
    forget(home)


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " / ".join(line.strip()[:200] for line in lines[-_LINES:])
