"""The commands' view of the system that this machine can join: straight to its Redis, and to Ray to submit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ytray
from ytray.artifacts import ArtifactStore
from ytray.client.model import LogPage
from ytray.engine.base.model import DeadLetter, JobPage, JobState, JobStatus, QueueStatus, Transition
from ytray.engine.base.names import NODE_WORD
from ytray.engine.batch.batches import Batch, batches
from ytray.engine.batch.model import (
    BatchOptions,
    BatchPage,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    ItemState,
    Resumed,
)
from ytray.engine.batch.plan import Asked, Plan
from ytray.engine.batch.preparing import Preparation
from ytray.engine.cluster.nodes import NodeStatus, drain, list_nodes, workers_of
from ytray.engine.jobs.dlq import dlq
from ytray.engine.jobs.job import Job
from ytray.engine.jobs.task import all_tasks, find
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state import audit
from ytray.engine.state.audit import AuditPage
from ytray.engine.state.connection import is_connected, running_store, store
from ytray.engine.state.joblog import read_log
from ytray.engine.state.store import Store
from ytray.engine.state.webhook_secrets import WebhookSecret, rotate_webhook_secret, webhook_secret
from ytray.errors import DamagedJob, SystemUnavailable, UnknownJob
from ytray.settings import settings
from ytray.spend import budgets, journal
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus, model_statuses
from ytray.spend.planning import plan_batch, plan_items
from ytray.studio.model import Brief, Estimate
from ytray.studio.render.digests import digest
from ytray.system.ray_cluster import recorded

_PAGE = 1000  # jobs: the most that one page of a listing has


class Inside:
    """The engine itself, by the names that the client has."""

    pace = 0.25

    def __init__(self) -> None:
        self._joined_by_others = is_connected()
        self.stays = settings().ray_address is not None or recorded(settings().home) is not None

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
        chosen = {
            "queue": queue,
            "priority": priority,
            "delay": delay,
            "idempotency_key": idempotency_key,
            "user_id": user_id,
            "metadata": metadata,
        }
        options = {name: value for name, value in chosen.items() if value is not None}
        return find(task).options(**options).delay(**args).id

    def make_video(self, brief: Brief) -> str:
        """Submit the making of a video and return the job's id."""
        from ytray.tasks.processing import create_video

        return create_video.delay(**brief.model_dump()).id

    def estimate(self, brief: Brief) -> Estimate:
        """What the making of a video would cost."""
        from ytray.studio.estimate import estimate

        return estimate(brief)

    def status(self, job_id: str) -> JobStatus:
        """What is known of a job."""
        return job_tracker.get_status(job_id)

    def history(self, job_id: str) -> list[Transition]:
        """Every move of a job."""
        return job_tracker.get_history(job_id)

    def wait(self, job_id: str, timeout: float | None) -> Any:
        """Wait for a job's end and return its result as JSON."""
        return Job[Any](job_id).outcome(store().wait_until_ended(job_id, timeout))

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        job_tracker.cancel(job_id)
        audit.record_here(store(), "cancel job", job_id)

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
        return job_tracker.page(state, task_name=task_name, queue=queue, user_id=user_id, limit=limit, cursor=cursor)

    def children(self, job_id: str) -> list[JobStatus]:
        """The steps of a flow."""
        return job_tracker.children(job_id)

    def logs(self, job_id: str, after: int) -> LogPage:
        """What a job logged since `after`."""
        where = store()
        where.state(job_id)  # raises for a job that does not exist, which has no log either
        lines, following = read_log(where, job_id, after)
        return LogPage(lines=lines, next=following)

    def fetch(self, uri: str, target: Path) -> None:
        """Copy an artifact."""
        ArtifactStore().copy_to(uri, target)

    def adopt(self, file: str, folder: Path) -> str:
        """An artifact's own URI, or that of a local file, which is kept under its content's digest."""
        store, path = ArtifactStore(), folder / file
        if store.holds(file):
            return file
        return store.take_in(path, digest(path)[:32])

    def queues(self) -> list[QueueStatus]:
        """Every queue."""
        return job_tracker.queues()

    def pause(self, queue: str) -> None:
        """Start no more jobs of a queue."""
        job_tracker.pause(queue)
        audit.record_here(store(), "pause queue", queue)

    def resume(self, queue: str) -> None:
        """Start jobs of a queue again."""
        job_tracker.resume(queue)
        audit.record_here(store(), "resume queue", queue)

    def nodes(self) -> list[NodeStatus]:
        """Every node of the cluster."""
        self._check_for_a_cluster()
        return list_nodes()

    def drain(self, node: str, deadline_seconds: float, reason: str) -> NodeStatus:
        """Take a node out of service."""
        self._check_for_a_cluster()
        drained = drain(node, deadline_seconds, reason)
        audit.record_here(store(), "drain node", drained.node_id, reason)
        # Ray would end this process together with the node, when it is the one that the command runs on.
        ytray.shutdown()
        import ray

        leave: Callable[[], None] = ray.shutdown
        leave()
        return drained

    def jobs_on(self, node_id: str) -> list[str]:
        """The ids of the jobs that run on a node: asks Redis alone."""
        where, found, cursor = store(), list[str](), None
        while True:
            page = job_tracker.page(JobState.EXECUTING, limit=_PAGE, cursor=cursor)
            workers = workers_of(where, [job.job_id for job in page.jobs])
            found += [job_id for job_id, worker in workers.items() if worker.startswith(f"{node_id[:NODE_WORD]}:")]
            cursor = page.next_cursor
            if cursor is None:
                return sorted(found)

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        return job_tracker.counts()

    def iter_dead_letters(self) -> Iterator[DeadLetter]:
        """The whole dead-letter queue."""
        return iter(dlq.list_all())

    def dead_letter(self, job_id: str) -> DeadLetter:
        """One job of it."""
        return dlq.show(job_id)

    def replay(self, job_ids: Sequence[str]) -> list[str]:
        """Run these jobs of it once more."""
        return self._settled(job_ids, dlq.retry_task, "replay")

    def replay_all(self) -> list[str]:
        """Run all of its jobs once more."""
        return self._settled(None, dlq.retry_task, "replay")

    def discard(self, job_ids: Sequence[str]) -> list[str]:
        """Take these jobs out of it."""
        return self._settled(job_ids, dlq.remove, "discard")

    def discard_all(self) -> list[str]:
        """Take all jobs out of it."""
        return self._settled(None, dlq.remove, "discard")

    def prepare_batch(
        self, source: Path, *, task: str, options: BatchOptions, told: Callable[[int], None]
    ) -> Preparation:
        """Read and check a batch's input."""
        return batches.prepare(source, task=task, options=options, told=told)

    def batch(self, batch_id: str) -> BatchStatus:
        """What is known of a batch."""
        return Batch(batch_id).status()

    def plan_batch(
        self, batch_id: str, deadline: float, *, slots: Mapping[str, int], prices: Mapping[str, float]
    ) -> Plan:
        """The nodes that a batch needs to be done in time."""
        return plan_batch(self._with_nodes(), batch_id, Asked(deadline, slots, prices))

    def plan_items(
        self,
        items: int,
        deadline: float,
        *,
        task: str,
        concurrency: int | None,
        left_to_pay: float | None,
        slots: Mapping[str, int],
        prices: Mapping[str, float],
    ) -> Plan:
        """The nodes that so many items need which are not submitted yet."""
        asked = Asked(deadline, slots, prices)
        return plan_items(self._with_nodes(), task, items, asked, concurrency=concurrency, left_to_pay=left_to_pay)

    def _with_nodes(self) -> Store:
        """The store, and Ray where a cluster runs: its nodes tell what slots a node has."""
        return running_store() if self.stays else store()

    def batches(self, *, limit: int) -> BatchPage:
        """The newest batches."""
        return batches.page(limit=limit)

    def batch_items(self, batch_id: str, state: ItemState | None, *, limit: int, cursor: int | None) -> ItemPage:
        """Items of a batch."""
        return Batch(batch_id).items(state, limit=limit, cursor=cursor)

    def batch_errors(self, batch_id: str) -> list[ErrorGroup]:
        """The failed items of a batch in groups."""
        return Batch(batch_id).errors()

    def resume_batch(self, batch_id: str, source: Path | None) -> Resumed:
        """Go on with a batch."""
        resumed = Batch(batch_id).resume(source)
        audit.record_here(store(), "resume batch", batch_id)
        return resumed

    def pause_batch(self, batch_id: str) -> BatchStatus:
        """Start no more items of a batch."""
        paused = Batch(batch_id).pause()
        audit.record_here(store(), "pause batch", batch_id)
        return paused

    def cancel_batch(self, batch_id: str) -> BatchStatus:
        """Cancel every item of a batch that has not ended."""
        cancelled = Batch(batch_id).cancel()
        audit.record_here(store(), "cancel batch", batch_id)
        return cancelled

    def change_batch(
        self, batch_id: str, *, priority: int | None, concurrency: int | None, budget_usd: float | None
    ) -> BatchStatus:
        """Change how a batch is run."""
        changed = Batch(batch_id).change(priority=priority, concurrency=concurrency, budget_usd=budget_usd)
        given = {"priority": priority, "concurrency": concurrency, "budget_usd": budget_usd}
        told = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        audit.record_here(store(), "change batch", batch_id, told)
        return changed

    def replay_errors(self, batch_id: str, fingerprint: str) -> int:
        """Run the failed items of a group of errors once more."""
        number = Batch(batch_id).replay(fingerprint)
        audit.record_here(store(), "replay items", f"{batch_id}/errors/{fingerprint}")
        return number

    def discard_errors(self, batch_id: str, fingerprint: str) -> int:
        """Give the failed items of a group of errors up."""
        number = Batch(batch_id).discard(fingerprint)
        audit.record_here(store(), "discard items", f"{batch_id}/errors/{fingerprint}")
        return number

    def batch_report(self, batch_id: str, form: Literal["markdown", "html"]) -> str:
        """What came of a batch, to read."""
        made = Batch(batch_id).report()
        return made.html if form == "html" else made.markdown

    def spending(self, job_id: str | None, *, user_id: str | None, limit: int) -> list[Entry]:
        """Paid calls."""
        if job_id is not None:
            return journal.entries_of_job(store(), job_id)
        return journal.latest_entries(store(), user_id=user_id, limit=limit)

    def allow_call(self, key: str) -> Entry:
        """Let an uncertain call be made again."""
        allowed = journal.allow(store(), key)
        audit.record_here(store(), "allow call", key)
        return allowed

    def budgets(self) -> list[Budget]:
        """What users may spend this month, and have spent."""
        return budgets.user_budgets(store())

    def set_budget(self, user_id: str, limit_usd: float | None) -> Budget:
        """Let a user spend so many US dollars a month."""
        budget = budgets.set_user_budget(store(), user_id, limit_usd)
        told = "the default" if limit_usd is None else f"{limit_usd} USD"
        audit.record_here(store(), "set budget", user_id, told)
        return budget

    def audit(self, limit: int, cursor: str | None) -> AuditPage:
        """Who did what, the newest first."""
        return audit.page(store(), limit, cursor)

    def models(self) -> list[ModelStatus]:
        """Every model that has a price."""
        return model_statuses(store())

    def webhook_secret(self, user_id: str | None) -> WebhookSecret:
        """What webhooks are signed with."""
        return webhook_secret(store(), user_id)

    def rotate_webhook_secret(self, user_id: str | None) -> WebhookSecret:
        """Make a new secret."""
        made = rotate_webhook_secret(store(), user_id)
        audit.record_here(store(), "rotate webhook secret", user_id or "")
        return made

    def task_names(self) -> list[str]:
        """The names of all tasks."""
        return list(all_tasks())

    def close(self) -> None:
        """Leave the system, and stop what was started to join it; a program that had joined it before stays in."""
        if not self._joined_by_others:
            ytray.shutdown()

    def _check_for_a_cluster(self) -> None:
        if not self.stays:
            raise SystemUnavailable(
                "no Ray cluster is running here: `ytray up` starts one, and RAY_ADDRESS names one to be joined"
            )

    def _settled(self, job_ids: Sequence[str] | None, settle: Callable[[str], None], action: str) -> list[str]:
        settled = []
        for job_id in [letter.job_id for letter in dlq.list_all()] if job_ids is None else job_ids:
            try:
                settle(job_id)
            except (UnknownJob, DamagedJob):
                continue
            settled.append(job_id)
            audit.record_here(store(), action, job_id)
        return settled
