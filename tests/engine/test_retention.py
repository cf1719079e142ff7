"""What is deleted when, and what is kept all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from tests.engine.tasks_for_tests import add, fail_for_good, sum_of_squares
from ytray import Job, JobFailed, JobState, ResultExpired, UnknownJob, dlq, job_tracker
from ytray.artifacts import BOUGHT, ArtifactStore, attempt_folder
from ytray.engine.control.retention import Cleaned, Kind, Removed, cleanup
from ytray.engine.state.store import Store
from ytray.settings import settings

Until = Callable[..., None]
Publish = Callable[..., str]

LONG_AGO = 1_600_000_000_000  # Unix milliseconds


def make_old(store: Store, job_id: str) -> None:
    """As if the job had been made and had ended long ago."""
    status = store.status(job_id)
    store.redis.hset(store.key(f"j:{job_id}"), mapping={"ended": LONG_AGO, "created": LONG_AGO})
    store.redis.zadd(store.key(f"in:{status.queue}:{status.current_state}"), {job_id: LONG_AGO})


@pytest.fixture(params=["folder", "memory"])
def publish(
    request: pytest.FixtureRequest, system: Store, tmp_path: Path, with_settings: Callable[..., None]
) -> Iterator[Publish]:
    """`publish(folder, name, days=…)` keeps a file of ten bytes, as if so long ago; returns its URI."""
    assert system is not None
    with_settings(artifacts=str(tmp_path / "kept") if request.param == "folder" else "memory://retention")

    def keep(folder: str, name: str, *, days: float) -> str:
        (tmp_path / "file").write_text("ten bytes.")
        uri = ArtifactStore().publish(tmp_path / "file", folder, name)
        then = time.time() - days * 86400
        if request.param == "folder":
            os.utime(uri, (then, then))
        else:
            stored = fsspec.filesystem("memory").store[uri.removeprefix("memory:/").replace("//", "/")]
            stored.created = stored.modified = type(stored.created).fromtimestamp(then, tz=stored.created.tzinfo)
        return uri

    yield keep
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/retention", recursive=True)


def ended(job: Job[int]) -> str:
    job.get(timeout=30)
    return job.id


def is_there(uri: str) -> bool:
    """Whether that file is kept; of partial ones, which are no artifacts, the store says nothing."""
    files, path = fsspec.core.url_to_fs(uri)
    return bool(files.exists(path))


def removed(cleaned: Cleaned) -> dict[Kind, tuple[int, int]]:
    return {kind: (told.count, told.size_bytes) for kind, told in cleaned.kinds.items() if told != Removed()}


def test_each_kind_of_file_is_deleted_in_its_time_and_a_dry_run_says_so_before(system: Store, publish: Publish) -> None:
    old, new, waiting = ended(add.delay(1)), ended(add.delay(2)), add.options(delay=3600).delay(3).id
    make_old(system, old)
    system.redis.set(system.key("s:known"), 1, ex=60)
    scene, sound = "scene-" + "0a" * 20, "sound-" + "0b" * 20
    old_and_needless = [
        publish(attempt_folder(old, 1), "video.mp4", days=8),
        publish(attempt_folder(old, 2), "video.mp4", days=8),
        publish(attempt_folder(new, 2), "of-a-stale-worker", days=2),
        publish(attempt_folder("gone", 1), "of-a-forgotten-job", days=8),
        publish(scene, f"{scene}.mp4", days=15),
        publish("given-0c", "file.mp3", days=15),
        publish(f"{BOUGHT}unknown", "asset.png", days=91),
        publish(attempt_folder(new, 1), "video.mp4.0123abcd.part", days=2),
    ]
    needed = [
        publish(attempt_folder(new, 1), "video.mp4", days=8),
        publish(attempt_folder(new, 3), "of-a-stale-worker", days=0.5),
        publish(attempt_folder(waiting, 1), "of-a-job-that-goes-on", days=400),
        publish(attempt_folder("gone", 2), "lately", days=6),
        publish(sound, f"{sound}.m4a", days=13),
        publish(f"{BOUGHT}known", "asset.png", days=91),
        publish(f"{BOUGHT}unknown-yet", "asset.png", days=89),
        publish(attempt_folder(new, 1), "other.mp4.0123abcd.part", days=0.5),
        publish("of-my-own", "logo.png", days=400),
    ]
    would = cleanup(dry_run=True)
    assert all(is_there(uri) for uri in (*old_and_needless, *needed))
    assert removed(would) == {
        "jobs": (1, 20),
        "attempts": (2, 20),
        "kept": (2, 20),
        "assets": (1, 10),
        "partial": (1, 10),
    }
    assert cleanup() == would
    assert [uri for uri in needed if not is_there(uri)] == []
    assert [uri for uri in old_and_needless if is_there(uri)] == []
    assert removed(cleanup()) == {}
    job_tracker.cancel(waiting)


def test_only_the_kinds_that_were_asked_for_are_deleted(system: Store, publish: Publish) -> None:
    old = ended(add.delay(1))
    make_old(system, old)
    of_the_job, scene = publish(attempt_folder(old, 1), "a", days=8), "scene-" + "0d" * 20
    kept = publish(scene, f"{scene}.mp4", days=15)
    assert removed(cleanup(kinds=["kept"])) == {"kept": (1, 10)}
    store = ArtifactStore()
    assert (store.exists(of_the_job), store.exists(kept)) == (True, False)
    assert cleanup(kinds=["jobs"]).job_ids == (old,)
    assert not store.exists(of_the_job)


def test_what_was_used_lately_is_kept(system: Store, tmp_path: Path, with_settings: Callable[..., None]) -> None:
    assert system is not None
    with_settings(artifacts=str(tmp_path / "kept"))
    (tmp_path / "song.mp3").write_text("la la")
    store, scene = ArtifactStore(), "scene-" + "0e" * 20
    uris = [store.publish(tmp_path / "song.mp3", scene, f"{scene}.mp4"), store.take_in(tmp_path / "song.mp3", "0f")]
    for uri in uris:
        os.utime(uri, (0, 0))
    store.fetch(uris[0], tmp_path)
    assert store.take_in(tmp_path / "song.mp3", "0f") == uris[1]
    assert removed(cleanup(kinds=["kept"])) == {}
    for uri in uris:
        os.utime(uri, (0, 0))
    assert removed(cleanup(kinds=["kept"])) == {"kept": (2, 10)}
    assert list((tmp_path / "kept").rglob("*.*")) == []


def test_a_clean_up_removes_what_is_old_and_only_that(system: Store) -> None:
    old, new = add.delay(1), add.delay(2)
    old.get(timeout=30)
    new.get(timeout=30)
    make_old(system, old.id)
    assert cleanup(dry_run=True).job_ids == (old.id,)
    assert old.status().current_state is JobState.COMPLETED
    assert cleanup().job_ids == (old.id,)
    with pytest.raises(UnknownJob):
        old.status()
    assert system.redis.keys(system.key(f"?:{old.id}")) == []
    assert new.status().result == 3


def test_a_clean_up_keeps_the_dead_letter_queue(system: Store, tmp_path: Path) -> None:
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    make_old(system, job.id)
    assert cleanup().jobs_removed == 0
    dlq.remove(job.id)
    assert cleanup().job_ids == (job.id,)


def test_a_flows_steps_are_kept_as_long_as_the_flow(system: Store, tmp_path: Path) -> None:
    flow = sum_of_squares.delay(str(tmp_path), [1, 2])
    flow.get(timeout=30)
    steps = {step.job_id for step in job_tracker.children(flow.id)}
    for step in steps:
        make_old(system, step)
    assert cleanup().job_ids == ()
    make_old(system, flow.id)
    assert set(cleanup().job_ids) == {flow.id, *steps}


def test_a_cleaned_up_key_is_free_again(system: Store) -> None:
    keyed = add.options(idempotency_key="clean-me")
    first = keyed.delay(1)
    first.get(timeout=30)
    make_old(system, first.id)
    cleanup()
    assert keyed.delay(2).get(timeout=30) == 3


def test_results_are_kept_for_the_set_time_and_flows_steps_as_long_as_the_flow(system: Store, tmp_path: Path) -> None:
    flow = sum_of_squares.delay(str(tmp_path), [3])
    flow.get(timeout=30)
    (step,) = job_tracker.children(flow.id)
    for job_id in (flow.id, step.job_id):
        assert 0 < system.redis.ttl(system.key(f"r:{job_id}")) <= settings().result_ttl


def test_an_expired_result_is_named_as_such(system: Store, until: Until) -> None:
    job: Job[int] = add.delay(1)
    job.get(timeout=30)
    system.redis.pexpire(system.key(f"r:{job.id}"), 1)
    until(lambda: system.result(job.id) is None)
    with pytest.raises(ResultExpired, match="YTRAY_RESULT_TTL"):
        job.get(timeout=60)
    assert job.status().current_state is JobState.COMPLETED
