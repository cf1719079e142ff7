"""10,000 items under random kills of everything: each has one committed result, and was paid for once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.killing import Chaos
from tests.chaos.tasks_for_chaos import PRICE, paid_flow
from ytray import JobState, batches
from ytray.engine.batch.batches import Batch
from ytray.engine.batch.model import BatchState, ItemState
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store

ITEMS = int(os.environ.get("YTRAY_CHAOS_ITEMS", "10000"))
SEED = int(os.environ.get("YTRAY_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
LONGEST = 1500.0  # seconds
PAUSE = (2.0, 8.0)  # seconds between kills: a new worker needs some until it works


@pytest.mark.chaos
def test_ten_thousand_items_have_one_result_each_and_are_paid_for_once(
    cluster: Any, home: Path, tmp_path: Path
) -> None:
    print(f"\nseed {SEED} (YTRAY_CHAOS_SEED={SEED} repeats it), {ITEMS:,} items")
    bill = tmp_path / "bill"
    bill.touch()
    begun = time.monotonic()
    batch = batches.submit(({"number": number, "bill": str(bill)} for number in range(ITEMS)), task=paid_flow)
    chaos = Chaos(cluster, home, random.Random(SEED), PAUSE)
    chaos.run(LONGEST, is_over=lambda: batch.status().state.has_ended)
    status = batch.wait(timeout=240)
    billed = Counter(bill.read_text().split())
    unheard = [item for item in _all(batch, ItemState.FAILED) if "OutcomeUnknown" in (item.error or "")]
    print(f"killed: {dict(chaos.killed)}; {time.monotonic() - begun:.0f} s")
    print(f"{status.counts}; billed {sum(billed.values()):,} calls, of unknown outcome {len(unheard)}")
    _check_counters(store(), batch)
    # A call that was sent and not heard of when its worker died is never repeated by itself: its item says so.
    assert status.counts.failed == len(unheard) <= max(2, ITEMS // 1000)
    assert status.counts.completed == ITEMS - len(unheard)
    assert max(billed.values()) == 1, "paid twice"
    missing = {str(number) for number in range(ITEMS)} - set(billed)
    assert len(missing) <= len(unheard), "completed without paying"
    assert status.cost_usd == pytest.approx(ITEMS * PRICE)  # an unheard call counts as spent
    assert sum(chaos.killed.values()) >= 10
    assert batch.resume().again == len(unheard)
    assert batch.wait(timeout=60).state is (BatchState.FAILED if unheard else BatchState.COMPLETED)
    assert Counter(bill.read_text().split()) == billed


def _all(batch: Batch, state: ItemState | None = None) -> list[Any]:
    found, cursor = list[Any](), 0
    while True:
        page = batch.items(state, limit=1000, cursor=cursor)
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def _check_counters(system: Store, batch: Batch) -> None:
    """The batch's counters equal a recount by jobs, each of which has been committed once."""
    counts, items = batch.status().counts, _all(batch)
    assert len({item.job_id for item in items}) == len(items) == ITEMS
    by_job = Counter(item.job_state for item in items)
    assert by_job[JobState.COMPLETED] == counts.completed
    assert by_job[JobState.FAILED] == counts.failed
    assert (counts.left, counts.cancelled, counts.discarded) == (0, 0, 0)
    for item in items:
        history = system.history(item.job_id)
        commits = sum(move.to_state is JobState.COMPLETED for move in history)
        assert commits == (item.state is ItemState.COMPLETED), item
        result = system.result(item.job_id)
        assert (result is None) == (item.state is not ItemState.COMPLETED)
    results = {system.result(item.job_id) for item in items if item.state is ItemState.COMPLETED}
    assert len(results) == counts.completed, "two items have one result"
