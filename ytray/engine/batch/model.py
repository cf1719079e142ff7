"""The words of batches: their states, the options of one, and what users see of it. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ytray.engine.base.model import DEFAULT_PRIORITY, JobState, Time
from ytray.engine.base.names import LONGEST, checked_word
from ytray.errors import InvalidArguments
from ytray.errors import InvalidBatchMove as InvalidBatchMove
from ytray.errors import UnknownBatch as UnknownBatch

DEFAULT_TASK = "process_batch_item"


class BatchState(StrEnum):
    """Where a batch is in its life. docs/batches.md draws it."""

    SCHEDULED = "SCHEDULED"  # accepted; starts later, or again and again
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"  # what runs goes on, nothing more is started
    COMPLETED = "COMPLETED"  # every item completed (or was discarded)
    FAILED = "FAILED"  # all ended, and some did not complete
    CANCELLED = "CANCELLED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself. (A batch that has not COMPLETED may be resumed.)"""
        return self in (BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED)


class ItemState(StrEnum):
    """Where an item of a batch is. An ACTIVE one has a job, whose state says more."""

    WAITING = "WAITING"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DISCARDED = "DISCARDED"  # given up, or no longer in the input

    @property
    def letter(self) -> str:
        """The letter that stands for it in Redis."""
        return self.value[0].lower() if self is not ItemState.CANCELLED else "x"


# A name that can be carried (names.py).
_Name = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(lambda word: checked_word(word, "it"))]
_Url = Annotated[str, Field(max_length=2000, pattern=r"^https?://")]


class BatchOptions(BaseModel):
    """What is chosen for a batch as a whole. What is left out is as it is for every batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, max_length=200, description="What people call it.")
    user_id: _Name | None = Field(None, description="Whose it is.")
    concurrency: int | None = Field(None, ge=1, le=10_000, description="Items in the making at once, at most.")
    budget_usd: float | None = Field(
        None, ge=0, le=1_000_000_000, allow_inf_nan=False, description="US dollars that all items may cost together."
    )
    priority: int = Field(DEFAULT_PRIORITY, ge=0, le=9, description="Of its items; also its share beside others.")
    start_at: AwareDatetime | None = Field(None, description="When it starts; at once by default.")
    cron: str | None = Field(None, max_length=100, description="Run it again at these times (UTC, five fields).")
    on_complete: _Url | None = Field(None, description="Told when every item has completed.")
    on_failure: _Url | None = Field(None, description="Told when it ends otherwise, or pauses by itself.")
    idempotency_key: _Name | None = Field(None, description="The same key, the same batch.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Kept with it, and told with its status.")


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class BadRow(_Told):
    """A row that cannot be an item. `line` counts from 1, in a file its header line too; `field` is a column."""

    line: int
    field: str
    reason: str


class InvalidRows(InvalidArguments):
    """Rows of a batch's input are wrong; nothing was submitted. `.rows` are the first of them, `.count` is how many."""

    def __init__(self, rows: list[BadRow], count: int) -> None:
        first = rows[0]
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        super().__init__(f"line {first.line}, {first.field}: {first.reason}{more}; nothing was submitted")
        self.rows = rows
        self.count = count


class ItemCounts(_Told):
    """How many items are where. `queued`, `executing` and `retrying` are the states of active items' jobs."""

    waiting: int
    queued: int
    executing: int
    retrying: int
    completed: int
    failed: int
    cancelled: int
    discarded: int

    @property
    def active(self) -> int:
        """Items that have a job which has not ended."""
        return self.queued + self.executing + self.retrying

    @property
    def left(self) -> int:
        """Items that have not ended."""
        return self.waiting + self.active

    @property
    def total(self) -> int:
        """All items."""
        return self.left + self.completed + self.failed + self.cancelled + self.discarded


class Stage(_Told):
    """A kind of step that items take: how often it was done for them, and how long it took, in seconds."""

    task_name: str
    queue: str
    done: int
    mean_seconds: float
    deviation_seconds: float


class Eta(_Told):
    """When a batch will be done, in seconds from now; eight times in ten it is between `low` and `high`."""

    seconds: float
    low_seconds: float
    high_seconds: float
    method: str


class Retries(_Told):
    """Items and steps of items that failed alike and wait to be tried again: how many, and until when the first one."""

    task_name: str
    error: str
    count: int
    until: Time


class BatchStatus(_Told):
    """Everything there is to know about a batch at one moment. Money is in US dollars.

    `reused` counts completed items that an earlier or another batch had done. `reason` says why it is PAUSED or
    CANCELLED. `forecast_usd` is what it will have cost altogether, None while nothing of it is known. `retries` are
    what waits to be tried again, as far as it is due soon.
    """

    batch_id: str
    name: str | None
    task_name: str
    user_id: str | None
    state: BatchState
    reason: str | None
    total: int
    counts: ItemCounts
    reused: int
    progress: float
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    start_at: Time | None
    cron: str | None
    priority: int
    concurrency: int | None
    budget_usd: float | None
    cost_usd: float
    reserved_usd: float
    forecast_usd: float | None
    items_per_minute: float | None
    eta: Eta | None
    stages: list[Stage]
    retries: list[Retries] = []
    webhook_error: str | None
    metadata: dict[str, Any]


class BatchPage(_Told):
    """A page of batches, newest first."""

    batches: list[BatchStatus]
    next_cursor: str | None


class Item(_Told):
    """An item of a batch. `number` counts from 1; `line` is where its row stood; `job_state` is its job's."""

    number: int
    line: int
    key: str
    state: ItemState
    job_id: str | None
    job_state: JobState | None
    progress: float
    error: str | None
    cost_usd: float
    reused: bool


class ItemPage(_Told):
    """A page of a batch's items, in the order of its input."""

    items: list[Item]
    next_cursor: int | None


class ErrorGroup(_Told):
    """Failed items whose errors are alike. `fingerprint` names the group; `examples` are items' numbers and jobs."""

    fingerprint: str
    error_type: str
    message: str
    task_name: str
    frame: str
    count: int
    first_at: Time
    last_at: Time
    examples: list[ErrorExample]
    retryable: bool
    dependency: str | None
    suggestion: str


class ErrorExample(_Told):
    """One failed item of a group, with its error as it was raised."""

    number: int
    line: int
    key: str
    job_id: str
    error: str


class Resumed(_Told):
    """What a resumption started anew. Of an edited input: rows that were added, changed and removed."""

    batch_id: str
    state: BatchState
    again: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0


class Prepared(_Told):
    """An input that was read and checked, and is not yet a batch. `bad` are the first of `bad_count` wrong rows.

    `duplicates` counts rows that have the key of an earlier one (they are left out, and among the bad ones);
    `known` those that were done before, here or in another batch.
    """

    accepted: int
    bad: list[BadRow]
    bad_count: int
    duplicates: int
    known: int
    likely_usd: float | None = None
    most_usd: float | None = None
    seconds: float | None = None


WebhookEvent = Literal["complete", "failure", "paused"]


class Notice(_Told):
    """What a webhook of a batch is told: its event, and the batch as it is then."""

    event: WebhookEvent
    at: datetime
    batch: BatchStatus


ErrorGroup.model_rebuild()
