"""Units of work: files and undoings of an attempt count with its commit, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.engine.tasks_for_tests import times
from tests.engine.tasks_for_units import order_and_die_once, order_and_wait, take_back
from ytray import JobCancelled, PermanentError, RetryLater, StaleFence, unit_of_work
from ytray.artifacts import ArtifactStore
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.jobs.unit import UnitOfWork, folders_that_count
from ytray.engine.state.store import LaneRoom, Store, Submission

Until = Callable[..., None]
End = Callable[[Store, int], object]


@pytest.fixture(params=["folder", "memory"])
def files(
    request: pytest.FixtureRequest, tmp_path: Path, with_settings: Callable[..., None]
) -> Iterator[ArtifactStore]:
    """The store that attempts publish in."""
    with_settings(artifacts=str(tmp_path / "kept") if request.param == "folder" else "memory://units-of-work")
    yield ArtifactStore()
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/units-of-work", recursive=True)


@pytest.fixture
def store(bare_store: Store) -> Store:
    """A store with one job."""
    bare_store.take_office("tracker", "e", 60)
    bare_store.submit([("job", b'{"code":"x","args":{}}')], Submission("noop", "default", "default", 4, user="ann"))
    return bare_store


def leased(store: Store, worker: str) -> int:
    """Have a worker take the job up; returns its fence."""
    ((claimed,),) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])
    (fence,) = store.start(worker, 60_000, 60, [(claimed.job_id, claimed.fence)])
    return fence


@contextmanager
def attempt(store: Store, worker: str, fence: int) -> Iterator[None]:
    """The code inside is the job's attempt under that fence."""
    enter_job(CurrentJob("job", "noop", fence=fence, worker=worker, store=store))
    try:
        yield
    finally:
        enter_job(None)


@contextmanager
def unit_that_raises(error: BaseException) -> Iterator[UnitOfWork]:
    """The code inside is a unit of work that then fails."""
    with suppress(type(error)), unit_of_work() as unit:
        yield unit
        raise error


def made(folder: Path, content: bytes = b"content") -> Path:
    file = folder / "made"
    file.write_bytes(content)
    return file


def fail(store: Store, fence: int, what: str, worker: str = "one") -> bool:
    return store.fail(("job", fence), worker, what, "E: no", "tb", delay_ms=0, duration_ms=5, result_ttl=60)


def shown(store: Store, files: ArtifactStore) -> list[str]:
    """The names of the job's files, as everybody sees them."""
    (folder,) = folders_that_count(store, ["job"])
    return [] if folder is None else list(files.sizes(folder))


def undoings(store: Store) -> list[Any]:
    """The jobs that take something back."""
    return [status for status in store.list_jobs()[0] if status.task_name == "take_back"]


def test_a_stale_workers_late_file_does_not_change_a_committed_artifact(
    store: Store, files: ArtifactStore, tmp_path: Path
) -> None:
    old = leased(store, "one")
    store.hand_back([("job", "*")], "its lease ended", blame=True, result_ttl=60)
    new = leased(store, "two")
    with attempt(store, "two", new), unit_of_work() as unit:
        uri = unit.publish(made(tmp_path, b"right"), "video.mp4")
    store.complete("two", 60, [("job", new, b"1", 5.0)])
    with attempt(store, "one", old), unit_of_work() as late:
        assert late.publish(made(tmp_path, b"wrong"), "video.mp4") != uri
        late.publish(made(tmp_path, b"wrong"), "more")
    assert files.fetch(uri, tmp_path).read_bytes() == b"right"
    assert shown(store, files) == ["video.mp4"]


def test_artifacts_appear_with_the_commit_and_not_before(store: Store, files: ArtifactStore, tmp_path: Path) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence), unit_of_work() as unit:
        unit.publish(made(tmp_path), "a")
        assert shown(store, files) == []
    assert shown(store, files) == []
    store.complete("one", 60, [("job", fence, b"1", 5.0)])
    assert shown(store, files) == ["a"]


def test_a_failed_attempt_leaves_no_files_but_its_report(store: Store, files: ArtifactStore, tmp_path: Path) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence), unit_that_raises(PermanentError("not good")) as unit:
        unit.publish(made(tmp_path), "report.json", even_if_failed=True)
        unit.publish(made(tmp_path), "video.mp4")
    assert shown(store, files) == [], "the failure has not been committed"
    assert [file.name for file in files.files("job")] == ["report.json"]
    fail(store, fence, "dead")
    assert shown(store, files) == ["report.json"]


def test_an_attempt_that_is_put_off_or_stopped_leaves_no_files_at_all(
    store: Store, files: ArtifactStore, tmp_path: Path
) -> None:
    fence = leased(store, "one")
    for stopped in (RetryLater("later", 1.0), StaleFence("gone"), KeyboardInterrupt()):
        with attempt(store, "one", fence), unit_that_raises(stopped) as unit:
            unit.publish(made(tmp_path), "report.json", even_if_failed=True)
        assert files.files("job") == []


def test_what_a_dead_attempt_left_is_removed_by_the_next_that_publishes(
    store: Store, files: ArtifactStore, tmp_path: Path
) -> None:
    first = leased(store, "one")
    with attempt(store, "one", first), unit_of_work() as unit:
        unit.publish(made(tmp_path), "left-behind")
    store.hand_back([("job", "*")], "its worker died", blame=True, result_ttl=60)
    second = leased(store, "two")
    with attempt(store, "two", second), unit_of_work() as unit:
        unit.publish(made(tmp_path), "a")
        unit.publish(made(tmp_path), "b")
    assert [(file.attempt, file.name) for file in files.files("job")] == [("2", "a"), ("2", "b")]


