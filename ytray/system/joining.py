"""Joining the system that is here: its Redis and its Ray cluster, or starting them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ytray.errors import SystemUnavailable
from ytray.settings import settings
from ytray.system import ray_cluster, redis_server
from ytray.system.running import supervisor_of
from ytray.system.watching import Watch

_PATIENCE = 120.0  # seconds that who joins waits for what `ytray up` is bringing up


@dataclass(slots=True)
class System:
    """A system that was joined. `redis_url` may hold a password: never print it."""

    redis_url: str
    ray_address: str | None = None
    started_redis: bool = False
    started_ray: bool = False
    _watch: Watch | None = None

    def watch(self, on_end: Callable[[str], None]) -> None:
        """From now on start Redis again when it dies, if this joining started it; and call `on_end`, with a sentence
        that says why and what to do, when the local Ray has ended and nobody brings it back.
        """
        home = settings().home
        ray = {}
        if self.started_ray:
            ray = ray_cluster.own_processes()
        elif self.ray_address is not None and not settings().ray_address:
            started_by = ray_cluster.owner(home)
            ray = {} if started_by is None else {"the process that started the local Ray": started_by}
        redis = redis_server.process(home) if self.started_redis else None
        if ray or redis is not None:
            self._watch = Watch(home, redis=redis, ray=ray, on_end=on_end)

    def leave(self) -> None:
        """Stop what this joining started, and nothing else. Safe to call twice."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self.started_ray:
            self.started_ray = False
            ray_cluster.leave(settings().home)
        if self.started_redis:
            self.started_redis = False
            redis_server.stop(settings().home)


def join(*, ray: bool = True, for_up: bool = False) -> System:
    """Join the running system, else start what is missing of it.

    Args:
        ray: False joins Redis alone, for who only reads and cancels.
        for_up: this is the node of `ytray up`: it serves the Ray dashboard and takes `ray job submit`, if the cluster
            is started here. Where `ytray up` runs, whoever else comes waits for what it is bringing up, and starts
            nothing.

    Raises SystemUnavailable, in one sentence that says what to do.
    """
    home = settings().home
    if not for_up:
        _await_what_comes_up(home, ray=ray)
    with _one_at_a_time(home):
        url = settings().redis_url
        if url is not None:
            redis_server.check(url.get_secret_value())
            joined = System(url.get_secret_value())
        else:
            embedded, started = redis_server.ensure(home)
            joined = System(embedded, started_redis=started)
        if ray:
            try:
                joined.ray_address, joined.started_ray = ray_cluster.ensure(home, dashboard=for_up)
            except BaseException:
                joined.leave()
                raise
    return joined


def _await_what_comes_up(home: Path, *, ray: bool) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (supervisor := supervisor_of(home)) is not None:
        missing = [
            *(["Redis"] if settings().redis_url is None and not redis_server.is_running(home) else []),
            *(["Ray"] if ray and not settings().ray_address and ray_cluster.recorded(home) is None else []),
        ]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise SystemUnavailable(
                f"{' and '.join(missing)} of the running system (process {supervisor.pid}) did not come up in "
                f"{_PATIENCE:.0f} s; `ytray doctor` tells more"
            )
        time.sleep(0.1)


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Two processes that start at once share one system: the second waits, and finds it running."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as denied:
        raise SystemUnavailable(f"YTRAY_HOME {home} is not writable: {denied}; choose another folder") from None
