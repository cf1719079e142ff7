"""`process_batch`: a batch of briefs as a job of its own, for who wants to wait for all of them in one place."""

from __future__ import annotations

import asyncio

from pydantic_core import from_json

from ytray.engine.base.context import CurrentJob
from ytray.engine.batch.batches import Batch
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions, Item, ItemState
from ytray.engine.batch.preparing import Preparation
from ytray.engine.jobs.task import find
from ytray.engine.state.store import Store
from ytray.studio.model import BatchOutcome, Brief

_LOOK_EVERY = 0.25  # seconds
_PAGE = 1000  # items


async def run_batch(
    job: CurrentJob, store: Store, items: list[Brief], *, budget_usd: float | None, concurrency: int | None
) -> BatchOutcome:
    """Make a batch of `items` for the flow `job`, or find the one that it made before, and wait until it has ended.

    When the job is cancelled, so is the batch: the feeder sees to it (engine/batch/feeder.py).
    """
    ledger = Ledger(store)
    batch = Batch(f"b{job.id}")
    if not ledger.fields(batch.id):
        options = BatchOptions(user_id=job.user_id, budget_usd=budget_usd, concurrency=concurrency)
        ledger.drop(batch.id)  # of a run that was killed while it put its rows aside
        rows = [brief.model_dump(mode="json", exclude_defaults=True) for brief in items]
        Preparation(ledger, find("process_batch_item"), rows, options, batch_id=batch.id, owner=job.id).commit(
            skip_invalid=True
        )
    while not (status := batch.status()).state.has_ended:
        job.progress(status.progress, f"{status.counts.total - status.counts.left} of {status.total} items done")
        await asyncio.sleep(_LOOK_EVERY)
    return _outcome(store, batch, items)


def _outcome(store: Store, batch: Batch, items: list[Brief]) -> BatchOutcome:
    by_line = {item.line: item for item in _all_items(batch)}
    first_line = {brief.model_dump_json(): line for line, brief in reversed([*enumerate(items, 1)])}
    found = [by_line[first_line[brief.model_dump_json()]] for brief in items]
    return BatchOutcome(
        batch_id=batch.id,
        completed=sum(item.state is ItemState.COMPLETED for item in found),
        failed=sum(item.state is not ItemState.COMPLETED for item in found),
        videos=[_video(store, item) for item in found],
        errors=[None if item.state is ItemState.COMPLETED else item.error or item.state.lower() for item in found],
    )


def _all_items(batch: Batch) -> list[Item]:
    found, cursor = list[Item](), 0
    while True:
        page = batch.items(limit=_PAGE, cursor=cursor)
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def _video(store: Store, item: Item) -> str | None:
    if item.state is not ItemState.COMPLETED or item.job_id is None:
        return None
    result = store.result(item.job_id)
    return None if result is None else str(from_json(result)["video"]["uri"])
