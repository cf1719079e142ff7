"""The version of what is stored: written, migrated, refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.redis.tasks_for_redis import shout
from ytray import JobState, SystemUnavailable
from ytray.engine.state import schema
from ytray.engine.state.store import Store

Steps = list[schema.Migration]


@pytest.fixture
def migrations(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The migrations of a ytray to come, to which a test adds."""
    found = list(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", found)
    return found


def stamp_jobs(store: Store) -> Iterator[None]:
    """What a migration may do: add a field to each job, one job at a time."""
    for job in store.list_jobs(limit=10_000)[0]:
        store.redis.hset(store.key(f"j:{job.job_id}"), "stamped", "1")
        yield


def test_a_store_from_before_versions_is_migrated_while_jobs_are_in_flight(
    system: Store, migrations: Steps, until: Callable[..., None]
) -> None:
    assert schema.version_of(system) == str(schema.current())
    known = schema.current()
    before = shout.map([{"word": f"old-{n}"} for n in range(300)])
    system.redis.delete(system.key("schema"))
    migrations.append(stamp_jobs)
    try:
        schema.bring_up_to_date(system)
        assert schema.version_of(system) == str(known + 1)
        assert [job.get(timeout=60) for job in before] == [f"OLD-{n}" for n in range(300)]
        assert all(system.fields(job.id, "stamped") == [b"1"] for job in before)
        migrations.pop()
        with pytest.raises(
            SystemUnavailable, match=rf"understands schema {known}, .* 'ytray' is of schema {known + 1}: upgrade"
        ):
            schema.bring_up_to_date(system)
    finally:
        system.redis.set(system.key("schema"), schema.current())


def test_a_migration_that_breaks_off_is_begun_again_and_never_run_by_two_at_once(
    bare_store: Store, migrations: Steps
) -> None:
    schema.bring_up_to_date(bare_store)
    known = schema.current()
    running, most, ran, died = 0, 0, 0, False

    def fragile(store: Store) -> Iterator[None]:
        nonlocal running, most, ran, died
        running += 1
        most = max(most, running)
        ran += 1
        try:
            for _ in range(20):
                yield
                if not died:
                    died = True
                    raise OSError("the machine is gone")
        finally:
            running -= 1

    migrations.append(fragile)
    with pytest.raises(OSError, match="the machine is gone"):
        schema.bring_up_to_date(bare_store)
    assert schema.version_of(bare_store) == str(known)
    stores = [Store(bare_store.redis_url, "ytray") for _ in range(4)]
    threads = [threading.Thread(target=schema.bring_up_to_date, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (most, ran, schema.version_of(bare_store)) == (1, 2, str(known + 1))


def test_nobody_works_on_a_system_whose_restore_was_broken_off(bare_store: Store) -> None:
    bare_store.redis.set(bare_store.key("schema"), schema.RESTORING)
    with pytest.raises(SystemUnavailable, match=r"ytray restore FILE --replace"):
        schema.bring_up_to_date(bare_store)
    assert JobState.QUEUED not in bare_store.states(["any"])
