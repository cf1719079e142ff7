"""Parts that live and do nothing: stopped by a signal, or silent where Redis shows that they were at work before."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from ytray.supervision.mirror import Mirror
from ytray.system.identity import Identity

_LOOKS = 10  # within the patience with them


class Hanging:
    """Finds the parts that have stood still for `patience` seconds."""

    def __init__(self, mirror: Mirror, patience: float) -> None:
        self._mirror, self._patience = mirror, patience
        self._stopped: dict[Identity, float] = {}  # since when they are seen so
        self._looked = 0.0

    def look(self, watched: Collection[tuple[str, Identity]]) -> Iterator[tuple[Identity, str]]:
        """Those of the processes that are to be ended, and why; it looks now and then, however often it is asked."""
        now = time.monotonic()
        if now - self._looked < self._patience / _LOOKS:
            return
        self._looked = now
        self._stopped = {process: self._stopped.get(process, now) for _, process in watched if process.is_stopped()}
        for name, process in watched:
            stopped, silent = now - self._stopped.get(process, now), self._mirror.silent_for(name)
            if stopped > self._patience:
                yield process, f"was stopped by a signal for {stopped:.0f} s, and was ended"
            elif silent > self._patience:
                yield process, f"had not answered for {silent:.0f} s, and was ended"
