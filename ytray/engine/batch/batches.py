"""`ytray.batches`: many rows of one task as one thing, from any process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from ytray.engine.base.context import refuse_in_flow
from ytray.engine.base.model import MICRO
from ytray.engine.base.names import did_you_mean
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import (
    DEFAULT_TASK,
    BatchOptions,
    BatchPage,
    BatchState,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    ItemState,
    Resumed,
)
from ytray.engine.batch.preparing import Comparison, Preparation
from ytray.engine.batch.reading import batch_status, failed_items, items_page
from ytray.engine.batch.report import Report, report
from ytray.engine.batch.rows import check_batchable
from ytray.engine.batch.sources import Format, Source
from ytray.engine.batch.triage import fingerprint_of, group
from ytray.engine.jobs.task import Task, find
from ytray.engine.state.code import resolve
from ytray.engine.state.connection import running_store, store
from ytray.engine.state.records import read_cursor, unknown_batch, write_cursor
from ytray.errors import DamagedBatch, InvalidArguments, InvalidBatchMove, UnknownBatch, UnknownJob

_log = logging.getLogger("ytray.batches")

_DEEPEST = 8  # flows in flows


class Batch:
    """A batch. `Batch("an-id")` is a handle on any; it is looked up when it is asked something."""

    __slots__ = ("id",)

    def __init__(self, batch_id: str) -> None:
        self.id = batch_id

    def __repr__(self) -> str:
        return f"Batch({self.id!r})"

    def status(self) -> BatchStatus:
        """How it stands now. Raises UnknownBatch."""
        return batch_status(_ledger(), self.id)

    def items(self, state: ItemState | str | None = None, *, limit: int = 100, cursor: int | None = None) -> ItemPage:
        """Its items in the order of the input; a page's `next_cursor`, as `cursor`, leads on. Raises UnknownBatch."""
        if not 1 <= limit <= 1_000:
            raise InvalidArguments(f"a page has a limit of 1 to 1,000 items, not {limit}")
        return items_page(_ledger(), self.id, None if state is None else _item_state(state), limit, cursor or 0)

    def errors(self) -> list[ErrorGroup]:
        """Its failed and cancelled items in groups of like errors, the most frequent first. Raises UnknownBatch."""
        return group(failed_items(_ledger(), self.id), self.id)

    def report(self) -> Report:
        """What became of it and what to do next, for people. Raises UnknownBatch."""
        return report(self.status(), self.errors())

    def wait(self, timeout: float | None = None) -> BatchStatus:
        """Wait for its end, at most `timeout` seconds.

        Raises TimeoutError, UnknownBatch; in a task, Deadlock when its items need the slot that the task keeps; in a
        flow, BlockingCall.
        """
        refuse_in_flow("batch.wait()", "`await asyncio.to_thread(batch.wait)`")
        for _ in running_store().endings([self.id], timeout, "b"):
            break
        return self.status()

    def pause(self, reason: str = "paused by its user") -> BatchStatus:
        """Start no more of its items; those that run go on. Raises InvalidBatchMove unless it runs, UnknownBatch."""
        _ledger().control(self.id, "pause", reason)
        return self.status()

    def cancel(self, reason: str = "cancelled by its user") -> BatchStatus:
        """Stop it and its items. What is done stays done; `resume` goes on. Raises InvalidBatchMove, UnknownBatch."""
        _ledger().control(self.id, "cancel", reason)
        return self.status()

    def resume(self, source: Source | None = None, *, format: Format | None = None) -> Resumed:
        """Do what is missing: a paused or cancelled batch goes on, items that failed or were cancelled run again.

        Finished stages of an item are not done again. A finished batch stays as it is.

        Args:
            source: the input once more, edited: rows are compared by their keys, and added, changed (made anew) or
                given up.

        Raises InvalidRows when a row of it is wrong, and then changes nothing; UnknownBatch, InvalidBatchMove when it
        has not started yet.
        """
        ledger = Ledger(running_store())
        fields = _fields(ledger, self.id)
        if fields["state"] == BatchState.SCHEDULED:
            raise InvalidBatchMove(f"batch {self.id} has not started yet: it is SCHEDULED; nothing was changed")
        before_ms = ledger.store.now_ms()
        added = changed = removed = 0
        if source is not None:
            comparison = Comparison(ledger, _task_of(ledger, fields), self.id, fields, source, format)
            added, changed, removed = comparison.apply()
        again = ledger.redo(self.id, before_ms)
        return Resumed(
            batch_id=self.id,
            state=BatchState(_fields(ledger, self.id)["state"]),
            again=again,
            added=added,
            changed=changed,
            removed=removed,
        )

    def replay(self, fingerprint: str) -> int:
        """Run the items of one group of `errors` again; returns how many. Raises InvalidArguments, UnknownBatch."""
        ledger = Ledger(running_store())
        return ledger.redo_items(self.id, _group_members(ledger, self.id, fingerprint))

    def discard(self, fingerprint: str) -> int:
        """Give up the items of one group of `errors`; returns how many. Raises InvalidArguments, UnknownBatch."""
        ledger = _ledger()
        jobs = ledger.discard(self.id, _group_members(ledger, self.id, fingerprint))
        for job_id in jobs:
            _leave_dead_letters(ledger, job_id)
        return len(jobs)

    def change(
        self, *, priority: int | None = None, concurrency: int | None = None, budget_usd: float | None = None
    ) -> BatchStatus:
        """Change what was chosen for it; None leaves a thing as it is. Raises InvalidArguments, UnknownBatch.

        Items that have a job already keep its priority.
        """
        chosen = {"priority": priority, "concurrency": concurrency, "budget_usd": budget_usd}
        options = checked_options({name: value for name, value in chosen.items() if value is not None})
        ledger = _ledger()
        _fields(ledger, self.id)
        pipe = ledger.redis.pipeline(transaction=True)
        if priority is not None:
            pipe.hset(ledger.key(f"b:{self.id}"), "prio", options.priority)
        if options.concurrency is not None:
            pipe.hset(ledger.key(f"b:{self.id}"), "concurrency", options.concurrency)
        if options.budget_usd is not None:
            pipe.hset(ledger.key("budgets"), f"flow|{self.id}", round(options.budget_usd * MICRO))
        pipe.execute()
        ledger.store.wake("feeder")
        return self.status()


