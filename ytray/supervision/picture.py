"""What a supervisor knows of its parts: which are up, how often they died lately, and how they ended last."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ytray.system.parts import Part


@dataclass(frozen=True, slots=True)
class Patience:
    """When a supervisor waits, and when it gives up; all in seconds but for the limit."""

    limit: int = 5  # deaths of one part within `window` with which it gives up
    window: float = 300.0
    first_delay: float = 1.0  # before the second restart within the window; twice as long before each one after
    start: float = 150.0  # until a node must be up, on a busy machine too
    silence: float = 120.0  # until a node that reports nothing is taken for dead: it reports every few seconds
    self_healing: float = 60.0  # until a part that Ray itself should bring back is brought back by a new node
    hang: float = 60.0  # until a part that is stopped, or that has answered and does so no more, is ended
    stop: float = 40.0  # until a node that was asked to stop is ended


_MISSING_AFTER = 15.0  # seconds that a part is starting before it counts as missing


@dataclass(slots=True)
class _Seen:
    is_up: bool = False
    since: float = field(default_factory=time.time)
    down_at: float = field(default_factory=time.monotonic)
    restarts: int = 0
    last_end: str = ""
    has_died: bool = False
    deaths: deque[float] = field(default_factory=deque)


class Picture:
    """The parts by name, in the order in which they were first seen."""

    def __init__(self, patience: Patience, before: Iterable[Part] = ()) -> None:
        self._patience = patience
        self._seen: dict[str, _Seen] = {}
        self.new_restarts: Counter[str] = Counter()  # taken by who counts them in Redis
        for part in before:
            self._seen[part.name] = _Seen(restarts=part.restarts, last_end=part.last_end)

    def expect(self, name: str) -> None:
        """That part is being started."""
        self._seen.setdefault(name, _Seen())

    def is_up(self, name: str) -> None:
        """All processes of that part run."""
        seen = self._seen.setdefault(name, _Seen())
        if not seen.is_up:
            seen.is_up, seen.since = True, time.time()
            if seen.has_died:
                seen.has_died = False
                seen.restarts += 1
                self.new_restarts[name] += 1

    def is_down(self, name: str) -> None:
        """That part does not run, since it was stopped with another."""
        seen = self._seen.setdefault(name, _Seen())
        if seen.is_up:
            seen.is_up, seen.since, seen.down_at = False, time.time(), time.monotonic()

    def died(self, name: str, how: str) -> None:
        """One of its processes ended by itself; `how` is a sentence."""
        self.is_down(name)
        seen = self._seen[name]
        seen.has_died, seen.last_end = True, how
        seen.deaths.append(time.monotonic())

    def lately(self, name: str) -> int:
        """How often that part died within the window."""
        deaths = self._seen[name].deaths
        while deaths and deaths[0] < time.monotonic() - self._patience.window:
            deaths.popleft()
        return len(deaths)

    def delay(self, name: str) -> float:
        """Seconds to wait before it is started again: none after the first death in a while."""
        lately = self.lately(name)
        return 0.0 if lately <= 1 else self._patience.first_delay * 2 ** (lately - 2)

    def down_for(self, name: str) -> float:
        """For how many seconds that part has not been whole; 0 when it is."""
        seen = self._seen[name]
        return 0.0 if seen.is_up else time.monotonic() - seen.down_at

    def last_end(self, name: str) -> str:
        """How it ended last."""
        return self._seen[name].last_end

    def forget(self, name: str) -> None:
        """That part belongs to the system no more."""
        self._seen.pop(name, None)

    def parts(self) -> list[Part]:
        """As others read them."""
        return [self._part(name, seen) for name, seen in self._seen.items()]

    def _part(self, name: str, seen: _Seen) -> Part:
        if seen.is_up:
            return Part(name, "up", seen.restarts, seen.since, seen.last_end)
        is_missing = time.monotonic() - seen.down_at > _MISSING_AFTER
        since = seen.since + _MISSING_AFTER if is_missing else seen.since
        return Part(name, "missing" if is_missing else "starting", seen.restarts, since, seen.last_end)
