"""One real system for the whole session: a Redis of its own and a local Ray cluster, with clocks shrunk by settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import ytray
from ytray.engine.connection import store
from ytray.engine.store import Store
from ytray.settings import settings

SHRUNK = {
    "YTRAY_RETRY_DELAYS": "0.05,0.1",
    "YTRAY_LEASE_SECONDS": "3",
    "YTRAY_CANCEL_GRACE": "0.5",
    "YTRAY_BREAKER_THRESHOLD": "3",
    "YTRAY_BREAKER_TIMEOUT": "0.5",
    "YTRAY_SLOTS_DEFAULT": "3",
    "YTRAY_CLEANUP_CRON": "0 0 1 1 *",
}


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A YTRAY_HOME of the session's own, with the shrunk clocks in the environment."""
    folder = Path(tempfile.mkdtemp(prefix="ytray-test-"))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("YTRAY_")]:
        del os.environ[name]
    os.environ.update(SHRUNK, YTRAY_HOME=str(folder))
    settings.cache_clear()
    yield folder
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def system(home: Path) -> Iterator[Store]:
    """The running system; gives its store."""
    assert home.is_dir()
    ytray.connect()
    yield store()
    ytray.shutdown()