class Batches:
    """Submit, find and list batches."""

    def submit(
        self,
        source: Source,
        *,
        task: str | Task[..., Any] = DEFAULT_TASK,
        skip_invalid: bool = False,
        format: Format | None = None,
        **options: Any,
    ) -> Batch:
        """Make a batch of a file (CSV, JSONL) or of mappings: all rows or, when one is wrong, none.

        Args:
            task: whose arguments the rows are; its name, or the task itself.
            skip_invalid: leave wrong rows out.
            options: those of `BatchOptions`: name, user_id, concurrency, budget_usd, priority, start_at, cron, …

        Raises InvalidRows, InvalidArguments, UnknownTask, IdempotencyConflict; then nothing was submitted.
        """
        prepared = self.prepare(source, task=task, options=checked_options(options), format=format)
        return Batch(prepared.commit(skip_invalid=skip_invalid))

    def prepare(
        self,
        source: Source,
        *,
        task: str | Task[..., Any] = DEFAULT_TASK,
        options: BatchOptions | None = None,
        format: Format | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> Preparation:
        """Read and check an input, and tell what it would take; nothing is submitted until it is committed.

        Raises InvalidArguments when it cannot be read at all, UnknownTask.
        """
        check_batchable(task if isinstance(task, str) else task.name)
        ledger = Ledger(running_store())
        found = find(task) if isinstance(task, str) else task
        return Preparation(ledger, found, source, options or BatchOptions(), format=format, told=told)

    def get(self, batch_id: str) -> Batch:
        """A batch by its id. Raises UnknownBatch."""
        _fields(_ledger(), batch_id)
        return Batch(batch_id)

    def page(
        self,
        *,
        state: BatchState | str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> BatchPage:
        """The newest batches; give a page's `next_cursor` as `cursor` to go on. Raises InvalidArguments."""
        if not 1 <= limit <= 1_000:
            raise InvalidArguments(f"a page has a limit of 1 to 1,000 batches, not {limit}")
        wanted = None if state is None else _batch_state(state)
        ledger = _ledger()
        listing = "batches" if user_id is None else f"ub:{user_id}"
        place = None if cursor is None else read_cursor(cursor)
        found: list[BatchStatus] = []
        while len(found) < limit:
            rows = ledger.store.indexed([listing], limit, place)
            for row in rows:
                place = row
                status = _status_if_there(ledger, row[1])
                if status is not None and wanted in (None, status.state):
                    found.append(status)
                    if len(found) == limit:
                        break
            if len(rows) < limit:
                place = None if len(found) < limit or not rows or place == rows[-1] else place
                break
        return BatchPage(batches=found, next_cursor=None if place is None else write_cursor(place))

    def cleanup(self, ended_before_ms: float, *, dry_run: bool = False) -> list[str]:
        """Delete the batches that ended before a time; returns those that went, or in a dry run would go."""
        ledger = _ledger()
        ids = ledger.redis.zrangebyscore(ledger.key("batches"), "-inf", ended_before_ms)
        names = [batch.decode() for batch in ids if isinstance(batch, bytes)]
        return [batch for batch in names if ledger.forget(batch, ended_before_ms, dry_run=dry_run)]


def checked_options(given: dict[str, Any]) -> BatchOptions:
    """Options by name. Raises InvalidArguments, which says what is wrong with the first of them."""
    for name in given:
        if name not in BatchOptions.model_fields:
            raise InvalidArguments(f"a batch has no option {name!r}{did_you_mean(name, BatchOptions.model_fields)}")
    try:
        return BatchOptions(**given)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        raise InvalidArguments(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _group_members(ledger: Ledger, batch_id: str, wanted: str) -> list[int]:
    """The numbers of the failed items of one group. Raises InvalidArguments when no group has that fingerprint."""
    numbers = [item.number for item in failed_items(ledger, batch_id) if fingerprint_of(item) == wanted]
    if not numbers:
        raise InvalidArguments(f"batch {batch_id} has no group of errors {wanted!r}")
    return numbers


def _ledger() -> Ledger:
    return Ledger(store())


def _fields(ledger: Ledger, batch_id: str) -> dict[str, str]:
    fields = ledger.fields(batch_id)
    if not fields:
        raise unknown_batch(batch_id)
    return fields


def _task_of(ledger: Ledger, fields: dict[str, str]) -> Task[..., Any]:
    code: str = from_json(fields["head"] + "null}")["code"]
    found: Task[..., Any] = resolve(code, ledger.store)
    return found


def _status_if_there(ledger: Ledger, batch_id: str) -> BatchStatus | None:
    try:
        return batch_status(ledger, batch_id)
    except UnknownBatch:
        return None  # cleaned up while the listing was read
    except DamagedBatch as damaged:
        _log.error("%s", damaged)  # it is left out; whoever asks for it by its id is told
        return None


def _leave_dead_letters(ledger: Ledger, job_id: str, depth: int = 0) -> None:
    """Take a job and the steps under it out of the dead-letter queue: nobody will replay them."""
    with contextlib.suppress(UnknownJob):
        ledger.store.settle_dead_letter(job_id, "remove")
    if depth < _DEEPEST:
        for kid in ledger.redis.smembers(ledger.key(f"k:{job_id}")):
            if isinstance(kid, bytes):
                _leave_dead_letters(ledger, kid.decode(), depth + 1)


def _item_state(name: str) -> ItemState:
    if name.upper() not in ItemState.__members__:
        raise InvalidArguments(
            f"there is no state {name!r} of an item{did_you_mean(name.upper(), ItemState.__members__)}"
        )
    return ItemState(name.upper())


def _batch_state(name: str) -> BatchState:
    if name.upper() not in BatchState.__members__:
        raise InvalidArguments(
            f"there is no state {name!r} of a batch{did_you_mean(name.upper(), BatchState.__members__)}"
        )
    return BatchState(name.upper())


batches = Batches()
