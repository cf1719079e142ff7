"""What ytray stands on: a Redis that keeps the truth and a Ray cluster that does the work. Joined, or started here."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ytray.errors import SystemUnavailable
from ytray.settings import settings
from ytray.system import ray_cluster, redis_server


@dataclass(slots=True)
class System:
    """A system that was joined. `redis_url` may hold a password: never print it."""

    redis_url: str
    ray_address: str | None = None
    started_redis: bool = False
    started_ray: bool = False

    def leave(self) -> None:
        """Stop what this joining started, and nothing else. Safe to call twice."""
        if self.started_ray:
            self.started_ray = False
            ray_cluster.stop(settings().home)
        if self.started_redis:
            self.started_redis = False
            redis_server.stop(settings().home)


def join(*, ray: bool = True, dashboard: bool = False) -> System:
    """Join the running system, else start what is missing of it.

    Args:
        ray: False joins Redis alone, for who only reads and cancels.
        dashboard: serve the Ray dashboard and take `ray job submit`, if the cluster is started here.

    Raises SystemUnavailable, in one sentence that says what to do.
    """
    home = settings().home
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
                joined.ray_address, joined.started_ray = ray_cluster.ensure(home, dashboard=dashboard)
            except BaseException:
                joined.leave()
                raise
    return joined


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
