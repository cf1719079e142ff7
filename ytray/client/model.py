"""What the API tells beyond the engine's own words: pages, files, tasks and events. Unknown fields are left out, so
that an older client reads a newer server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict

from ytray.engine.base.model import JobState, Time
from ytray.engine.batch.model import BatchState
from ytray.engine.state.joblog import LogLine


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class LogPage(_Read):
    """Lines that a job logged or printed; give `next` as `after` to read on."""

    lines: list[LogLine]
    next: int


class Ended(_Read):
    """How a job ended. `result` is None unless it COMPLETED, and when it is no longer kept: then `error` says so."""

    job_id: str
    current_state: JobState
    result: Any
    error: str | None
    retry_count: int


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
    """Something that happened to a job or a batch.

    A `transition` has `from_state` and `to_state`, a `progress` has `progress` (percent) and `progress_message`. A
    `batch` has `batch_id` and how the batch stands: its `state`, and how many items are `waiting`, `active`,
    `completed` and `failed`. A `reset` says that events were missed, so that whoever keeps a picture of the jobs reads
    it anew; it names no job.
    """

    id: str
    type: Literal["transition", "progress", "batch", "reset"]
    job_id: str = ""
    task_name: str = ""
    queue: str = ""
    user_id: str | None = None
    parent_id: str | None = None
    from_state: JobState | None = None
    to_state: JobState | None = None
    progress: float | None = None
    progress_message: str = ""
    batch_id: str = ""
    state: BatchState | None = None
    waiting: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    at: Time | None = None


class VideoChoices(TypedDict, total=False):
    """What is chosen for a video; what is left out is as the API has it.

    `aspect` is 9:16, 16:9, 1:1 or 4:5; `duration` the seconds to aim at, 5 to 180; `formats` are of mp4, webm, gif,
    mov, m4a, mp3. `platform` (youtube_shorts, tiktok, reels, youtube) decides where captions may stand and what is
    checked; `caption_style` is highlight, boxed, pill or clean; `music` is a bed under the voice; over `crossfade`
    seconds scenes fade into each other. `provider` is offline, vertex or openai, or one for each of text, speech and
    image; `fresh` pays again for what was bought before; `budget_usd` is the most that it may cost.
    """

    aspect: str
    duration: int
    formats: Sequence[str]
    genre: str
    platform: str
    caption_style: str
    music: bool
    crossfade: float
    provider: str | Mapping[str, str | None] | None
    fresh: bool
    budget_usd: float | None


class BatchChoices(TypedDict, total=False):
    """What is chosen for a batch as a whole; money is in US dollars.

    `concurrency` is how many items are in the making at once, at most; `priority` 0 to 9 is that of its items and its
    share beside other batches; `start_at` has a time zone; `cron` has five fields, in UTC; `on_complete` and
    `on_failure` are URLs of webhooks.
    """

    name: str | None
    user_id: str | None
    concurrency: int | None
    budget_usd: float | None
    priority: int
    start_at: datetime | None
    cron: str | None
    on_complete: str | None
    on_failure: str | None
    idempotency_key: str | None
    metadata: Mapping[str, Any]
