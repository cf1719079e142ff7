"""What is read of batches: how they stand, their items, and what went wrong. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import redis

from ytray.engine.base.model import MICRO, JobState, time_of
from ytray.engine.base.values import read
from ytray.engine.batch.eta import Pace, eta, forecast_usd
from ytray.engine.batch.fingerprint import frame_of, innermost
from ytray.engine.batch.ledger import Ledger, Record
from ytray.engine.batch.model import BatchState, BatchStatus, Eta, Item, ItemCounts, ItemPage, ItemState, Retries, Stage
from ytray.engine.batch.stages import read_stages, slots_of, stages_of_task
from ytray.engine.batch.triage import FailedItem
from ytray.engine.state.reading import milliseconds
from ytray.engine.state.records import UNREADABLE, percent, read_state, unknown_batch
from ytray.errors import DamagedBatch, UnknownBatch

_LOOKED_AT = 1000  # items in one read
_DUE_LOOKED_AT = 1000  # jobs that wait for a time, of everybody's, among which a batch's are looked for
_ACTIVE_SHOWN = 2000  # active items whose jobs' states are read; of more the rest counts as queued


def batch_status(ledger: Ledger, batch: str) -> BatchStatus:
    """All about one batch. Raises UnknownBatch, DamagedBatch."""
    try:
        return _batch_status(ledger, batch)
    except UnknownBatch:
        raise
    except (*UNREADABLE, redis.ResponseError) as wrong:
        if isinstance(wrong, redis.ResponseError) and "WRONGTYPE" not in str(wrong):
            raise
        raise DamagedBatch(f"what Redis has of batch {batch} cannot be read: {wrong!r:.200}") from None


def _batch_status(ledger: Ledger, batch: str) -> BatchStatus:
    key = ledger.key
    pipe = ledger.redis.pipeline(transaction=True)
    pipe.hgetall(key(f"b:{batch}"))
    pipe.hgetall(key(f"bd:{batch}"))
    pipe.hget(key("budgets"), f"flow|{batch}")
    pipe.hget(key("held"), f"flow|{batch}")
    pipe.srandmember(key(f"ba:{batch}"), _ACTIVE_SHOWN)
    pipe.time()
    stored, durations, budget, held, active, told = pipe.execute()
    if not stored:
        raise unknown_batch(batch)
    f = {name.decode(): value.decode() for name, value in stored.items()}
    states = ledger.store.states([job.decode() for job in active])
    counts = _counts(f, states)
    state = BatchState(f["state"])
    stages = read_stages(durations)
    started = _time(f, "started")
    done = counts.completed - int(f["reused"])
    seconds = _seconds_of_work(f, started, milliseconds(told))
    cost = int(f.get("cost", 0)) / MICRO
    running = state in (BatchState.RUNNING, BatchState.PAUSED)
    return BatchStatus(
        batch_id=batch,
        name=f.get("name"),
        task_name=f["task"],
        user_id=f.get("user"),
        state=state,
        reason=f.get("reason"),
        total=int(f["total"]),
        counts=counts,
        reused=int(f["reused"]),
        progress=100.0 * (counts.total - counts.left) / max(1, counts.total),
        created_at=time_of(f["created"]),
        started_at=started,
        ended_at=_time(f, "ended"),
        start_at=_time(f, "start") if state is BatchState.SCHEDULED else None,
        cron=f.get("cron"),
        priority=int(f["prio"]),
        concurrency=int(f["concurrency"]) if "concurrency" in f else None,
        budget_usd=None if budget is None else int(budget) / MICRO,
        cost_usd=cost,
        reserved_usd=int(held or 0) / MICRO,
        forecast_usd=forecast_usd(cost, done, counts.failed + done, counts.left),
        items_per_minute=None if done <= 0 or seconds <= 0 else done / seconds * 60,
        eta=_eta(ledger, batch, f, counts, stages, done, seconds) if running else None,
        stages=stages,
        retries=_retries(ledger, batch) if running else [],
        webhook_error=f.get("webhook_error"),
        metadata=read(f["head"] + "null}").get("metadata", {}),
    )


def _retries(ledger: Ledger, batch: str) -> list[Retries]:
    """What of a batch waits to be tried again, as far as it is among the jobs due first; what waits longest first."""
    first = cast("list[bytes]", ledger.redis.zrange(ledger.key("due"), 0, _DUE_LOOKED_AT - 1))
    due = [job.decode(errors="replace") for job in first]
    if not due:
        return []
    owners = sorted({job.partition(".")[0] for job in due})  # the ids of steps begin with that of their item
    pipe = ledger.redis.pipeline(transaction=False)
    for job in owners:
        pipe.hget(ledger.key(f"j:{job}"), "items")
    places = zip(owners, pipe.execute(raise_on_error=False), strict=True)
    own = {job for job, items in places if isinstance(items, bytes) and _is_item(batch, items)}
    mine = [job for job in due if job.partition(".")[0] in own]
    for job in mine:
        pipe.hmget(ledger.key(f"j:{job}"), ["state", "task", "error", "note", "due"])
    alike: dict[tuple[str, str], list[float]] = {}
    for told in pipe.execute(raise_on_error=False):
        if isinstance(told, list) and told[0] == b"RETRYING" and told[4]:
            task, error, note = ((value or b"").decode(errors="replace") for value in told[1:4])
            alike.setdefault((task, error or note), []).append(_number(told[4], float))
    found = [
        Retries(task_name=task, error=error, count=len(times), until=time_of(min(times)))
        for (task, error), times in alike.items()
    ]
    return sorted(found, key=lambda one: one.until, reverse=True)


def _counts(f: dict[str, str], states: Sequence[JobState | None]) -> ItemCounts:
    active = int(f["active"])
    executing = sum(state is JobState.EXECUTING for state in states)
    retrying = sum(state is JobState.RETRYING for state in states)
    return ItemCounts(
        waiting=int(f["waiting"]),
        queued=max(0, active - executing - retrying),
        executing=executing,
        retrying=retrying,
        completed=int(f["completed"]),
        failed=int(f["failed"]),
        cancelled=int(f["cancelled"]),
        discarded=int(f["discarded"]),
    )


def _eta(
    ledger: Ledger,
    batch: str,
    f: dict[str, str],
    counts: ItemCounts,
    stages: list[Stage],
    done: int,
    seconds: float,
) -> Eta | None:
    earlier_items, earlier = stages_of_task(ledger, f["task"])
    took = int(f.get("took", 0))
    steps = cast("dict[bytes, bytes]", ledger.redis.hgetall(ledger.key(f"bp:{batch}")))
    share = float(f.get("share", 1))
    return eta(
        Pace(
            waiting=counts.waiting,
            active=counts.active,
            completed=done,
            stages=stages,
            slots={queue: max(share * number, 0.01) for queue, number in slots_of(ledger).items()},
            elapsed=seconds,
            item_seconds=int(f["took_ms"]) / took / 1000 if took else None,
            window=int(f["concurrency"]) if "concurrency" in f else None,
            per_item={task.decode(): int(n) / took for task, n in steps.items()} if steps and took else None,
            earlier=earlier,
            earlier_items=earlier_items,
        )
    )


def _time(f: dict[str, str], name: str) -> datetime | None:
    return time_of(f[name]) if name in f else None


def _seconds_of_work(f: dict[str, str], started: datetime | None, now_ms: int) -> float:
    if started is None:
        return 0.0
    ended = float(f.get("ended", now_ms)) / 1000
    idle = int(f.get("idle_ms", 0)) / 1000
    if "idle_from" in f:
        ended = float(f["idle_from"]) / 1000
    return max(0.0, ended - started.timestamp() - idle)


def items_page(ledger: Ledger, batch: str, state: ItemState | None, limit: int, after: int) -> ItemPage:
    """Items of a batch whose numbers come after `after`, in the order of the input. Raises UnknownBatch."""
    f = ledger.fields(batch)
    if not f:
        raise unknown_batch(batch)
    found: list[Record] = []
    for records in _records_after(ledger, batch, int(f["total"]), state, after):
        for record in records:
            if state is None or record.state is state:
                found.append(record)
                if len(found) > limit:
                    return ItemPage(items=_described(ledger, batch, found[:limit]), next_cursor=found[limit - 1].number)
    return ItemPage(items=_described(ledger, batch, found), next_cursor=None)


def _records_after(
    ledger: Ledger, batch: str, total: int, state: ItemState | None, after: int
) -> Iterator[list[Record]]:
    numbers: Sequence[int] = range(after + 1, total + 1)
    if state in (ItemState.FAILED, ItemState.CANCELLED):
        numbers = [number for number in ledger.unfinished(batch) if number > after]
    elif state is ItemState.ACTIVE:
        numbers = sorted(number for number in _active_numbers(ledger, batch) if number > after)
    for start in range(0, len(numbers), _LOOKED_AT):
        yield ledger.records(batch, numbers[start : start + _LOOKED_AT])


def _is_item(batch: str, items: bytes) -> bool:
    """Whether one of the items that a job is, written as batch:number, is a batch's."""
    return any(place.rpartition(":")[0] == batch for place in items.decode(errors="replace").split())


