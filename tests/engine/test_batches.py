"""Batches: accepted all or none, each row done once, resumed where they stand, counted exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tasks_for_batches import fragile_item, patient_item, patient_stage, plain_item, staged_item
from tests.engine.tasks_for_tests import times
from ytray import InvalidArguments, JobState, UnknownBatch, batches, dlq, job_tracker
from ytray.engine.batch.batches import Batch
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchState, InvalidRows, ItemState
from ytray.engine.state.store import Store
from ytray.errors import IdempotencyConflict, InvalidBatchMove
from ytray.spend.budgets import user_budget

Until = Callable[..., None]


def rows(folder: Path, *names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"folder": str(folder), "name": name, **more} for name in names]


def recount(system: Store, batch: Batch) -> Counter[str]:
    """The states of all items, by their jobs where they have one that ended."""
    found: Counter[str] = Counter()
    cursor = 0
    while True:
        page = batch.items(limit=1000, cursor=cursor)
        for item in page.items:
            if item.job_state is not None and item.job_state.has_ended and item.state is not ItemState.DISCARDED:
                assert item.state.value == item.job_state.value, item
            found[item.state.value] += 1
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def test_every_row_of_a_batch_becomes_one_committed_result(system: Store, tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(300)]
    batch = batches.submit(rows(tmp_path, *names), task=plain_item, name="three hundred")
    status = batch.wait(timeout=60)
    assert (status.state, status.total, status.counts.completed) == (BatchState.COMPLETED, 300, 300)
    assert (status.name, status.progress, status.reused) == ("three hundred", 100.0, 0)
    assert all(times(tmp_path, name) == 1 for name in names)
    assert recount(system, batch) == {"COMPLETED": 300}
    item = batch.items(limit=1).items[0]
    assert job_tracker.get_status(item.job_id or "").result == "n0"
    assert job_tracker.get_status(item.job_id or "").parent_id == batch.id
    stage = status.stages[0]
    assert (stage.task_name, stage.queue, stage.done) == ("plain_item", "default", 300)


def stored(system: Store) -> set[bytes]:
    """The keys of all jobs and batches."""
    kinds = tuple(system.key(kind).encode() for kind in ("j:", "b:"))
    return {key for key in system.redis.scan_iter(count=10_000) if key.startswith(kinds)}


def test_steps_that_wait_to_be_tried_again_are_told_with_their_batch(
    system: Store, tmp_path: Path, until: Until
) -> None:
    other = patient_stage.delay(str(tmp_path))  # nobody's: it waits, too
    batch = batches.submit(rows(tmp_path, "a", "b"), task=patient_item)
    until(lambda: sum(one.count for one in batch.status().retries) == 2)
    (waits,) = batch.status().retries
    assert (waits.task_name, waits.error, waits.count) == ("patient_stage", "OSError: the network is away", 2)
    assert waits.until == min(
        step.next_retry_at or waits.until
        for item in batch.items().items
        for step in job_tracker.children(item.job_id or "")
    )
    job_tracker.cancel(other.id)
    batch.cancel()
    until(lambda: not batch.status().retries)


def test_a_wrong_row_is_told_with_its_line_and_nothing_runs(system: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"folder,name\n{tmp_path},good\n{tmp_path},\n{tmp_path},good\n")
    before = stored(system)
    with pytest.raises(InvalidRows, match=r"line 3, name: .* \(and 1 more\); nothing was submitted") as refused:
        batches.submit(file, task=plain_item)
    assert [(row.line, row.field) for row in refused.value.rows] == [(3, "name"), (4, "key")]
    assert "an earlier row is the same" in refused.value.rows[1].reason
    assert not times(tmp_path, "good")
    assert stored(system) == before
    batch = batches.submit(file, task=plain_item, skip_invalid=True)
    assert batch.wait(timeout=30).total == 1


def test_a_batch_of_batches_is_refused_by_name(system: Store) -> None:
    with pytest.raises(InvalidArguments, match="a batch of batches is refused"):
        batches.submit([{"items": []}], task="process_batch")


def test_a_row_is_done_once_across_batches(system: Store, tmp_path: Path) -> None:
    first = batches.submit(rows(tmp_path, "a", "b"), task=plain_item)
    first.wait(timeout=30)
    second = batches.submit(rows(tmp_path, "b", "c"), task=plain_item)
    status = second.wait(timeout=30)
    assert (status.counts.completed, status.reused) == (2, 1)
    assert [times(tmp_path, name) for name in "abc"] == [1, 1, 1]
    assert [item.reused for item in second.items().items] == [True, False]


def test_the_same_rows_submitted_twice_at_once_are_one_batchs_work(system: Store, tmp_path: Path, until: Until) -> None:
    pair = [batches.submit(rows(tmp_path, "x", "y"), task=staged_item) for _ in range(2)]
    until(lambda: times(tmp_path, "x-first") and times(tmp_path, "y-first"))
    (tmp_path / "gate").touch()
    for batch in pair:
        assert batch.wait(timeout=30).counts.completed == 2
    assert {name: times(tmp_path, name) for name in ("x-first", "x-last", "y-first", "y-last")} == dict.fromkeys(
        ("x-first", "x-last", "y-first", "y-last"), 1
    )
    keyed = [batches.submit(rows(tmp_path, "z"), task=plain_item, idempotency_key=f"{tmp_path}") for _ in range(2)]
    assert keyed[0].id == keyed[1].id
    with pytest.raises(IdempotencyConflict):
        batches.submit(rows(tmp_path, "other"), task=plain_item, idempotency_key=f"{tmp_path}")


def test_a_key_stands_for_one_row_across_time(system: Store, tmp_path: Path) -> None:
    key = f"episode-{tmp_path.name}"
    batches.submit(rows(tmp_path, "a", key=key), task=plain_item).wait(timeout=30)
    with pytest.raises(InvalidRows, match="stands for another row"):
        batches.submit(rows(tmp_path, "edited", key=key), task=plain_item)
    assert not times(tmp_path, "edited")


def test_resuming_a_cancelled_batch_does_no_finished_stage_again(system: Store, tmp_path: Path, until: Until) -> None:
    batch = batches.submit(rows(tmp_path, "x", "y"), task=staged_item)
    until(lambda: times(tmp_path, "started-gate") == 2)
    batch.cancel()
    until(lambda: batch.status().counts.active == 0)
    status = batch.status()
    assert (status.state, status.counts.cancelled) == (BatchState.CANCELLED, 2)
    cancelled = [item.job_id for item in batch.items().items]
    (tmp_path / "gate").touch()
    resumed = batch.resume()
    assert resumed.again == 2
    assert batch.wait(timeout=30).state is BatchState.COMPLETED
    assert [times(tmp_path, name) for name in ("x-first", "y-first", "x-last", "y-last")] == [1, 1, 1, 1]
    assert times(tmp_path, "started-gate") == 4
    again = [item.job_id for item in batch.items().items]
    assert again == [f"{job_id}_2" for job_id in cancelled]
    assert batch.resume().again == 0
    assert batch.status().state is BatchState.COMPLETED


def test_resuming_runs_failed_items_again_and_no_finished_stage(system: Store, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    (tmp_path / "y-last-is-broken").touch()
    batch = batches.submit(rows(tmp_path, "x", "y"), task=staged_item)
    status = batch.wait(timeout=30)
    assert (status.state, status.counts.completed, status.counts.failed) == (BatchState.FAILED, 1, 1)
    (tmp_path / "y-last-is-broken").unlink()
    assert batch.resume().again == 1
    assert batch.wait(timeout=30).state is BatchState.COMPLETED
    assert [times(tmp_path, name) for name in ("x-first", "x-last", "y-first", "y-last")] == [1, 1, 1, 2]
    mine = {item.job_id for item in batch.items().items}
    assert not [letter for letter in dlq.list_all() if letter.job_id.partition(".")[0] in mine]
    assert recount(system, batch) == {"COMPLETED": 2}


def test_replaying_an_item_from_the_dead_letter_queue_moves_its_batch(system: Store, tmp_path: Path) -> None:
    batch = batches.submit(rows(tmp_path, "a", fails=True), task=fragile_item)
    assert batch.wait(timeout=30).state is BatchState.FAILED
    (tmp_path / "mended").touch()
    dlq.retry_task(batch.items().items[0].job_id or "")
    assert batch.wait(timeout=30).state is BatchState.COMPLETED


def test_errors_are_grouped_and_a_group_is_replayed_or_discarded(system: Store, tmp_path: Path) -> None:
    given = [*rows(tmp_path, "a", "b", "c", fails=True), *rows(tmp_path, "d")]
    batch = batches.submit(given, task=fragile_item)
    batch.wait(timeout=30)
    (only,) = batch.errors()
    assert (only.count, only.error_type, only.task_name, only.retryable) == (3, "PermanentError", "fragile_item", False)
    assert "fragile_item" in only.frame
    assert str(Path(__file__).parents[2]) not in only.frame
    (tmp_path / "mended").touch()
    assert batch.replay(only.fingerprint) == 3
    assert batch.wait(timeout=30).state is BatchState.COMPLETED
    (tmp_path / "mended").unlink()
    second = batches.submit(rows(tmp_path, "e", fails=True), task=fragile_item)
    second.wait(timeout=30)
    assert second.discard(second.errors()[0].fingerprint) == 1
    status = second.status()
    assert (status.state, status.counts.discarded, status.counts.failed) == (BatchState.COMPLETED, 1, 0)
    with pytest.raises(InvalidArguments, match="no group of errors"):
        second.discard("unknown")


def test_an_edited_input_is_compared_by_key(system: Store, tmp_path: Path) -> None:
    def row(key: str, name: str) -> dict[str, str]:
        return {"key": f"{tmp_path.name}-{key}", "folder": str(tmp_path), "name": name}

    batch = batches.submit([row("1", "a"), row("2", "b"), row("3", "c")], task=plain_item)
    batch.wait(timeout=30)
    resumed = batch.resume([row("1", "a"), row("2", "b2"), row("4", "d")])
    assert (resumed.added, resumed.changed, resumed.removed) == (1, 1, 0)  # what is done is not taken back
    status = batch.wait(timeout=30)
    assert (status.state, status.total, status.counts.completed) == (BatchState.COMPLETED, 4, 4)
    assert [times(tmp_path, name) for name in ("a", "b", "b2", "c", "d")] == [1, 1, 1, 1, 1]
    nothing = batch.resume([row("1", "a"), row("2", "b2"), row("3", "c"), row("4", "d")])
    assert (nothing.added, nothing.changed, nothing.removed, nothing.again) == (0, 0, 0, 0)
    with pytest.raises(InvalidRows):
        batch.resume([{"key": "5"}])


def test_a_removed_row_that_waits_is_given_up(system: Store, tmp_path: Path) -> None:
    system.pause("default", paused=True)
    try:
        batch = batches.submit(rows(tmp_path, "a", "b", "c"), task=plain_item, concurrency=1)
        batch.resume(rows(tmp_path, "a"))
        assert batch.status().counts.discarded == 2
    finally:
        system.pause("default", paused=False)
    status = batch.wait(timeout=30)
    assert (status.state, status.counts.completed) == (BatchState.COMPLETED, 1)
    assert [times(tmp_path, name) for name in "abc"] == [1, 0, 0]


def test_a_paused_batch_starts_nothing_and_its_concurrency_is_kept(system: Store, tmp_path: Path, until: Until) -> None:
    batch = batches.submit(rows(tmp_path, *"abcdef"), task=staged_item, concurrency=2)
    until(lambda: times(tmp_path, "started-gate") == 2)
    status = batch.status()
    assert (status.counts.active, status.counts.waiting, status.concurrency) == (2, 4, 2)
    assert batch.pause("lunch").reason == "lunch"
    (tmp_path / "gate").touch()
    until(lambda: batch.status().counts.active == 0)
    status = batch.status()
    assert (status.state, status.counts.completed, status.counts.waiting) == (BatchState.PAUSED, 2, 4)
    assert batch.pause().state is BatchState.PAUSED
    batch.resume()
    assert batch.wait(timeout=30).state is BatchState.COMPLETED
    with pytest.raises(InvalidBatchMove, match="is COMPLETED, so one cannot pause it"):
        batch.pause()


def test_an_unknown_batch_says_so(system: Store) -> None:
    for ask in (lambda: batches.get("b0"), lambda: Batch("b0").cancel(), lambda: Batch("b0").errors()):
        with pytest.raises(UnknownBatch, match="no batch b0"):
            ask()


def test_batches_are_listed_newest_first_by_user(system: Store, tmp_path: Path) -> None:
    user = f"user-{tmp_path.name}"
    ids = [batches.submit(rows(tmp_path, f"{number}"), task=plain_item, user_id=user).id for number in range(3)]
    assert [found.batch_id for found in batches.page(user_id=user).batches] == ids[::-1]
    first = batches.page(user_id=user, limit=2)
    assert [found.batch_id for found in first.batches] == ids[:0:-1]
    rest = batches.page(user_id=user, limit=2, cursor=first.next_cursor)
    assert [found.batch_id for found in rest.batches] == [ids[0]]
    assert rest.next_cursor is None


def test_jobs_of_items_are_cleaned_up_after_their_batch_and_not_before(system: Store, tmp_path: Path) -> None:
    batch = batches.submit(rows(tmp_path, "a"), task=plain_item)
    ended = batch.wait(timeout=30)
    job_id = batch.items().items[0].job_id or ""
    later = (ended.ended_at.timestamp() + 60) * 1000 if ended.ended_at else 0
    assert system.forget([job_id], later, dry_run=False) == []
    assert Ledger(system).forget(batch.id, later, dry_run=True)
    assert batch.id in batches.cleanup(later)
    assert system.forget([job_id], later, dry_run=False) == [job_id]
    assert job_tracker.counts()[JobState.EXECUTING] >= 0
    again = batches.submit(rows(tmp_path, "a"), task=plain_item)
    assert again.wait(timeout=30).reused == 0
    assert times(tmp_path, "a") == 2


def test_a_user_without_spending_owes_nothing_for_a_batch(system: Store, tmp_path: Path) -> None:
    user = f"saver-{tmp_path.name}"
    batch = batches.submit(rows(tmp_path, "a"), task=plain_item, user_id=user, budget_usd=1.5)
    status = batch.wait(timeout=30)
    assert (status.cost_usd, status.budget_usd, status.forecast_usd) == (0.0, 1.5, 0.0)
    assert user_budget(system, user).spent_usd == 0.0
