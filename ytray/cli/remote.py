"""The commands' view of a system that is reached over its HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ytray.artifacts import owner_and_name
from ytray.client import Client, LogPage
from ytray.client.model import BatchChoices
from ytray.engine.base.model import DeadLetter, JobPage, JobState, JobStatus, QueueStatus, Transition
from ytray.engine.batch.model import (
    BatchOptions,
    BatchPage,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    ItemState,
    Prepared,
    Resumed,
)
from ytray.engine.batch.plan import Asked, Plan
from ytray.engine.cluster.nodes import NodeStatus
from ytray.engine.state.audit import AuditPage
from ytray.engine.state.webhook_secrets import WebhookSecret
from ytray.errors import InvalidArguments
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus
from ytray.studio.model import Brief, Estimate


@dataclass(frozen=True)
class _Checked:
    """An input that the server has checked. It keeps nothing of it: what is committed is sent once more."""

    prepared: Prepared
    _client: Client
    _source: Path
    _task: str
    _options: BatchChoices

    def commit(self, *, skip_invalid: bool) -> str:
        """Send it to be a batch."""
        return self._client.create_batch(self._source, task=self._task, skip_invalid=skip_invalid, **self._options)

    def drop(self) -> None:
        """Nothing is there to be forgotten."""


class Remote:
    """`ytray.cli.backend.Backend` over `ytray.client.Client`."""

    pace = 1.0
    stays = True

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
        job_id, name = owner_and_name(uri)
        self._client.download(job_id, name, target)

    def local(self, file: str, folder: Path) -> None:
        """None: files of this machine are not taken in, and the server's are there."""

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

    def nodes(self) -> list[NodeStatus]:
        """Every node of the cluster."""
        return self._client.nodes()

    def drain(self, node: str, deadline_seconds: float, reason: str) -> NodeStatus:
        """Take a node out of service."""
        return self._client.drain(node, deadline_seconds, reason)

    def jobs_on(self, node_id: str) -> list[str]:
        """The ids of the jobs that run on a node."""
        return [job_id for node in self._client.nodes() if node.node_id == node_id for job_id in node.jobs]

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

    def prepare_batch(self, source: Path, *, task: str, options: BatchOptions, told: Callable[[int], None]) -> _Checked:
        """Have a batch's input checked there."""
        choices = _choices(options)
        prepared = self._client.estimate_batch(source, task=task, **choices)
        told(prepared.accepted)
        return _Checked(prepared, self._client, source, task, choices)

    def batch(self, batch_id: str) -> BatchStatus:
        """What is known of a batch."""
        return self._client.batch(batch_id)

    def plan_batch(self, batch_id: str, asked: Asked) -> Plan:
        """The nodes that a batch needs to be done in time."""
        return self._client.plan_batch(batch_id, asked.deadline, slots=asked.slots, prices=asked.prices)

    def plan_items(
        self, task: str, items: int, asked: Asked, *, concurrency: int | None, left_to_pay: float | None
    ) -> Plan:
        """The nodes that so many items need which are not submitted yet."""
        return self._client.plan_items(
            items,
            asked.deadline,
            task=task,
            concurrency=concurrency,
            left_to_pay=left_to_pay,
            slots=asked.slots,
            prices=asked.prices,
        )

    def batches(self, *, limit: int) -> BatchPage:
        """The newest batches."""
        return self._client.batches(limit=limit)

    def batch_items(self, batch_id: str, state: ItemState | None, *, limit: int, cursor: int | None) -> ItemPage:
        """Items of a batch."""
        return self._client.batch_items(batch_id, state, limit=limit, cursor=cursor)

    def batch_errors(self, batch_id: str) -> list[ErrorGroup]:
        """The failed items of a batch in groups."""
        return self._client.batch_errors(batch_id)

    def resume_batch(self, batch_id: str, source: Path | None) -> Resumed:
        """Go on with a batch."""
        return self._client.resume_batch(batch_id, source)

    def pause_batch(self, batch_id: str) -> BatchStatus:
        """Start no more items of a batch."""
        return self._client.pause_batch(batch_id)

    def cancel_batch(self, batch_id: str) -> BatchStatus:
        """Cancel every item of a batch that has not ended."""
        return self._client.cancel_batch(batch_id)

    def change_batch(
        self, batch_id: str, *, priority: int | None, concurrency: int | None, budget_usd: float | None
    ) -> BatchStatus:
        """Change how a batch is run."""
        return self._client.change_batch(batch_id, priority=priority, concurrency=concurrency, budget_usd=budget_usd)

    def replay_errors(self, batch_id: str, fingerprint: str) -> int:
        """Run the failed items of a group of errors once more."""
        return self._client.replay_errors(batch_id, fingerprint)

    def discard_errors(self, batch_id: str, fingerprint: str) -> int:
        """Give the failed items of a group of errors up."""
        return self._client.discard_errors(batch_id, fingerprint)

    def batch_report(self, batch_id: str, form: Literal["markdown", "html"]) -> str:
        """What came of a batch, to read."""
        return self._client.batch_report(batch_id, form)

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

    def audit(self, limit: int, cursor: str | None) -> AuditPage:
        """Who did what, the newest first."""
        return self._client.audit(limit, cursor)

    def models(self) -> list[ModelStatus]:
        """Every model that has a price."""
        return self._client.models()

    def webhook_secret(self, user_id: str | None, *, rotate: bool) -> WebhookSecret:
        """What webhooks are signed with."""
        return (self._client.rotate_webhook_secret if rotate else self._client.webhook_secret)(user_id)

    def task_names(self) -> list[str]:
        """The names of all tasks."""
        return [task.name for task in self._client.tasks()]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _choices(options: BatchOptions) -> BatchChoices:
    return BatchChoices(
        name=options.name,
        user_id=options.user_id,
        concurrency=options.concurrency,
        budget_usd=options.budget_usd,
        priority=options.priority,
        start_at=options.start_at,
        cron=options.cron,
        on_complete=options.on_complete,
        on_failure=options.on_failure,
        idempotency_key=options.idempotency_key,
    )