def _active_numbers(ledger: Ledger, batch: str) -> list[int]:
    jobs = ledger.active_jobs(batch)
    pipe = ledger.redis.pipeline(transaction=False)
    for job in jobs:
        pipe.hget(ledger.key(f"j:{job}"), "items")
    found = pipe.execute(raise_on_error=False)
    places = [place for items in found if isinstance(items, bytes) for place in items.decode(errors="replace").split()]
    parts = (place.rpartition(":") for place in places)
    return [int(number) for of, _, number in parts if of == batch and number.isdecimal()]


def _described(ledger: Ledger, batch: str, records: Sequence[Record]) -> list[Item]:
    pipe = ledger.redis.pipeline(transaction=False)
    for record in records:
        pipe.hmget(ledger.key(f"j:{record.job_id}"), ["state", "progress", "error", "cost"])
        pipe.hget(ledger.key(f"be:{batch}"), str(record.number))
    replies = pipe.execute(raise_on_error=False)
    return [
        _item(record, fields, refused)
        for record, fields, refused in zip(records, replies[0::2], replies[1::2], strict=True)
    ]


def _item(record: Record, fields: Sequence[bytes | None] | Exception, refused: bytes | None) -> Item:
    state, progress, error, cost = fields if isinstance(fields, list) else (None, None, None, None)
    has_job = state is not None and record.state is not ItemState.WAITING and refused is None
    failed = record.state in (ItemState.FAILED, ItemState.ACTIVE)
    told = refused.partition(b"\n")[0] if refused else error if failed else None
    return Item(
        number=record.number,
        line=record.line,
        key=record.key,
        state=record.state,
        job_id=record.job_id if has_job else None,
        job_state=read_state(state) if has_job and state is not None else None,
        progress=100.0 if record.state is ItemState.COMPLETED else _number(progress, percent) if has_job else 0.0,
        error=told.decode(errors="replace") if told else None,
        cost_usd=_number(cost, int) / MICRO if has_job and not record.reused else 0.0,
        reused=record.reused,
    )


