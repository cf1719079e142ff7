"""Every atomic move of a batch, a Lua script each (lua/batch_*.lua), over the store. lua/prelude.lua has the keys."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ytray.engine.batch.model import BatchOptions, BatchState, ItemState
from ytray.engine.batch.rows import Row
from ytray.engine.state.store import Store

_log = logging.getLogger("ytray.batches")

STAGE_TTL = 3600  # seconds that an input which is not yet a batch is kept
_MOST_RELEASED = 200  # rows in one move: it keeps Redis busy for some milliseconds
_MOST_REDONE = 1000  # items in one move

_LETTERS = {state.letter: state for state in ItemState}


@dataclass(frozen=True, slots=True)
class Record:
    """What a batch knows of an item. `job_id` is the job that stands, or will stand, for its row."""

    number: int
    state: ItemState
    line: int
    job_id: str
    reused: bool
    key: str


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between a batch and its edited input: `what` is add, change or remove."""

    what: str
    number: int
    row: Row


class Ledger:
    """The batches of one ytray system."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.redis = store.redis
        self.key = store.key

    # ------------------------------------------------------------------------------------------ making

    def stage(self, batch: str, part: int, user: str, task: str, rows: Sequence[Row], *, again: bool) -> list[str]:
        """Put rows aside for a batch to be; returns a verdict for each (lua/batch_stage.lua)."""
        flat: list[Any] = []
        for row in rows:
            flat += (row.line, row.job_id, row.key, int(row.given), row.payload, " ".join(row.earlier_ids))
        reply = self.store.call("batch_stage", batch, part, STAGE_TTL, user, task, int(again), *flat)
        return [verdict.decode() for verdict in reply]

    def drop(self, batch: str) -> None:
        """Forget what was put aside."""
        self.redis.delete(*(self.key(f"{kind}:{batch}") for kind in ("bs", "bk", "bi", "bq")))

    def commit(
        self,
        batch: str,
        options: BatchOptions,
        digest: str,
        same: str,
        *,
        start_ms: int,
        budget: int | None,
        fields: Sequence[str | bytes | int],
    ) -> str:
        """Make the batch of its staged rows, all at once; returns its id, or that of the one with the same key."""
        state = BatchState.SCHEDULED if start_ms or options.cron else BatchState.RUNNING
        made = self.store.call(
            "batch_commit",
            batch,
            options.user_id or "",
            options.idempotency_key or "",
            digest,
            same,
            state.value,
            start_ms,
            "" if budget is None else budget,
            *fields,
        )
        return cast(str, made.decode())

    # ------------------------------------------------------------------------------------------ moving

    def release(self, batch: str, limit: int) -> tuple[int, int]:
        """Make jobs of waiting items, up to `limit` active ones; returns how many, and how many still wait."""
        released, waiting = self.store.call("batch_release", batch, limit, _MOST_RELEASED)
        return released, waiting

    def control(self, batch: str, what: str, reason: str = "") -> BatchState:
        """pause, start or cancel a batch. Raises UnknownBatch, InvalidBatchMove."""
        return BatchState(self.store.call("batch_control", batch, what, reason[:500]).decode())

    def redo(self, batch: str, before_ms: int) -> int:
        """Let every item that failed or was cancelled before a time wait again; returns how many."""
        again = 0
        while True:
            moved = int(self.store.call("batch_redo", batch, before_ms, _MOST_REDONE))
            again += moved
            if not moved:
                return again

    def redo_items(self, batch: str, numbers: Sequence[int]) -> int:
        """The same for some items."""
        return sum(
            self.store.call("batch_redo", batch, 0, _MOST_REDONE, *numbers[start : start + _MOST_REDONE])
            for start in range(0, len(numbers), _MOST_REDONE)
        )

    def discard(self, batch: str, numbers: Sequence[int]) -> list[str]:
        """Give up failed or cancelled items; returns their jobs."""
        jobs: list[str] = []
        for start in range(0, len(numbers), _MOST_REDONE):
            some = self.store.call("batch_discard", batch, *numbers[start : start + _MOST_REDONE])
            jobs += [job.decode() for job in some]
        return jobs

    def put_changes(self, name: str, changes: Sequence[Change]) -> None:
        """Put differences aside, under a name, for `amend`."""
        lines = [
            b"%s\t%d\t%d\t%s\t%s\t%d\t%s"
            % (
                change.what.encode(),
                change.number,
                change.row.line,
                change.row.job_id.encode(),
                change.row.key.encode(),
                change.row.given,
                change.row.payload,
            )
            for change in changes
        ]
        pipe = self.redis.pipeline(transaction=True)
        pipe.rpush(self.key(name), *lines)
        pipe.expire(self.key(name), STAGE_TTL)
        pipe.execute()

    def amend(self, batch: str, name: str) -> tuple[int, int, int]:
        """Apply the differences that were put aside; returns how many were additions, changes and removals."""
        added, changed, removed = self.store.call("batch_amend", batch, self.key(name))
        return added, changed, removed

    def to_stop(self, batch: str, most: int) -> list[str]:
        """Jobs of a cancelled batch that are still to be cancelled."""
        return [job.decode() for job in self.store.call("batch_stop", batch, most)]

    def unwanted(self, most: int) -> list[str]:
        """Jobs of rows that were edited meanwhile, to be cancelled."""
        return [job.decode() for job in self.store.call("batch_unwanted", most)]

    def fire(self, template: str, batch: str, salt: str, next_ms: int, due_ms: int) -> bool:
        """Make a batch of one that runs again and again, since it was due; False when it was made before."""
        return bool(self.store.call("batch_fire", template, batch, salt, next_ms, due_ms))

    def forget(self, batch: str, ended_before_ms: float, *, dry_run: bool) -> bool:
        """Delete a batch that ended before a time; True when it went, or in a dry run would go."""
        return bool(self.store.call("batch_forget", batch, int(ended_before_ms), int(dry_run)))

    # ------------------------------------------------------------------------------------------ reading

    def removed(self, batch: str, numbers: Sequence[int]) -> set[int]:
        """Those of the discarded items whose rows an edited input no longer had."""
        if not numbers:
            return set()
        told = cast("list[bytes | None]", self.redis.hmget(self.key(f"be:{batch}"), [str(n) for n in numbers]))
        return {number for number, why in zip(numbers, told, strict=True) if why is not None}

    def fields(self, batch: str) -> dict[str, str]:
        """The hash b:<batch>; empty where there is none."""
        stored = cast("dict[bytes, bytes]", self.redis.hgetall(self.key(f"b:{batch}")))
        return {name.decode(): value.decode() for name, value in stored.items()}

    def numbers_of(self, batch: str, keys: Sequence[str]) -> list[int | None]:
        """The number of the item with each key."""
        found = cast("list[bytes | None]", self.redis.hmget(self.key(f"bk:{batch}"), list(keys)))
        return [None if number is None else int(number) for number in found]

    def records(self, batch: str, numbers: Sequence[int]) -> list[Record]:
        """What the batch knows of each item of these numbers; of those that there are."""
        if not numbers:
            return []
        stored = cast("list[bytes | None]", self.redis.hmget(self.key(f"bi:{batch}"), [str(n) for n in numbers]))
        found = []
        for number, entry in zip(numbers, stored, strict=True):
            try:
                if entry is not None:
                    found.append(read_record(number, entry))
            except (ValueError, KeyError):
                _log.error("item %d of batch %s cannot be read", number, batch)
        return found

    def unfinished(self, batch: str) -> list[int]:
        """The numbers of the items that failed or were cancelled, in the order of the input."""
        return sorted(int(n) for n in cast("list[bytes]", self.redis.zrange(self.key(f"bf:{batch}"), 0, -1)))

    def active_jobs(self, batch: str) -> list[str]:
        """The jobs of the active items."""
        return [job.decode() for job in cast("set[bytes]", self.redis.smembers(self.key(f"ba:{batch}")))]


def read_record(number: int, entry: bytes) -> Record:
    """An entry of bi:<batch>: "letter line job-id reused key"."""
    letter, line, job_id, reused, key = entry.decode().split(" ", 4)
    return Record(number, _LETTERS[letter], int(line), job_id, reused == "1", key)
