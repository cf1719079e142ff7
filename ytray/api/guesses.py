"""Wrong keys: who sends many is made to wait, and is named in the log.

They are counted by address and by the id that a key names, so that who guesses at one key keeps nobody else of the same
address (of a proxy, say) from using another. Each replica counts for itself.
"""

from __future__ import annotations

import time
from typing import Final

import structlog

CLIENT: Final = "X-Ytray-Client"  # the header in which HAProxy tells where a request came from

_AT_ONCE: Final = 20  # wrong keys that are looked at without a wait
_A_SECOND: Final = 0.5  # further ones
_LOGGED_EVERY: Final = 10.0  # seconds, for one address
_REMEMBERED: Final = 10_000

_log = structlog.get_logger("ytray.api")


class Guesses:
    """How many wrong keys came lately, from where."""

    def __init__(self) -> None:
        self._wrong: dict[tuple[str, str], tuple[float, float]] = {}  # how many are held against it, as of when
        self._logged: dict[str, tuple[float, int]] = {}  # by address: when, and how many since

    def wait(self, address: str, key_id: str) -> float:
        """Seconds until another key of that id is looked at that comes from there; 0 for at once."""
        return max(0.0, (self._held(address, key_id) - _AT_ONCE) / _A_SECOND)

    def note(self, address: str, key_id: str) -> None:
        """A wrong key of that id came from there."""
        if len(self._wrong) >= _REMEMBERED:
            self._wrong.clear()
        self._wrong[address, key_id] = (self._held(address, key_id) + 1, time.monotonic())
        self._tell(address)

    def _held(self, address: str, key_id: str) -> float:
        held, at = self._wrong.get((address, key_id), (0.0, 0.0))
        return max(0.0, held - (time.monotonic() - at) * _A_SECOND)

    def _tell(self, address: str) -> None:
        if len(self._logged) >= _REMEMBERED:
            self._logged.clear()
        told_at, since = self._logged.get(address, (float("-inf"), 0))
        if time.monotonic() - told_at < _LOGGED_EVERY:
            self._logged[address] = (told_at, since + 1)
            return
        _log.warning("a wrong API key was presented", address=address, times=since + 1)
        self._logged[address] = (time.monotonic(), 0)