def _number(stored: bytes | None, kind: Callable[[bytes], float]) -> float:
    """A number of a job; 0 where somebody has stored something else. (The job's own status says so.)"""
    try:
        return kind(stored or b"0")
    except ValueError:
        return 0


def failed_items(ledger: Ledger, batch: str) -> Iterator[FailedItem]:
    """Every item of a batch that failed or was cancelled, with the error of the step to blame. Raises UnknownBatch."""
    if not ledger.fields(batch):
        raise unknown_batch(batch)
    numbers = ledger.unfinished(batch)
    for start in range(0, len(numbers), _LOOKED_AT):
        records = ledger.records(batch, numbers[start : start + _LOOKED_AT])
        yield from _failures(ledger, batch, records)


def _failures(ledger: Ledger, batch: str, records: Sequence[Record]) -> Iterator[FailedItem]:
    refused = ledger.redis.hmget(ledger.key(f"be:{batch}"), [str(r.number) for r in records]) if records else []
    stored = _job_fields(ledger, [record.job_id for record in records])
    errors = [
        f"JobCancelled: job {record.job_id} was cancelled"
        if record.state is ItemState.CANCELLED
        else (told.partition(b"\n")[0] if told else fields[0] or b"").decode(errors="replace")
        for record, told, fields in zip(records, cast("list[bytes | None]", refused), stored, strict=True)
    ]
    blamed = [innermost(error)[0] or record.job_id for error, record in zip(errors, records, strict=True)]
    for record, error, own, fields in zip(records, errors, stored, _job_fields(ledger, blamed), strict=True):
        # A step that is no longer there leaves what its flow said of it.
        _, traceback, task, _, retries = fields if fields[2] else own
        yield FailedItem(
            number=record.number,
            line=record.line,
            key=record.key,
            job_id=record.job_id if own[2] else "",
            error=error,
            frame=frame_of((traceback or b"").decode(errors="replace")),
            task_name=(task or b"").decode(errors="replace"),
            at=time_of(_number(own[3], float)) if own[3] else datetime.now(UTC),
            retries=int(_number(retries, int)),
        )


def _job_fields(ledger: Ledger, jobs: Sequence[str]) -> list[list[Any]]:
    pipe = ledger.redis.pipeline(transaction=False)
    for job in jobs:
        pipe.hmget(ledger.key(f"j:{job}"), ["error", "traceback", "task", "ended", "retries"])
    return [fields if isinstance(fields, list) else [None] * 5 for fields in pipe.execute(raise_on_error=False)]