ENDS: dict[str, End] = {
    "it raised and is retried": lambda store, fence: fail(store, fence, "retry"),
    "it raised for good": lambda store, fence: fail(store, fence, "dead"),
    "its worker died": lambda store, _: store.hand_back([("job", "*")], "died", blame=True, result_ttl=60),
    "Ray started it again": lambda store, fence: store.start("two", 60_000, 60, [("job", fence)]),
    "the tracker was restarted": lambda store, _: store.take_office("tracker", "f", 60),
    "it was cancelled": lambda store, _: store.cancel("job", "enough", 60),
}


@pytest.mark.parametrize("end", ENDS)
def test_however_an_attempt_ends_without_its_commit_it_is_undone_once(store: Store, tmp_path: Path, end: str) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence), unit_of_work() as unit:
        unit.on_abort(take_back, str(tmp_path), order="a cat")
    assert undoings(store) == []
    ENDS[end](store, fence)
    (undoing,) = undoings(store)
    assert (undoing.job_id, undoing.current_state, undoing.user_id) == ("job-undo-1", "QUEUED", "ann")
    assert undoing.metadata == {"undoes": "job"}
    assert store.history(undoing.job_id)[0].metadata == {"undoes": "job"}
    if not store.state("job").has_ended:
        store.cancel("job", "enough", 60)
    assert len(undoings(store)) == 1
    assert store.redis.exists(store.key("u:job")) == 0


def test_after_its_commit_nothing_is_undone(store: Store, tmp_path: Path) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence), unit_of_work() as unit:
        unit.on_abort(take_back, str(tmp_path), "a cat")
    assert store.complete("one", 60, [("job", fence, b"1", 5.0)]) == 0
    assert undoings(store) == []
    assert store.redis.exists(store.key("u:job")) == 0


def test_what_a_deferral_has_prepared_stays_prepared_and_counts_once(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        fence = leased(store, "one")
        with attempt(store, "one", fence), unit_that_raises(RetryLater("it is being made", 0.0)) as unit:
            unit.on_abort(take_back, str(tmp_path), "a cat")
        fail(store, fence, "defer")
        store.promote(10)
        assert undoings(store) == []
    store.cancel("job", "enough", 60)
    assert len(undoings(store)) == 1


def test_a_job_that_never_began_again_is_not_undone(store: Store, tmp_path: Path) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence), unit_of_work() as unit:
        unit.on_abort(take_back, str(tmp_path), "a cat")
    fail(store, fence, "defer")
    store.promote(10)
    fence = leased(store, "two")
    store.hand_back([("job", fence)], "a job before it takes long", blame=False, result_ttl=60)
    assert undoings(store) == []


def test_a_block_that_raises_is_undone_though_its_task_completes(store: Store, tmp_path: Path) -> None:
    fence = leased(store, "one")
    with attempt(store, "one", fence):
        with unit_of_work() as unit:
            unit.on_abort(take_back, str(tmp_path), "one that went well")
        with unit_that_raises(ValueError("sold out")) as unit:
            unit.on_abort(take_back, str(tmp_path), "one that did not")
    store.complete("one", 60, [("job", fence, b"1", 5.0)])
    (undoing,) = undoings(store)
    assert b"one that did not" in (store.fields(undoing.job_id, "spec")[0] or b"")


def test_a_stale_worker_is_told_before_its_outside_effect(store: Store, tmp_path: Path) -> None:
    fence = leased(store, "one")
    store.hand_back([("job", "*")], "its lease ended", blame=True, result_ttl=60)
    leased(store, "two")
    with attempt(store, "one", fence), pytest.raises(StaleFence, match="job no longer belongs"):
        unit_of_work().on_abort(take_back, str(tmp_path), "a cat")
    store.cancel("job", "enough", 60)
    assert undoings(store) == []


def test_outside_a_job_files_are_kept_and_nothing_is_prepared(files: ArtifactStore, tmp_path: Path) -> None:
    with unit_of_work() as unit:
        unit.on_abort(take_back, str(tmp_path), "a cat")
        uri = unit.publish(made(tmp_path), "a")
    assert files.fetch(uri, tmp_path).read_bytes() == b"content"
    assert not (tmp_path / "took-back-a cat").exists()


def test_an_order_is_taken_back_once_when_its_worker_is_killed(system: Store, tmp_path: Path, until: Until) -> None:
    job = order_and_die_once.delay(str(tmp_path))
    assert job.get(timeout=60) == 2
    until(lambda: times(tmp_path, "took-back-1") == 1)
    assert [times(tmp_path, f"ordered-{fence}") for fence in (1, 2)] == [1, 1]
    assert times(tmp_path, "took-back-2") == 0
    assert [undoing.job_id for undoing in undoings(system)][:1] == [f"{job.id}-undo-1"]


def test_an_order_is_taken_back_when_its_job_is_cancelled(system: Store, tmp_path: Path, until: Until) -> None:
    assert system is not None
    job = order_and_wait.delay(str(tmp_path))
    until((tmp_path / "ordered").exists)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.get(timeout=30)
    until(lambda: times(tmp_path, "took-back-the-long-one") == 1)
