"""The parts of a system on one machine, as the supervisor of `ytray up` sees them: what it writes, and others read.

It keeps them in YTRAY_HOME/parts.json and, whenever Redis answers, in the keys `parts` and `part_restarts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ytray.system.identity import Identity, myself
from ytray.system.kept import drop, keep

PARTS_TTL = 60  # seconds after which the picture of a supervisor that writes no more is gone from Redis


@dataclass(frozen=True, slots=True)
class Part:
    """One of the processes that a system consists of, or several that do the same.

    `restarts` counts since the supervisor started, `since` is the time (unix seconds) at which the state began, and
    `last_end` is a sentence about the last death with the end of its log, "" if it has not died.
    """

    name: str
    state: Literal["up", "starting", "missing"]
    restarts: int
    since: float
    last_end: str

    def sent(self) -> str:
        """As JSON, as it stands in Redis."""
        return json.dumps(asdict(self))

    @staticmethod
    def received(told: str | bytes) -> Part:
        """The part that `sent` told of, in this version or a newer one that says more. Raises ValueError."""
        return _part.validate_json(told)


_part = TypeAdapter(Part)
_kept = TypeAdapter(tuple[Identity, list[Part]])


def write_parts(home: Path, parts: Iterable[Part]) -> None:
    """Keep the parts for that home; this process is their supervisor."""
    keep(_path(home), _kept.dump_json((myself(), list(parts))))


def read_parts(home: Path, *, of_a_dead_one: bool = False) -> list[Part]:
    """The parts of that home's system; none when no supervisor of it runs, unless those of a dead one are asked for."""
    try:
        supervisor, parts = _kept.validate_json(_path(home).read_bytes())
    except (OSError, ValueError):
        return []
    return parts if of_a_dead_one or supervisor.is_alive() else []


def forget_parts(home: Path) -> None:
    """No supervisor of that home runs any more."""
    drop(_path(home))


def _path(home: Path) -> Path:
    return home / "parts.json"
