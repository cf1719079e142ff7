"""Signatures on code that is stored: a worker runs what a connected script shipped, not what somebody put into Redis.

The secret is not in Redis. It is YTRAY_CODE_SECRET, or else a file of the YTRAY_HOME where the actors were started;
workers have it from there, and scripts on another machine ask the tracker for it, over Ray, whose token lets them run
code anyway.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from ytray.engine.state.link import CodeNotStored
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable
from ytray.settings import settings

# The signature stands behind the pickle, where unpickling, and so a version that knows of none, does not look.
_MARK: Final = b"\nytray-signed "
_LENGTH: Final = len(_MARK) + 64
CODE_KEPT: Final = 30 * 86400  # seconds since a job needed it last; lua/prelude.lua has the same
_PATIENCE: Final = 20.0  # seconds

_adopted: bytes | None = None


def adopt(given: bytes) -> None:
    """Use the secret of the system that this process works for; b"" where its tracker is older, and knows of none."""
    global _adopted
    _adopted = given


def secret() -> bytes:
    """The system's secret; b"" while its tracker is of a version that signed nothing: so nothing is checked yet.

    Raises SystemUnavailable when the tracker would have to tell, and does not answer.
    """
    if _adopted is not None:
        return _adopted
    if settings().code_secret is None and settings().ray_address:
        return _of_the_tracker()
    return own_secret()  # of this machine's own system, whose actors were started from this home


def own_secret() -> bytes:
    """The secret of the settings, or of this YTRAY_HOME: what the actors get that are started from here."""
    given = settings().code_secret
    return given.get_secret_value().encode() if given is not None else _of_home(settings().home)


def has_own_secret() -> bool:
    """Whether there is one by now."""
    return settings().code_secret is not None or _file(settings().home).exists()


def signed(code: bytes, digest: str) -> bytes:
    """The code as it is stored under that digest."""
    known = secret()
    return code + _MARK + _signature(known, code, digest) if known else code


def checked(stored: bytes, digest: str) -> bytes:
    """The code of what is stored under that digest. Raises CodeNotStored when this system has not signed it as that."""
    known = secret()
    if known and not _is_signed(known, stored, digest):
        raise CodeNotStored(
            f"the code that is stored for this job's task (code:{digest}) is not signed by this system: run the script "
            "that defines it again, and submit any job of it; `ytray upgrade` signs what an older ytray has stored"
        )
    return stored


def sign_what_is_stored(store: Store) -> None:
    """Trust all code that is stored now. For an upgrade, by its operator."""
    known = secret()
    for key in store.redis.scan_iter(store.key("code:*"), count=1000):
        name = cast(bytes, key)
        digest = name.decode(errors="replace").rpartition(":")[2]
        stored = cast("bytes | None", store.redis.get(name))
        if stored is not None and not _is_signed(known, stored, digest):
            left = store.redis.pttl(name)
            trusted = stored + _MARK + _signature(known, stored, digest)
            store.redis.set(name, trusted, px=left if left > 0 else None)


def _is_signed(known: bytes, stored: bytes, digest: str) -> bool:
    code, end = stored[:-_LENGTH], stored[-_LENGTH:]
    return hmac.compare_digest(end, _MARK + _signature(known, code, digest))


def _signature(known: bytes, code: bytes, digest: str) -> bytes:
    return hmac.new(known, f"{digest} ".encode() + code, sha256).hexdigest().encode()


def _of_the_tracker() -> bytes:
    import ray
    from ray.exceptions import RayError

    if not ray.is_initialized():
        return own_secret()
    try:
        ask = getattr(ray.get_actor("JobTracker", namespace=settings().namespace), "code_secret", None)
        return b"" if ask is None else cast(bytes, ray.get(ask.remote(), timeout=_PATIENCE))
    except ValueError:
        return own_secret()  # nobody has started the actors yet
    except RayError as silent:
        raise SystemUnavailable(
            "the tracker, which knows by what shipped code is signed, does not answer; with one "
            "YTRAY_CODE_SECRET on all machines nobody has to ask it"
        ) from silent


@cache
def _of_home(home: Path) -> bytes:
    file = _file(home)
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Of this call alone: what two threads wrote into one file would change after it was read.
        made = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as out:
            out.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another was first: its secret counts
            os.link(made, file)
        made.unlink()
    return file.read_bytes()


def _file(home: Path) -> Path:
    return home / "code_secret"
