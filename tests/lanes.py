"""Two lanes side by side (`make test`): all that uses the session's system is in one, so that there is one of it."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = "the session's system"
_MAKE_IT_SHARED = {"system", "browser"}  # fixtures
# What takes a minute and more begins first, so that neither lane waits long for the other at the end. Serve's Ray comes
# after one of hosts, by when the session's own has started: they would want the same port.
_LONG = ("hosts", "nodes", "serve", "supervision", "redis")
_FOLDER = Path(__file__).parent


def into_lanes(items: list[pytest.Item]) -> None:
    """Give each test its lane: that of the system, or its file's. Files in no lane yet are taken in turn."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_SHARED if _uses_the_system(item) else str(item.path)))
    items.sort(key=_rank)


def without_lane(name: str) -> str:
    """A test's name, to which pytest-xdist has added its lane."""
    return name[: name.rindex("@")] if name.rfind("@") > name.rfind("]") else name


def _uses_the_system(item: pytest.Item) -> bool:
    return not _MAKE_IT_SHARED.isdisjoint(getattr(item, "fixturenames", ()))


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(_FOLDER).parts[0]
    if _uses_the_system(item):
        return 0
    return 1 + (_LONG.index(folder) if folder in _LONG else len(_LONG))
