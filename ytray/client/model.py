"""What the API tells beyond the engine's own words: pages, files, tasks and events. Unknown fields are left out, so
that an older client reads a newer server."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ytray.engine.joblog import LogLine
from ytray.engine.model import JobState, Time


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class LogPage(_Read):
    """Lines that a job logged or printed; give `next` as `after` to read on."""

    lines: list[LogLine]
    next: int


class Artifact(_Read):
    """A file that a job made, or one of its steps: `job_id` is the one that made it. `url` is its path in the API."""

    name: str
    job_id: str
    task_name: str
    size_bytes: int
    media_type: str
    url: str


class TaskInfo(_Read):
    """A task that can be submitted, with the JSON Schemas of its arguments and result. Limits and delays in seconds."""

    name: str
    kind: Literal["task", "flow"]
    queue: str
    description: str
    soft_time_limit: float | None
    time_limit: float | None
    retry_delays: list[float] | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Event(_Read):
    """Something that happened to a job.

    A `transition` has `from_state` and `to_state`, a `progress` has `progress` (percent) and `progress_message`. A
    `reset` says that events were missed, so that whoever keeps a picture of the jobs reads it anew; it names no job.
    """

    id: str
    type: Literal["transition", "progress", "reset"]
    job_id: str = ""
    task_name: str = ""
    queue: str = ""
    user_id: str | None = None
    parent_id: str | None = None
    from_state: JobState | None = None
    to_state: JobState | None = None
    progress: float | None = None
    progress_message: str = ""
    at: Time | None = None
