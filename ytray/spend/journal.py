"""The spend journal: each paid call is written down before it is made, and how it ended as soon as that is known.

What happens when a worker dies …
- before the call was sent: the next attempt makes it; nothing was paid.
- after it was sent, before anything was heard: the entry is `uncertain`, its estimate counts as spent, and the call is
  not made again by itself (YTRAY_ON_UNCERTAIN, or `allow`).
- after the provider named a long-running operation: the next attempt asks for that operation and starts no other.
- after the answer was kept: the next attempt, and any later job that wants the same, gets what was bought.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_core import from_json, to_json

from ytray.engine.base.context import CurrentJob
from ytray.engine.base.model import MICRO, time_of
from ytray.engine.state.store import Store
from ytray.errors import InvalidTransition, StaleFence, UnknownJob
from ytray.settings import settings
from ytray.spend.model import Bought, Call, Entry, SpendState, micro

_log = logging.getLogger("ytray.spend")

_HOLD_MS = 3_600_000  # a call that says nothing for an hour no longer counts among those that its model runs


@dataclass(frozen=True, slots=True)
class Opened:
    """What `Intent.open` found: a verdict of lua/spend_open.lua and what goes with it."""

    verdict: str
    told: tuple[str, ...]


class Intent:
    """One paid call of the running job, in the journal."""

    def __init__(self, job: CurrentJob, store: Store, call: Call) -> None:
        self.call = call
        self.key = call.key(job.user_id or "")
        self._job = job
        self._store = store

    def open(self, *, at_once: int, again: bool = False) -> Opened:
        """Write down the intent and reserve the estimate, or find what became of the call earlier."""
        limit = settings().budget_user
        reply = self._store.call(
            "spend_open",
            self.key,
            *self._whose(),
            self._job.user_id or "",
            f"{datetime.now(UTC):%Y-%m}",
            micro(self.call.estimate_usd),
            self.call.provider,
            self.call.model,
            self.call.kind,
            self.call.about[:200],
            int(again),
            settings().on_uncertain,
            "" if limit is None else micro(limit),
            at_once,
            _HOLD_MS,
            settings().journal_ttl,
        )
        verdict, *told = [part.decode() for part in reply]
        if verdict == "STALE":
            raise StaleFence(f"job {self._job.id} no longer belongs to this worker: the call is not made")
        return Opened(verdict, tuple(told))

    def sent(self) -> None:
        """The request goes out now. Raises StaleFence when the job is no longer this worker's: then it must not."""
        if not self._store.call("spend_mark", self.key, *self._whose(), "sent", ""):
            raise StaleFence(f"job {self._job.id} no longer belongs to this worker: the call is not made")

    def started(self, operation: str) -> None:
        """The provider has named the long-running operation."""
        self._store.call("spend_mark", self.key, *self._whose(), "started", operation)

    def done(self, bought: Bought) -> None:
        """The call brought something; what it cost is settled."""
        self._close("done", bought.usd, to_json(dict(bought.units)), to_json(bought.asset), "")

    def failed(self, why: str) -> None:
        """The call was refused, or never sent: it costs nothing."""
        self._close("failed", 0, b"", b"", why)

    def uncertain(self, why: str) -> None:
        """Nobody knows what became of the call: its estimate counts as spent."""
        self._close("uncertain", 0, b"", b"", why)

    def _close(self, outcome: str, usd: float, units: bytes, asset: bytes, why: str) -> None:
        self._store.call(
            "spend_close", self.key, self._job.id, self._job.fence, outcome, micro(usd), units, asset, why[:500]
        )

    def _whose(self) -> tuple[str, int, str]:
        return self._job.id, self._job.fence, self._job.worker


def entries_of_job(store: Store, job_id: str) -> list[Entry]:
    """The paid calls of a job, and of a flow's steps, oldest first. Raises UnknownJob."""
    store.state(job_id)
    jobs, keys = [job_id], set[bytes]()
    while jobs:
        pipe = store.redis.pipeline(transaction=False)
        for one in jobs:
            pipe.smembers(store.key(f"sj:{one}"))
            pipe.smembers(store.key(f"k:{one}"))
        replies = pipe.execute()
        keys.update(*replies[0::2])
        jobs = [kid.decode() for kids in replies[1::2] for kid in kids]
    return sorted(_entries(store, [key.decode() for key in keys]), key=lambda entry: entry.at)


def latest_entries(store: Store, *, user_id: str | None = None, limit: int = 100) -> list[Entry]:
    """The newest paid calls, of everybody or of one user, newest first."""
    listing = "spends" if user_id is None else f"su:{user_id}"
    keys = cast("list[bytes]", store.redis.zrevrange(store.key(listing), 0, limit - 1))
    return _entries(store, [key.decode() for key in keys])


def unknown_call(key: str) -> UnknownJob:
    """The error for a key that no call of the journal has."""
    return UnknownJob(f"no call {key} in the journal")


def entry_of(store: Store, key: str) -> Entry:
    """One paid call. Raises UnknownJob when the journal does not have it."""
    found = _entries(store, [key])
    if not found:
        raise unknown_call(key)
    return found[0]


def allow(store: Store, key: str) -> Entry:
    """Let an uncertain call be made again, by the next attempt that wants it. Raises UnknownJob, InvalidTransition."""
    state = store.call("spend_allow", key).decode()
    if not state:
        raise unknown_call(key)
    if state != SpendState.UNCERTAIN:
        raise InvalidTransition(f"call {key} is {state}; only an uncertain one needs to be allowed again")
    return entry_of(store, key)


def _entries(store: Store, keys: list[str]) -> list[Entry]:
    pipe = store.redis.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(store.key(f"s:{key}"))
    entries = []
    for key, fields in zip(keys, pipe.execute(raise_on_error=False), strict=True):
        try:
            if fields:
                entries.append(_entry(key, fields))
        except (ValueError, KeyError, AttributeError, TypeError):
            _log.error("the entry %s of the spend journal cannot be read", key)
    return entries


def _entry(key: str, stored: Mapping[bytes, bytes]) -> Entry:
    f = {name.decode(): value.decode() for name, value in stored.items()}
    units: dict[str, Any] = from_json(f["units"]) if f.get("units") else {}
    return Entry(
        key=key,
        state=SpendState(f["state"]),
        job_id=f["job"],
        user_id=f["user"] or None,
        provider=f["provider"],
        model=f["model"],
        kind=f["kind"],
        about=f.get("about", ""),
        at=time_of(f["at"]),
        ended_at=time_of(f["ended"]) if "ended" in f else None,
        operation=f.get("op"),
        estimate_usd=int(f["estimate"]) / MICRO,
        cost_usd=int(f["usd"]) / MICRO,
        units=units,
        tries=int(f["tries"]),
        error=f.get("error"),
    )
