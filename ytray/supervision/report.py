"""What the node tells its supervisor, in YTRAY_HOME/node.json: how far it has come, and which processes its parts are.

A file and no pipe, so that a supervisor that takes over from one that was killed finds it, too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ytray.errors import DiskFull
from ytray.system.identity import Identity
from ytray.system.kept import keep


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one part, and how many of them there should be."""

    wanted: int
    found: list[Identity]


@dataclass(frozen=True, slots=True)
class Report:
    """`told` is why it failed; `logs` is the folder of Ray's logs."""

    node: Identity
    state: Literal["starting", "up", "failed"]
    told: str = ""
    url: str = ""
    ray_address: str = ""
    dashboard: str = ""
    logs: str = ""
    parts: dict[str, Processes] = field(default_factory=dict)


_report = TypeAdapter(Report)


def write_report(home: Path, report: Report) -> None:
    """Keep the report; the supervisor looks twice a second. On a full disk it still sees that the node is alive."""
    try:
        keep(report_path(home), _report.dump_json(report))
    except DiskFull:
        if not report_path(home).exists():
            raise
        os.utime(report_path(home))


def read_report(home: Path) -> Report | None:
    """The last report of that home's node, whether it still runs or not."""
    try:
        return _report.validate_json(report_path(home).read_bytes())
    except (OSError, ValueError):
        return None


def report_path(home: Path) -> Path:
    """Where it is kept."""
    return home / "node.json"
