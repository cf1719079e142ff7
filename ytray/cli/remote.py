"""The commands' view of a system that is reached over its HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ytray.artifacts import owner_and_name
from ytray.client import Client
from ytray.client.model import BatchChoices
from ytray.engine.batch.model import (
    BatchOptions,
    Prepared,
)
from ytray.errors import InvalidArguments
from ytray.studio.model import Brief, Estimate


@dataclass(frozen=True)
class Checked:
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


class Remote(Client):
    """The client, with what commands need besides."""

    pace = 1.0  # seconds between looks that it bears well
    stays = True

    def make_video(self, brief: Brief) -> str:
        """Submit the making of a video and return the job's id."""
        return self.create_video(**brief.model_dump())

    def estimate(self, brief: Brief) -> Estimate:
        """What the making of a video would cost."""
        return self.estimate_video(**brief.model_dump())

    def fetch(self, uri: str, target: Path) -> None:
        """Download an artifact."""
        job_id, name = owner_and_name(uri)
        self.download(job_id, name, target)

    def adopt(self, file: str, folder: Path) -> str:
        """The URI as it is given. Raises InvalidArguments for a file of this machine: the API takes no files in."""
        if not Path(file).is_absolute() and (folder / file).is_file():
            raise InvalidArguments(f"{file} is a file of this machine, which the API does not take in: render it there")
        return file

    def jobs_on(self, node_id: str) -> list[str]:
        """The ids of the jobs that run on a node."""
        return [job_id for node in self.nodes() if node.node_id == node_id for job_id in node.jobs]

    def prepare_batch(self, source: Path, *, task: str, options: BatchOptions, told: Callable[[int], None]) -> Checked:
        """Have a batch's input checked there."""
        choices = _choices(options)
        prepared = self.estimate_batch(source, task=task, **choices)
        told(prepared.accepted)
        return Checked(prepared, self, source, task, choices)

    def task_names(self) -> list[str]:
        """The names of all tasks."""
        return [task.name for task in self.tasks()]


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
