"""Clocks that are set, and machines that sleep: what was missed is made up for once, and nothing stops."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.engine.tasks_for_batches import plain_item
from ytray.engine.base.cron import latest_until, next_after
from ytray.engine.batch.feeder import Feeder
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.preparing import Preparation
from ytray.engine.control.clocks import ClockWatch
from ytray.engine.control.schedule import Schedule
from ytray.engine.run.breaker import BreakerState
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.settings import Settings

DAY = timedelta(days=1)
START = datetime(2026, 3, 7, 12, 0, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def scores(where: Store, *listings: str) -> dict[str, float]:
    """What stands in some listings, and by which time or turn."""
    pipe = where.redis.pipeline()
    for listing in listings:
        pipe.zrange(where.key(listing), 0, -1, withscores=True)
    return {member.decode(): score for rows in pipe.execute() for member, score in rows}


@pytest.fixture
def fired(bare_store: Store, home: Path) -> Callable[[], list[str]]:
    def since_last() -> list[str]:
        ready = bare_store.key("ready:batch")
        ids = sorted(name.removeprefix("cleanup_old_results-") for name in scores(bare_store, "ready:batch"))
        bare_store.redis.delete(ready)
        return ids

    return since_last


def test_what_a_sleep_of_days_missed_is_made_up_for_once(
    bare_store: Store, fired: Callable[[], list[str]], with_settings: Callable[..., None]
) -> None:
    with_settings(cleanup_cron="*/10 * * * *")
    clock = Clock()
    schedule = Schedule.of_system(bare_store, clock)
    assert schedule.submit_due() == 570
    clock.now += 3 * DAY
    assert schedule.submit_due() == 570
    assert fired() == ["20260310T120000"]
    clock.now += timedelta(seconds=570)
    schedule.submit_due()
    schedule.submit_due()
    assert fired() == ["20260310T121000"]


@pytest.mark.parametrize("wrong", ["whenever", "0 0 30 2 *", "* * * * * *", "0 25 * * *"])
def test_a_schedule_that_never_comes_round_is_refused_at_the_door(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no cron expression"):
        Settings(cleanup_cron=wrong)


@pytest.mark.parametrize("stored", ["soon", "2026-03-10T12:00:00", b"\xff"])
def test_a_firing_that_cannot_be_read_keeps_no_tracker_from_its_work(
    bare_store: Store, fired: Callable[[], list[str]], with_settings: Callable[..., None], stored: str | bytes
) -> None:
    with_settings(cleanup_cron="*/10 * * * *")
    bare_store.redis.hset(bare_store.key("schedules"), Schedule.TASK, stored)
    clock = Clock()
    schedule = Schedule.of_system(bare_store, clock)
    clock.now += timedelta(minutes=10)
    schedule.submit_due()
    assert len(fired()) == 1


def test_a_new_tracker_neither_leaves_out_nor_doubles_a_due_time(
    bare_store: Store, fired: Callable[[], list[str]], with_settings: Callable[..., None]
) -> None:
    with_settings(cleanup_cron="0 12 * * 0")
    clock = Clock()
    Schedule.of_system(bare_store, clock).submit_due()
    clock.now += DAY
    Schedule.of_system(bare_store, clock).submit_due()  # a system that has never fired makes up for nothing
    assert fired() == []
    schedule = Schedule.of_system(bare_store, clock)
    clock.now += 7 * DAY
    schedule.submit_due()
    assert fired() == ["20260315T120000"]
    for job in bare_store.redis.keys("*}:j:*"):
        bare_store.redis.delete(job)  # cleaned up meanwhile
    Schedule.of_system(bare_store, clock).submit_due()
    assert fired() == []
    clock.now += 15 * DAY
    Schedule.of_system(bare_store, clock).submit_due()
    assert fired() == ["20260329T120000"]


def test_a_clock_set_back_stops_no_schedule_and_doubles_none(
    bare_store: Store, fired: Callable[[], list[str]], with_settings: Callable[..., None]
) -> None:
    with_settings(cleanup_cron="*/10 * * * *")
    clock = Clock()
    for look in (lambda s: s, lambda _: Schedule.of_system(bare_store, clock)):
        clock.now = START + DAY * bare_store.redis.hlen(bare_store.key("schedules"))
        schedule = Schedule.of_system(bare_store, clock)
        clock.now += timedelta(minutes=10)
        schedule.submit_due()
        assert len(fired()) == 1
        clock.now -= timedelta(minutes=1)  # it is brought in line
        look(schedule).submit_due()
        clock.now += timedelta(minutes=1)
        schedule = look(schedule)
        schedule.submit_due()
        assert fired() == []
        clock.now -= 3 * DAY
        schedule = look(schedule)
        assert 0 < schedule.submit_due() <= 600
        for _ in range(3):
            clock.now += timedelta(minutes=10)
            schedule.submit_due()
            assert len(fired()) == 1


def test_due_times_are_those_of_utc_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        at, found = datetime(2026, 3, 7, tzinfo=UTC), []
        for _ in range(3):  # over the night in which New York has no hour from 2 to 3
            at = next_after("30 2 * * *", at)
            found.append(at)
        assert found == [datetime(2026, 3, day, 2, 30, tzinfo=UTC) for day in (7, 8, 9)]
        assert latest_until("30 2 * * *", found[-1]) == found[-1]
        assert latest_until("30 2 * * *", found[-1] - timedelta(microseconds=1)) == found[-2]
    finally:
        del os.environ["TZ"]
        time.tzset()


def test_a_recurring_batch_goes_on_when_the_clock_is_set_back(
    bare_store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(now: datetime) -> set[str]:
        monkeypatch.setattr(bare_store, "now_ms", lambda: round(now.timestamp() * 1000))
        feeder._turn()
        feeder._turn()
        made = {name.removeprefix(template) for name in scores(bare_store, "batches")}
        new = made - seen
        seen.update(new)
        return new

    rows, options = [{"name": "a", "folder": "unused"}], BatchOptions(cron="0 6 * * *")
    prepared = Preparation(Ledger(bare_store), plain_item, rows, options)
    template, seen = prepared.commit(), {""}
    feeder, first = Feeder(bare_store, dict), next_after("0 6 * * *", datetime.now(UTC))
    assert turn(first + timedelta(seconds=1)) == {f"-{first:%Y%m%dT%H%M%S}"}
    assert turn(first - timedelta(hours=1)) == turn(first) == set()  # that is waited out
    assert turn(first - 3 * DAY + timedelta(hours=1)) == set()
    (again,) = turn(first - 2 * DAY)
    assert again == f"-{first - 2 * DAY:%Y%m%dT%H%M%S}-{first:%Y%m%dT%H%M%S}"
    assert len(turn(first - DAY)) == 1
    assert turn(first) == set()  # this one was fired before the clock was set back
    assert len(turn(first + 9 * DAY)) == 1  # days asleep: once


def job_in_every_listing(where: Store) -> None:
    what = Submission("add", "default", "default", 4)
    where.take_office("tracker", "e", 60)
    where.submit([("leased", b"{}")], what)
    ((job,),) = where.claim("tracker", "e", 1000, [LaneRoom("default", 0, 1)])
    assert where.start("w", 1000, 60, [(job.job_id, job.fence)]) == [1]
    where.submit([("delayed", b"{}")], Submission("add", "default", "default", 4, delay_ms=60_000))
    where.submit([(f"ready-{n}", b"{}") for n in range(1500)], what)


@pytest.mark.parametrize("step", [-3 * 86400.0, 3 * 86400.0])
def test_when_the_clock_is_set_all_that_waits_is_moved_along(bare_store: Store, step: float) -> None:
    def waiting() -> dict[str, float]:
        return scores(bare_store, "leases:tracker", "workers", "due", "ready:default")

    job_in_every_listing(bare_store)
    before, moved = waiting(), 0.0
    watch = ClockWatch(bare_store, lambda: time.monotonic() - moved, lambda: time.monotonic() - moved)
    watch.look()
    watch.look()
    assert waiting() == before
    moved = step  # to a clock that cannot be set, the one of Redis has moved by as much
    watch.look()
    after = waiting()
    assert len(after) == 1503
    assert all(after[name] - before[name] == pytest.approx(step * 1000, abs=200) for name in after)
    watch.look()
    assert waiting() == after


def test_a_machine_that_slept_reaps_nobody_and_delays_count_the_sleep(bare_store: Store) -> None:
    job_in_every_listing(bare_store)
    slept = 0.0
    watch = ClockWatch(bare_store, lambda: time.monotonic() - slept, time.monotonic)
    watch.look()
    due = bare_store.redis.zscore(bare_store.key("due"), "delayed")
    bare_store.redis.zadd(bare_store.key("leases:tracker"), {"leased": bare_store.now_ms() - 3_599_500})
    slept = 3600.0
    watch.look()
    assert bare_store.reap("e", 10, 60)[1] == []
    assert bare_store.redis.zscore(bare_store.key("due"), "delayed") == due


def test_a_clock_set_back_while_no_tracker_looked_is_seen_by_the_next(bare_store: Store) -> None:
    job_in_every_listing(bare_store)
    bare_store.redis.set(bare_store.key("clock"), bare_store.now_ms() + 86_400_000)
    due = bare_store.redis.zscore(bare_store.key("due"), "delayed") or 0
    ClockWatch(bare_store).look()
    assert bare_store.redis.zscore(bare_store.key("due"), "delayed") == pytest.approx(due - 86_400_000, abs=200)


def test_a_rate_limit_and_a_breaker_go_on_when_the_clock_is_set_back(bare_store: Store) -> None:
    bare_store.redis.hset(bare_store.key("rate:k"), mapping={"left": 0, "at": bare_store.now_ms() + 86_400_000})
    assert bare_store.admit("k", 1000) <= 0.001
    key = bare_store.redis.hget(bare_store.key("rate:k"), "at")
    assert key is not None
    assert int(key) <= bare_store.now_ms()
    ahead = time.time() + 86_400
    breakers = bare_store.key("breakers")
    opened = BreakerState(name="d", state="open", failures=5, opened_at=ahead)
    bare_store.redis.hset(breakers, "d", opened.model_dump_json())
    assert float(bare_store.call("breaker", "d", "admit", "first", "", 300, 5, 60)) == pytest.approx(300, abs=0.1)
    probing = BreakerState(name="d", state="half_open", failures=5, probe_at=ahead)
    bare_store.redis.hset(breakers, "d", probing.model_dump_json())
    assert float(bare_store.call("breaker", "d", "admit", "second", "", 300, 5, 60)) == pytest.approx(60, abs=0.1)
