"""`unit_of_work()`: what an attempt brings about appears together with its commit, or not at all.

What happens when …
- the attempt commits: its files are the job's, and nothing is undone. Both are one move in Redis.
- the block raises: the files that it published are removed, and what it had prepared to undo is undone.
- the attempt ends in any other way (its worker dies, its lease ends, its job is cancelled): who notices has it undone
  in the same move, and the files, which nobody sees, are removed by the next attempt or by clean-up.
- a worker that lost the job goes on: what it publishes lies in a folder of its own, and it can prepare nothing.
- the attempt is put off (RetryLater): its files are removed, and what is prepared stays so for the next attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec

from ytray.artifacts import ArtifactStore, attempt_folder
from ytray.engine.base.context import CurrentJob, current_job
from ytray.engine.base.model import DEFAULT_PRIORITY, JobState
from ytray.engine.jobs.task import Options, Task
from ytray.engine.state.reading import Reading
from ytray.errors import RetryLater, StaleFence
from ytray.settings import settings

P = ParamSpec("P")


class UnitOfWork:
    """What one attempt of a job brings about. Made by `unit_of_work()`."""

    def __init__(self, job: CurrentJob) -> None:
        self._job = job
        self._files = ArtifactStore()
        self._folder = attempt_folder(job.id, job.fence)
        self._published: dict[str, bool] = {}  # name → whether it stays when the attempt fails
        self._prepared: list[str] = []

    def __enter__(self) -> UnitOfWork:
        return self

    def publish(self, source: Path, name: str, *, even_if_failed: bool = False) -> str:
        """Keep the file `source` as `name`; returns its URI. It is seen when the job has completed.

        A file that is to be read `even_if_failed`, such as a report, stays when the block raises, and is seen when
        the job has failed for good. Raises PermanentError for a name that cannot be one.
        """
        if not self._published and self._job.fence > 1:
            self._files.drop_attempts_before(self._job.id, self._job.fence)
        self._published[name] = even_if_failed
        return self._files.publish(source, self._folder, name)

    def on_abort(self, task: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `task` run as a job of its own if this attempt ends in any other way than by its commit.

        Say it before the outside effect that it undoes, with arguments that name just that effect: the job's next
        attempt may run at the same time, and the effect may not have come about. The same task with the same arguments
        counts once until it has been undone. Outside a job nothing is prepared. Raises StaleFence when the job no
        longer belongs to this worker: then the effect must not come about; InvalidArguments, PayloadTooLarge.
        """
        payload, canonical = task.signature.encode_canonically(args, kwargs, settings().max_payload)
        where = self._job.store
        if where is None:
            return
        digest = task.digest_of(canonical)
        task.keep_code(where)
        spec = task.spec_head(Options(metadata={"undoes": self._job.id}), where, None) + payload + b"}"
        what = (digest, task.name, task.queue, task.lane or task.queue, DEFAULT_PRIORITY, spec)
        if not where.call("unit", *self._whose(), "prepare", *what):
            raise StaleFence(
                f"job {self._job.id} no longer belongs to this worker (fence {self._job.fence}): stop working on it"
            )
        self._prepared.append(digest)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            return
        failed = isinstance(error, Exception) and not isinstance(error, (RetryLater, StaleFence))
        for name, even_if_failed in self._published.items():
            with suppress(Exception):  # clean-up finds it; what went wrong first counts
                if failed and even_if_failed:
                    self._files.move(name, self._folder, attempt_folder(self._job.id, self._job.fence, failed=True))
                else:
                    self._files.remove(self._folder, name)
        if failed and self._prepared and self._job.store is not None:
            # Now, not with the end of the attempt: the task may catch the error and complete all the same.
            self._job.store.call("unit", *self._whose(), "undo", *self._prepared)

    def _whose(self) -> tuple[str, int, str]:
        return self._job.id, self._job.fence, self._job.worker


def unit_of_work() -> UnitOfWork:
    """What the running attempt brings about, as one: `with unit_of_work() as unit:`, then `unit.publish(file, name)`.

    Outside a job the files are kept under an id of their own, and nothing is undone.
    """
    return UnitOfWork(current_job())


def folders_that_count(where: Reading, ids: Sequence[str]) -> list[str | None]:
    """Where the files of each job lie that are the job's: its commit's, or what it left to be read when it failed.

    None for a job that has not ended, was cancelled, or does not exist.
    """
    pipe = where.redis.pipeline(transaction=False)
    for job_id in ids:
        pipe.hmget(where.key(f"j:{job_id}"), ["state", "fence"])
    folders = []
    for job_id, found in zip(ids, pipe.execute(raise_on_error=False), strict=True):
        state, fence = found if isinstance(found, list) else (None, None)  # somebody wrote over it
        if fence and not fence.isdigit():
            state = None
        ended = state in (JobState.COMPLETED.encode(), JobState.FAILED.encode())
        failed = state == JobState.FAILED.encode()
        folders.append(attempt_folder(job_id, int(fence or 0), failed=failed) if ended else None)
    return folders
