"""Rows that several batches have, whatever is done to them: counters stay true, nothing runs for nobody."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.engine.tasks_for_batches import plain_item
from ytray import JobState
from ytray.engine.batch.feeder import Feeder
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions, InvalidRows, ItemState
from ytray.engine.batch.preparing import Comparison, Preparation
from ytray.engine.state.store import LaneRoom, Store
from ytray.errors import InvalidBatchMove

FAR = 4e12  # milliseconds: after all that happens here


class Playing:
    """Batches on a store where this test is the tracker and the worker."""

    def __init__(self, store: Store) -> None:
        self.store, self.ledger = store, Ledger(store)
        self.feeder = Feeder(store, lambda: {"default": 2})
        store.take_office("tracker", "test", 60)

    def batch(self, *names: str, **options: Any) -> str:
        rows = [self.row(name) for name in names]
        made = Preparation(self.ledger, plain_item, rows, BatchOptions(**options)).commit()
        self.turn()
        return made

    @staticmethod
    def row(name: str, folder: str = "f") -> dict[str, str]:
        return {"key": name, "folder": folder, "name": name}

    def edit(self, batch: str, rows: list[dict[str, str]]) -> tuple[int, int, int]:
        changed = Comparison(self.ledger, plain_item, batch, self.ledger.fields(batch), rows, None).apply()
        self.turn()
        return changed

    def turn(self) -> None:
        self.feeder._turn()

    def resume(self, batch: str) -> int:
        again = self.ledger.redo(batch, self.ledger.store.now_ms())
        self.turn()
        return again

    def work(self, error: str | None = None) -> list[str]:
        """Run all jobs that wait, each to its end; returns their ids."""
        (claimed,) = self.store.claim("tracker", "test", 60_000, [LaneRoom("default", 0, 100)])
        jobs = [(job.job_id, job.fence) for job in claimed]
        if not jobs:
            return []
        self.store.start("w", 60_000, 60, jobs)
        for job in jobs:
            if error is None:
                self.store.complete("w", 60, [(*job, b'"done"', 1.0)])
            else:
                self.store.fail(job, "w", "dead", error, "", delay_ms=0, duration_ms=1, result_ttl=60)
        self.turn()
        return [job_id for job_id, _ in jobs]

    def counts(self, batch: str) -> dict[str, Any]:
        """The batch's state and counters, which have to be what a recount gives."""
        fields = self.ledger.fields(batch)
        records = self.ledger.records(batch, range(1, int(fields["total"]) + 1))
        recounted = Counter(record.state.lower() for record in records)
        told = {state.lower(): int(fields[state.lower()]) for state in ItemState}
        assert told == {state.lower(): recounted[state.lower()] for state in ItemState}
        assert int(fields["reused"]) == sum(record.reused for record in records)
        assert len(self.ledger.active_jobs(batch)) == told["active"]
        return {"state": fields["state"], **{name: number for name, number in told.items() if number}}


@pytest.fixture
def play(bare_store: Store) -> Playing:
    return Playing(bare_store)


def test_a_job_whose_batch_is_gone_ends_like_any_other(play: Playing) -> None:
    batch = play.batch("a")
    (job,) = play.work("ValueError: broken")
    assert play.ledger.forget(batch, FAR, dry_run=False)
    play.store.settle_dead_letter(job, "retry")
    assert play.work() == [job]
    assert play.store.state(job) is JobState.COMPLETED
    assert play.ledger.fields(batch) == {}
    assert not play.store.redis.zcard(play.store.key("leases:tracker"))


def test_a_job_that_a_row_has_left_behind_moves_its_batch_no_more(play: Playing) -> None:
    batch = play.batch("a", "b")
    first = play.work("ValueError: broken")
    assert play.edit(batch, [play.row("a", "g"), play.row("b", "g")]) == (0, 2, 0)
    play.work()
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 2}
    play.store.settle_dead_letter(first[0], "retry")
    play.work("ValueError: broken again")
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 2}


def test_a_discarded_item_stays_so_when_another_batch_has_its_row(play: Playing) -> None:
    first = play.batch("a")
    play.work("ValueError: broken")
    play.ledger.discard(first, [1])
    assert play.counts(first) == {"state": "COMPLETED", "discarded": 1}
    second = play.batch("a")
    play.work("ValueError: broken again")
    assert play.counts(first) == {"state": "COMPLETED", "discarded": 1}
    assert play.counts(second) == {"state": "FAILED", "failed": 1}


def test_what_no_batch_wants_any_more_is_stopped(play: Playing) -> None:
    first = play.batch("a")
    (job,) = play.work("ValueError: broken")
    play.ledger.redo(first, play.ledger.store.now_ms())
    play.ledger.control(first, "cancel")
    second = play.batch("a")
    assert play.store.state(job) is JobState.QUEUED
    play.ledger.control(second, "cancel")
    play.turn()
    assert play.store.state(job) is JobState.CANCELLED
    assert play.counts(second) == {"state": "CANCELLED", "cancelled": 1}


