"""The parts in Redis, where the API, the metrics and the alerts read them: written whenever Redis answers.

Doing so shows who does not answer: Redis itself, and the tracker, which says in Redis that it is at work.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import redis

from ytray.errors import YtrayError
from ytray.system.parts import PARTS_TTL, Part
from ytray.system.redis_address import opened

_AGAIN = 10.0  # seconds
_ANSWER_WITHIN = 5.0  # seconds
_IN_VAIN = 4  # questions in a row until a part counts as silent, however much time has passed


class Mirror:
    """A thread of the supervisor, which itself never waits for Redis."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url, self._prefix = url, f"{{{namespace}}}:"
        self._lock = threading.Lock()
        self._parts: Sequence[Part] = ()  # both under the lock
        self._restarts: Counter[str] = Counter()
        self._changed = threading.Event()
        self._heard: dict[str, float] = {}  # when a part answered last
        self._in_vain: Counter[str] = Counter()
        threading.Thread(target=self._go_on, name="ytray-mirror", daemon=True).start()

    def show(self, parts: Sequence[Part], new_restarts: Counter[str]) -> None:
        """These are the parts now, and so often were some of them started again since the last call."""
        with self._lock:
            self._parts = parts
            self._restarts.update(new_restarts)
        self._changed.set()

    def silent_for(self, name: str) -> float:
        """The seconds for which "redis" or "job_tracker" has not answered; 0 for others, and for one that never did."""
        return time.monotonic() - self._heard.get(name, 0.0) if self._in_vain[name] >= _IN_VAIN else 0.0

    def forget(self, name: str) -> None:
        """That part is another process now."""
        self._heard.pop(name, None)
        self._in_vain.pop(name, None)

    def clear(self) -> None:
        """The system is being stopped: nothing is shown of it any more."""
        self.show((), Counter())
        self._write()

    def _go_on(self) -> None:
        while True:
            self._changed.wait(_AGAIN)
            self._changed.clear()
            self._write()

    def _write(self) -> None:
        with self._lock:
            parts, restarts = self._parts, self._restarts
            self._restarts = Counter()
        try:
            with opened(self._url, socket_connect_timeout=_ANSWER_WITHIN, socket_timeout=_ANSWER_WITHIN) as client:
                pipe = client.pipeline(transaction=True)
                pipe.delete(f"{self._prefix}parts")
                if parts:
                    pipe.hset(f"{self._prefix}parts", mapping={part.name: part.sent() for part in parts})
                    pipe.expire(f"{self._prefix}parts", PARTS_TTL)
                for name, often in restarts.items():
                    pipe.hincrby(f"{self._prefix}part_restarts", name, often)
                pipe.exists(f"{self._prefix}at_work")
                self._hear("job_tracker", answers=bool(pipe.execute()[-1]))
            self._hear("redis", answers=True)
        except (redis.RedisError, OSError, YtrayError) as refused:
            is_there = isinstance(refused, (redis.ResponseError, redis.exceptions.BusyLoadingError))
            self._hear("redis", answers=is_there)
            if "job_tracker" in self._heard:
                self._hear("job_tracker", answers=True)  # it cannot say that it is at work
            with self._lock:
                self._restarts.update(restarts)

    def _hear(self, name: str, *, answers: bool) -> None:
        if answers:
            self._heard[name] = time.monotonic()
            self._in_vain[name] = 0
        elif name in self._heard:
            self._in_vain[name] += 1
