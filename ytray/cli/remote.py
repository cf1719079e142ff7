"""The commands' view of a system that is reached over its HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ytray.client import Client, LogPage
from ytray.engine.model import DeadLetter, JobPage, JobState, JobStatus, QueueStatus, Transition
from ytray.errors import InvalidArguments
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus
from ytray.studio.model import Brief, Estimate


class Remote:
    """`ytray.cli.backend.Backend` over `ytray.client.Client`."""

    pace = 1.0

    def __init__(self, url: str, key: str | None, *, timeout: float, tries: int) -> None:
        self._client = Client(url, key, timeout, tries=tries)

    def submit(
        self,
        task: str,
        args: Mapping[str, Any],
        *,
        queue: str | None,
        priority: int | None,
        delay: float | None,
        idempotency_key: str | None,
        user_id: str | None,
        metadata: Mapping[str, Any],
    ) -> str:
        """Submit a job and return its id."""
        return self._client.submit(
            task,
            args,
            queue=queue,
            priority=priority,
            delay=delay,
            idempotency_key=idempotency_key,
            user_id=user_id,
            metadata=metadata,
        )

    def create_video(self, brief: Brief) -> str:
        """Submit the making of a video and return the job's id."""
        return self._client.create_video(**brief.model_dump())

    def estimate(self, brief: Brief) -> Estimate:
        """What the making of a video would cost."""
        return self._client.estimate_video(**brief.model_dump())

    def status(self, job_id: str) -> JobStatus:
        """What is known of a job."""
        return self._client.status(job_id)

    def history(self, job_id: str) -> list[Transition]:
        """Every move of a job."""
        return self._client.history(job_id)

    def wait(self, job_id: str, timeout: float | None) -> Any:
        """Wait for a job's end and return its result as JSON."""
        return self._client.wait(job_id, timeout)

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        self._client.cancel(job_id)

    def jobs(
        self,
        state: JobState | None,
        *,
        task_name: str | None,
        queue: str | None,
        user_id: str | None,
        limit: int,
        cursor: str | None,
    ) -> JobPage:
        """The newest jobs that match."""
        return self._client.jobs(state, task_name=task_name, queue=queue, user_id=user_id, limit=limit, cursor=cursor)

    def children(self, job_id: str) -> list[JobStatus]:
        """The steps of a flow."""
        return self._client.children(job_id)

    def logs(self, job_id: str, after: int) -> LogPage:
        """What a job logged since `after`."""
        return self._client.logs(job_id, after)

    def fetch(self, uri: str, target: Path) -> None:
        """Download an artifact."""
        *_, job_id, name = uri.split("/")  # wherever the server keeps it: the job that made it, and its name
        self._client.download(job_id, name, target)

    def adopt(self, file: str, folder: Path) -> str:
        """The URI as it is given. Raises InvalidArguments for a file of this machine: the API takes no files in."""
        if not Path(file).is_absolute() and (folder / file).is_file():
            raise InvalidArguments(f"{file} is a file of this machine, which the API does not take in: render it there")
        return file

    def queues(self) -> list[QueueStatus]:
        """Every queue."""
        return self._client.queues()

    def pause(self, queue: str) -> None:
        """Start no more jobs of a queue."""
        self._client.pause(queue)

    def resume(self, queue: str) -> None:
        """Start jobs of a queue again."""
        self._client.resume(queue)

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        return self._client.counts()

    def dead_letters(self) -> list[DeadLetter]:
        """The whole dead-letter queue."""
        return list(self._client.iter_dead_letters())

    def dead_letter(self, job_id: str) -> DeadLetter:
        """One job of it."""
        return self._client.dead_letter(job_id)

    def replay(self, job_ids: Sequence[str] | None) -> list[str]:
        """Run these jobs of it once more, or all."""
        return self._client.replay_all() if job_ids is None else self._client.replay(job_ids)

    def discard(self, job_ids: Sequence[str] | None) -> list[str]:
        """Take these jobs out of it, or all."""
        return self._client.discard_all() if job_ids is None else self._client.discard(job_ids)

    def spending(self, job_id: str | None, *, user_id: str | None, limit: int) -> list[Entry]:
        """Paid calls."""
        return self._client.spending(job_id, user_id, limit)

    def allow_call(self, key: str) -> Entry:
        """Let an uncertain call be made again."""
        return self._client.allow_call(key)

    def budgets(self) -> list[Budget]:
        """What users may spend this month, and have spent."""
        return self._client.budgets()

    def set_budget(self, user_id: str, limit_usd: float | None) -> Budget:
        """Let a user spend so many US dollars a month."""
        return self._client.set_budget(user_id, limit_usd)

    def models(self) -> list[ModelStatus]:
        """Every model that has a price."""
        return self._client.models()

    def task_names(self) -> list[str]:
        """The names of all tasks."""
        return [task.name for task in self._client.tasks()]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
