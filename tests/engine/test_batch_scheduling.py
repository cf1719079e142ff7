"""When batches run: shares, appointments, recurrence; and whom they tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.engine.tasks_for_batches import plain_item, slow_item
from tests.engine.tasks_for_tests import times
from ytray import InvalidArguments, batches
from ytray.engine.batch.batches import Batch
from ytray.engine.batch.feeder import Feeder, window
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions, BatchState
from ytray.engine.batch.notices import Notices
from ytray.engine.batch.preparing import Preparation
from ytray.engine.batch.shares import Claim, shares
from ytray.engine.state.store import Store

Until = Callable[..., None]
Hook = tuple[str, list[tuple[dict[str, str], bytes]]]


def rows(folder: Path, *names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"folder": str(folder), "name": name, **more} for name in names]


def made(store: Store, source: list[dict[str, Any]], **options: Any) -> str:
    """A batch on a store where nobody works."""
    return Preparation(Ledger(store), plain_item, source, BatchOptions(**options)).commit()


def test_shares_are_equal_between_users_and_by_priority_within_one() -> None:
    found = shares([Claim("a1", "a", 5, 9), Claim("a2", "a", 5, 9), Claim("b", "b", 5, 9)])
    assert found == {"a1": 0.25, "a2": 0.25, "b": 0.5}
    found = shares([Claim("low", "a", 1, 9), Claim("high", "a", 3, 9)])
    assert found == {"low": 0.25, "high": 0.75}


def test_what_a_small_batch_cannot_use_goes_to_the_large_one() -> None:
    found = shares([Claim("large", "a", 5, 100), Claim("small", "b", 5, 0.1)])
    assert found == {"large": 0.9, "small": 0.1}


def test_a_batch_has_as_many_items_in_the_making_as_end_in_a_few_seconds() -> None:
    assert window(took=0, took_ms=0, slots=2) == 8
    assert window(took=100, took_ms=100 * 60_000, slots=2) == 8
    assert window(took=100, took_ms=100 * 100, slots=2) == 100


def test_a_large_batch_makes_room_for_a_small_one(bare_store: Store, tmp_path: Path) -> None:
    feeder = Feeder(bare_store, lambda: {"default": 2})
    large = made(bare_store, rows(tmp_path, *map(str, range(1000))), user_id="many")
    feeder._turn()
    ledger = Ledger(bare_store)
    assert ledger.fields(large)["active"] == "8"
    small = made(bare_store, rows(tmp_path, "x", "y", "z"), user_id="few")
    feeder._turn()
    assert ledger.fields(small)["active"] == "3"
    assert float(ledger.fields(large)["share"]) == pytest.approx(5 / 8)


def test_a_batch_of_ten_does_not_wait_for_one_of_a_thousand(system: Store, tmp_path: Path, until: Until) -> None:
    large = batches.submit(
        [{"name": f"{tmp_path}{number}", "seconds": 0.05} for number in range(1000)], task=slow_item, user_id="many"
    )
    until(lambda: large.status().counts.completed > 5)
    small = batches.submit(
        [{"name": f"{tmp_path}s{number}", "seconds": 0.05} for number in range(10)], task=slow_item, user_id="few"
    )
    assert small.wait(timeout=60).counts.completed == 10
    status = large.status()
    assert status.counts.completed < 500
    assert status.eta is not None
    assert status.eta.low_seconds <= status.eta.seconds <= status.eta.high_seconds
    large.cancel()
    until(lambda: large.status().counts.active == 0)


def test_a_batch_starts_at_its_time(system: Store, tmp_path: Path) -> None:
    batch = batches.submit(rows(tmp_path, "a"), task=plain_item, start_at=datetime.now(UTC) + timedelta(seconds=1))
    status = batch.status()
    assert (status.state, status.started_at) == (BatchState.SCHEDULED, None)
    assert batch.wait(timeout=60).state is BatchState.COMPLETED
    started = batch.status().started_at
    assert started is not None
    assert 0 <= (started - status.start_at).total_seconds() < 30 if status.start_at else False


def test_a_recurring_batch_is_made_anew_each_time_and_once(bare_store: Store, tmp_path: Path) -> None:
    template = made(bare_store, rows(tmp_path, "a", "b"), cron="0 6 * * *", budget_usd=2)
    ledger = Ledger(bare_store)
    first_time = int(ledger.fields(template)["start"])
    assert datetime.fromtimestamp(first_time / 1000, UTC).strftime("%H:%M:%S") == "06:00:00"
    feeder = Feeder(bare_store, lambda: {"default": 2})
    jobs = set()
    for day in (1, 2):
        due = round(time.time() * 1000) - 1000 * day
        bare_store.redis.hset(bare_store.key(f"b:{template}"), "start", due)
        feeder._turn()
        batch = f"{template}-{datetime.fromtimestamp(due / 1000, UTC):%Y%m%dT%H%M%S}"
        assert not ledger.fire(template, batch, "again", first_time, due)
        feeder._turn()
        assert ledger.fields(batch)["state"] == "RUNNING"
        assert bare_store.redis.hget(bare_store.key("budgets"), f"flow|{batch}") == b"2000000"
        jobs |= set(ledger.active_jobs(batch))
    assert len(jobs) == 4  # each time is new work
    assert int(ledger.fields(template)["start"]) > time.time() * 1000
    ledger.control(template, "cancel")
    assert not ledger.fire(template, f"{template}-late", "late", first_time, first_time)


def test_a_webhook_is_signed_and_tried_again(
    bare_store: Store, tmp_path: Path, webhook: Hook, with_settings: Callable[..., None]
) -> None:
    url, received = webhook
    with_settings(webhook_networks="127.0.0.1")
    batch = made(bare_store, rows(tmp_path, "a"), on_failure="http://127.0.0.1:9/nobody", on_complete=url)
    ledger = Ledger(bare_store)
    ledger.control(batch, "cancel", "enough")
    notices = Notices(bare_store)
    notices.look()
    assert notices.tell_one()
    assert ledger.fields(batch)["webhook_error"] == "it was not reached (ConnectError)"
    waiting = cast(
        "list[tuple[bytes, float]]", bare_store.redis.zrange(bare_store.key("notices"), 0, -1, withscores=True)
    )
    ((entry, due),) = waiting
    assert entry.decode().split()[:3] == [batch, "failure", "2"]
    assert due > time.time() * 1000
    bare_store.redis.hset(bare_store.key(f"b:{batch}"), "on_failure", url)
    bare_store.redis.zadd(bare_store.key("notices"), {entry: 1})
    notices.look()
    assert notices.tell_one()
    ((headers, body),) = received
    told = json.loads(body)
    assert (told["event"], told["batch"]["batch_id"], told["batch"]["reason"]) == ("failure", batch, "enough")
    assert headers["X-Ytray-Delivery"].startswith(f"{batch}-failure-")
    assert headers["webhook-id"] == headers["X-Ytray-Delivery"]
    assert headers["webhook-signature"].startswith("v1,")
    assert not bare_store.redis.zcard(bare_store.key("notices"))
    assert "webhook_error" not in ledger.fields(batch)


def test_a_batch_that_has_ended_leaves_a_notice(system: Store, tmp_path: Path, until: Until) -> None:
    failed = int(system.redis.hget(system.key("m"), "alerts|failed") or 0)
    batch = batches.submit(rows(tmp_path, "a"), task=plain_item, on_complete="http://nobody.invalid/hook")
    batch.wait(timeout=60)
    until(lambda: Ledger(system).fields(batch.id).get("webhook_error"))
    assert int(system.redis.hget(system.key("m"), "alerts|failed") or 0) == failed + 1


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("cron", "every morning", "no cron expression"),
        ("on_complete", "http://127.0.0.1/hook", "not public"),
        ("on_failure", "ftp://example.com", "pattern"),
        ("priority", 10, "priority"),
        ("concurency", 3, "did you mean 'concurrency'"),
    ],
)
def test_an_option_that_cannot_work_is_refused(
    system: Store, tmp_path: Path, option: str, value: Any, told: str
) -> None:
    with pytest.raises(InvalidArguments, match=told):
        batches.submit(rows(tmp_path, "a"), task=plain_item, **{option: value})
    assert not times(tmp_path, "a")


def test_the_priority_and_budget_of_a_batch_can_be_changed(system: Store, tmp_path: Path) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    batch: Batch = batches.submit(rows(tmp_path, "a"), task=plain_item, start_at=start)
    status = batch.change(priority=9, budget_usd=3.5, concurrency=2)
    assert (status.priority, status.budget_usd, status.concurrency) == (9, 3.5, 2)
    with pytest.raises(InvalidArguments):
        batch.change(priority=11)
    assert batch.cancel().state is BatchState.CANCELLED
