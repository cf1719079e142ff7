"""Two lanes side by side (`make test`): all that uses the session's system is in one, so that there is one of it.

pytest-xdist runs each lane in a process. Who hands out the tests knows only their names, so the processes write down
which lane each is in. (What pytest-xdist has for this, marks of groups, does nothing with pytest 9.2.)
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_SHARED = "the session's system"
_MAKE_IT_SHARED = {"system", "browser"}  # fixtures
# What takes a minute and more begins first, so that neither lane waits long for the other at the end. Serve's Ray comes
# after one of hosts, by when the session's own has started: they would want the same port.
_LONG = ("hosts", "nodes", "serve", "supervision", "redis")
_FOLDER = Path(__file__).parent


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the tests of the shared lane to one process, and the files of all others in turn."""

    def __init__(self, config: pytest.Config, log: Any, written: Path) -> None:
        super().__init__(config, log)
        self._written = written
        self._lanes: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        if not self._lanes:
            self._lanes = json.loads(self._written.read_text())
        return self._lanes[nodeid]


class Sides:
    """The plugin of both sides: the process that hands out, and those that run."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ytray-lanes-")
        self._written = Path(self._folder.name) / "lanes.json"

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process where it writes the lanes down."""
        node.workerinput["lanes"] = str(self._written)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Lanes:
        """Hand out by lane."""
        config.option.loadscopereorder = False  # in the order that `into_lanes` gives
        return Lanes(config, log, self._written)


def into_lanes(items: list[pytest.Item], written: Path) -> None:
    """Put the tests in the order in which they begin, and write down the lane of each: the shared one or its file's."""
    items.sort(key=_rank)
    lanes = {item.nodeid: _SHARED if _uses_the_system(item) else str(item.path) for item in items}
    # Each process writes the same; none may read half of it.
    beside = written.with_suffix(f".{id(items)}")
    beside.write_text(json.dumps(lanes))
    beside.replace(written)


def _uses_the_system(item: pytest.Item) -> bool:
    return not _MAKE_IT_SHARED.isdisjoint(getattr(item, "fixturenames", ()))


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(_FOLDER).parts[0]
    if _uses_the_system(item):
        return 0
    return 1 + (_LONG.index(folder) if folder in _LONG else len(_LONG))
