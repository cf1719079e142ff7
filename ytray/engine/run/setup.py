"""The setup of a worker or an actor: what it needs to join the system, packed where that was joined."""

from __future__ import annotations

import gc
import pickle

from ytray.engine.base import logs
from ytray.engine.base.imports import broken_imports
from ytray.engine.state import joblog, signing
from ytray.engine.state.connection import adopt_store
from ytray.engine.state.store import Store
from ytray.settings import Settings, adopt

PATIENCE = 120.0  # seconds that a commit goes on trying while Redis is away

_log = logs.get("ytray.worker")


def pack_setup(redis_url: str, given: Settings, code_secret: bytes | None = None) -> bytes:
    """What a worker needs to join the system. It travels as an argument, which no dashboard shows.

    `code_secret` is by which it knows the code that the system has signed; that of this home, if none is given.

    The worker may be of another version: it takes the settings that it knows, and its own default for what is missing.
    """
    known = code_secret or signing.own_secret()
    return pickle.dumps({"redis_url": redis_url, "settings": given.model_dump(), "code_secret": known})


def unpack_setup(setup: bytes, patience: float = PATIENCE, *, waits_for_room: bool = False) -> Store:
    """Make this process work for the system that packed `setup`, with its YTRAY_IMPORTS; returns its store."""
    packed = pickle.loads(setup)
    given = Settings.of_system(packed["settings"])
    adopt(given)
    signing.adopt(packed.get("code_secret", b""))
    where = Store(packed["redis_url"], given.namespace, patience, waits_for_room=waits_for_room)
    adopt_store(where)
    logs.configure()
    joblog.install(where)
    for module, why in broken_imports().items():
        # Its tasks cannot run here, and say so when they try; those of others can.
        _log.error(f"YTRAY_IMPORTS: {module} cannot be imported here", error=why)
    # What is loaded by now stays. Left out of the full collections, it makes none of them stop a job for 20 ms.
    gc.collect()
    gc.freeze()
    return where