def test_cancelling_one_of_two_batches_leaves_their_row_to_the_other(play: Playing) -> None:
    first, second = play.batch("a"), play.batch("a")
    play.ledger.control(first, "cancel")
    play.turn()
    assert play.counts(first) == {"state": "CANCELLED", "cancelled": 1}
    assert len(play.work()) == 1
    assert play.counts(second) == {"state": "COMPLETED", "completed": 1}
    assert play.counts(first) == {"state": "CANCELLED", "completed": 1}  # it is done, whoever had it made


def test_an_item_taken_up_again_is_known_for_as_long_as_a_batch_has_it(play: Playing) -> None:
    first = play.batch("a")
    play.ledger.control(first, "cancel")
    play.turn()
    second = play.batch("a")
    (job,) = play.work()
    assert job.endswith("_2")
    assert play.ledger.forget(first, FAR, dry_run=False)
    base = job.removesuffix("_2")
    assert play.store.forget([base, job], FAR, dry_run=False) == [base]
    third = play.batch("a")
    assert play.counts(third) == {"state": "COMPLETED", "completed": 1}
    assert play.ledger.forget(second, FAR, dry_run=False)
    assert play.ledger.forget(third, FAR, dry_run=False)
    assert play.store.forget([job], FAR, dry_run=False) == [job]
    assert not play.store.redis.keys(play.store.key("it:*"))
    assert not play.store.redis.hlen(play.store.key("rows:"))


def test_replaying_some_items_neither_unpauses_a_batch_nor_undoes_its_cancellation(play: Playing) -> None:
    batch = play.batch("a", "b", concurrency=1)
    play.work("ValueError: broken")
    play.ledger.control(batch, "pause", "enough")
    assert play.ledger.redo_items(batch, [1]) == 1
    assert play.counts(batch)["state"] == "PAUSED"
    play.ledger.control(batch, "cancel")
    with pytest.raises(InvalidBatchMove, match="CANCELLED"):
        play.ledger.redo_items(batch, [1])


def test_a_job_whose_row_was_edited_while_it_ran_is_stopped(play: Playing) -> None:
    batch = play.batch("a", "b")
    jobs = {record.key: record.job_id for record in play.ledger.records(batch, [1, 2])}
    assert play.edit(batch, [play.row("a", "g")]) == (0, 1, 1)
    assert play.store.states(list(jobs.values())) == [JobState.CANCELLED, JobState.CANCELLED]
    play.turn()
    assert not play.store.redis.scard(play.store.key("unwanted"))
    play.work()
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 1, "discarded": 1}


def test_a_row_that_comes_back_is_made_and_a_discarded_one_is_not(play: Playing) -> None:
    batch = play.batch("a", "b", "c")
    play.work("ValueError: broken")
    play.ledger.discard(batch, [3])
    assert play.edit(batch, [play.row("a"), play.row("c")]) == (0, 0, 1)
    assert play.edit(batch, [play.row("a"), play.row("b"), play.row("c")]) == (0, 1, 0)
    play.work()
    assert play.counts(batch) == {"state": "FAILED", "completed": 1, "failed": 1, "discarded": 1}


def test_the_same_key_twice_in_an_edited_input_is_refused(play: Playing) -> None:
    batch = play.batch("a")
    play.work()
    for twice in ([play.row("a"), play.row("a", "g")], [play.row("a"), play.row("n"), play.row("n", "g")]):
        with pytest.raises(InvalidRows, match="give each row its own"):
            play.edit(batch, twice)
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 1}


def test_a_reused_row_that_is_changed_is_reused_no_more(play: Playing) -> None:
    play.batch("a")
    play.work()
    batch = play.batch("a")
    assert play.ledger.fields(batch)["reused"] == "1"
    play.edit(batch, [play.row("a", "g")])
    play.work()
    assert play.ledger.fields(batch)["reused"] == "0"
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 1}


def test_an_item_with_a_cancelled_step_is_taken_up_under_a_new_id(play: Playing) -> None:
    batch = play.batch("a")
    (job,) = play.work("JobCancelled: job x was cancelled")
    assert play.resume(batch) == 1
    assert play.work() == [f"{job}_2"]
    assert play.counts(batch) == {"state": "COMPLETED", "completed": 1}
    assert not play.store.redis.zcard(play.store.key("dlq"))


def test_a_batch_that_was_cancelled_before_its_time_waits_for_it_again(play: Playing) -> None:
    batch = play.batch("a", cron="0 6 * * *")
    play.ledger.control(batch, "cancel")
    assert play.resume(batch) == 0
    assert play.counts(batch) == {"state": "SCHEDULED", "waiting": 1}


def test_who_has_a_failed_row_made_again_pays_for_it(play: Playing) -> None:
    play.batch("a", budget_usd=0.01)
    (job,) = play.work("ValueError: broken")
    second = play.batch("a", budget_usd=50)
    assert play.store.status(job).parent_id == second


def test_resuming_does_not_depend_on_the_clock_of_who_asks(play: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = play.batch("a")
    play.work("ValueError: broken")
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert play.ledger.redo(batch, play.ledger.store.now_ms()) == 1
