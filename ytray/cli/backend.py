"""What the commands work on: the system itself, or another one over HTTP. Each is written once, against this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import typer

if TYPE_CHECKING:
    from ytray.client.model import LogPage
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
    from ytray.spend.model import Budget, Entry
    from ytray.spend.models import ModelStatus
    from ytray.studio.model import Brief, Estimate


class Preparing(Protocol):
    """A batch's input that was read and checked: it becomes a batch, or is dropped."""

    @property
    def prepared(self) -> Prepared:
        """What was read, and what it would cost and take."""

    def commit(self, *, skip_invalid: bool) -> str:
        """Make it a batch and return its id. Raises InvalidRows when rows are wrong and not to be skipped."""

    def drop(self) -> None:
        """Forget it; nothing was submitted."""


class Backend(Protocol):
    """A ytray system. All methods raise ytray's errors, the same ones inside and over HTTP."""

    pace: float  # seconds between looks at it that it bears well

    @property
    def stays(self) -> bool:
        """Whether it goes on when the command ends; one that the command had to start itself does not."""

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

    def create_video(self, brief: Brief) -> str:
        """Submit the making of a video and return the job's id."""

    def estimate(self, brief: Brief) -> Estimate:
        """What the making of a video would cost."""

    def status(self, job_id: str) -> JobStatus:
        """What is known of a job."""

    def history(self, job_id: str) -> list[Transition]:
        """Every move of a job."""

    def wait(self, job_id: str, timeout: float | None) -> Any:
        """Wait for a job's end, at most `timeout` seconds, and return its result as JSON."""

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""

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
        """The newest jobs that match; `limit` is 1 to 1,000."""

    def children(self, job_id: str) -> list[JobStatus]:
        """The steps of a flow."""

    def logs(self, job_id: str, after: int) -> LogPage:
        """What a job logged since `after`."""

    def fetch(self, uri: str, target: Path) -> None:
        """Write an artifact to a file, which appears once it is whole."""

    def local(self, file: str, folder: Path) -> tuple[Path, str] | None:
        """Where a file lies that a timeline in `folder` names, and what to call it; None: not here."""
        ...

    def adopt(self, file: str, folder: Path) -> str:
        """The URI of a file that a timeline in `folder` names; a local one is kept now. Raises InvalidArguments."""

    def queues(self) -> list[QueueStatus]:
        """Every queue."""

    def pause(self, queue: str) -> None:
        """Start no more jobs of a queue."""

    def resume(self, queue: str) -> None:
        """Start jobs of a queue again."""

    def nodes(self) -> list[NodeStatus]:
        """Every node of the cluster. Raises SystemUnavailable where none is running."""

    def drain(self, node: str, deadline_seconds: float, reason: str) -> NodeStatus:
        """Take a node out of service. Raises UnknownNode, InvalidTransition, InvalidArguments."""

    def jobs_on(self, node_id: str) -> list[str]:
        """The ids of the jobs that run on a node, which may be gone meanwhile."""

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""

    def dead_letters(self) -> list[DeadLetter]:
        """The whole dead-letter queue."""

    def dead_letter(self, job_id: str) -> DeadLetter:
        """One job of it."""

    def replay(self, job_ids: Sequence[str] | None) -> list[str]:
        """Run these jobs of it once more, or all; returns those that were in it."""

    def discard(self, job_ids: Sequence[str] | None) -> list[str]:
        """Take these jobs out of it, or all; returns those that were in it."""

    def prepare_batch(
        self, source: Path, *, task: str, options: BatchOptions, told: Callable[[int], None]
    ) -> Preparing:
        """Read and check a batch's input; `told` hears how many rows were read so far, where that is known."""

    def batch(self, batch_id: str) -> BatchStatus:
        """What is known of a batch."""

    def plan_batch(self, batch_id: str, asked: Asked) -> Plan:
        """The nodes that a batch needs to be done in time."""

    def plan_items(
        self, task: str, items: int, asked: Asked, *, concurrency: int | None, left_to_pay: float | None
    ) -> Plan:
        """The nodes that so many items need which are not submitted yet."""

    def batches(self, *, limit: int) -> BatchPage:
        """The newest batches; `limit` is 1 to 1,000."""

    def batch_items(self, batch_id: str, state: ItemState | None, *, limit: int, cursor: int | None) -> ItemPage:
        """Items of a batch in the order of its input; `limit` is 1 to 1,000."""

    def batch_errors(self, batch_id: str) -> list[ErrorGroup]:
        """The failed items of a batch, those with alike errors together, the largest group first."""

    def resume_batch(self, batch_id: str, source: Path | None) -> Resumed:
        """Go on with a paused batch, and run what failed or was cancelled again; `source` is its edited input."""

    def pause_batch(self, batch_id: str) -> BatchStatus:
        """Start no more items of a batch."""

    def cancel_batch(self, batch_id: str) -> BatchStatus:
        """Cancel every item of a batch that has not ended."""

    def change_batch(
        self, batch_id: str, *, priority: int | None, concurrency: int | None, budget_usd: float | None
    ) -> BatchStatus:
        """Change how a batch is run; None leaves a thing as it is."""

    def replay_errors(self, batch_id: str, fingerprint: str) -> int:
        """Run the failed items of a group of errors once more; returns how many."""

    def discard_errors(self, batch_id: str, fingerprint: str) -> int:
        """Give the failed items of a group of errors up; returns how many."""

    def batch_report(self, batch_id: str, form: Literal["markdown", "html"]) -> str:
        """What came of a batch, to read."""

    def spending(self, job_id: str | None, *, user_id: str | None, limit: int) -> list[Entry]:
        """All paid calls of a job and its steps, oldest first; or the newest 1 to 1,000 of a user or of everybody."""

    def allow_call(self, key: str) -> Entry:
        """Let an uncertain call be made again."""

    def audit(self, limit: int, cursor: str | None) -> AuditPage:
        """Who did what, the newest first."""

    def budgets(self) -> list[Budget]:
        """What users may spend this month, and have spent."""

    def set_budget(self, user_id: str, limit_usd: float | None) -> Budget:
        """Let a user spend so many US dollars a month; None: back to the default."""

    def models(self) -> list[ModelStatus]:
        """Every model that has a price."""

    def webhook_secret(self, user_id: str | None, *, rotate: bool) -> WebhookSecret:
        """What webhooks are signed with: a user's, or those of whoever asks; a new one to `rotate` it."""

    def task_names(self) -> list[str]:
        """The names of all tasks."""

    def close(self) -> None:
        """Leave the system."""


@dataclass(frozen=True)
class Reach:
    """Which system the command line was pointed at; without a URL, the one that this machine can join."""

    url: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Reach({self.url!r})"

    def backend(self, *, timeout: float = 30.0, tries: int = 5) -> Backend:
        """The system. `timeout` (seconds) and `tries` are for calls over HTTP."""
        if self.url:
            from ytray.cli.remote import Remote

            return Remote(self.url, self.key, timeout=timeout, tries=tries)
        from ytray.cli.inside import Inside

        return Inside()


def backend(context: typer.Context) -> Backend:
    """The system that this command works on; it is left when the command ends."""
    reach = context.find_object(Reach) or Reach()
    found = reach.backend()
    context.call_on_close(found.close)
    return found
