"""Every call of the API: what to send, and how its answer is read. Both clients send these."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from ytray.client.model import Artifact, Ended, LogPage, TaskInfo
from ytray.engine.base.model import DeadLetter, DeadLetterPage, JobPage, JobState, JobStatus, QueueStatus, Transition
from ytray.engine.cluster.nodes import NodeStatus
from ytray.engine.state.audit import AuditPage
from ytray.engine.state.webhook_secrets import WebhookSecret
from ytray.errors import InvalidArguments
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus
from ytray.studio.model import Estimate

T = TypeVar("T")

JSON = {"Content-Type": "application/json"}

_ARTIFACTS = TypeAdapter(list[Artifact])
_BUDGETS = TypeAdapter(list[Budget])
_COUNTS = TypeAdapter(dict[JobState, int])
_ENDED = TypeAdapter(list[Ended])
_ENTRIES = TypeAdapter(list[Entry])
_ID = TypeAdapter(str)
_IDS = TypeAdapter(list[str])
_MODELS = TypeAdapter(list[ModelStatus])
_NODES = TypeAdapter(list[NodeStatus])
_QUEUES = TypeAdapter(list[QueueStatus])
_STATUSES = TypeAdapter(list[JobStatus])
_TASKS = TypeAdapter(list[TaskInfo])
_TRANSITIONS = TypeAdapter(list[Transition])


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call. A call that is not `repeatable` is sent again only when the server cannot have acted on it."""

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    about: str = ""  # the job that it is about, for errors
    file: Path | None = None  # streamed up in place of a body, from its start each time that the call is sent
    answer_within: float = 0.0  # seconds that the answer may take, where that is more than the client's timeout

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def submit(
    task: str,
    args: Mapping[str, Any] | None,
    *,
    queue: str | None,
    priority: int | None,
    delay: float | None,
    idempotency_key: str | None,
    user_id: str | None,
    metadata: Mapping[str, Any] | None,
) -> Call[str]:
    """Submit a job. Without a key it gets one here, so that a repeat after a lost answer is the same job."""
    body = {
        "task": task,
        "args": dict(args or {}),
        "queue": queue,
        "priority": priority,
        "delay": delay,
        "user_id": user_id,
        "metadata": metadata,
    }
    return _submission("/api/jobs", body, idempotency_key)


def create_video(
    brief: Mapping[str, Any],
    *,
    priority: int | None,
    idempotency_key: str | None,
    user_id: str | None,
    metadata: Mapping[str, Any] | None,
) -> Call[str]:
    """Submit the making of a video."""
    body = {**brief, "priority": priority, "user_id": user_id, "metadata": metadata}
    return _submission("/api/videos", body, idempotency_key)


def estimate_video(brief: Mapping[str, Any]) -> Call[Estimate]:
    """What the making of a video would cost."""
    return Call("POST", "/api/videos", _estimate, {"estimate": "true"}, _as_json(brief), JSON)


def status(job_id: str) -> Call[JobStatus]:
    """What is known of a job."""
    return Call("GET", f"{_job(job_id)}/status", JobStatus.model_validate_json, about=job_id)


def history(job_id: str) -> Call[list[Transition]]:
    """Every move of a job."""
    return Call("GET", f"{_job(job_id)}/history", inside("transitions", _TRANSITIONS), about=job_id)


def result(job_id: str) -> Call[Any]:
    """The result of a job that completed."""
    return Call("GET", f"{_job(job_id)}/result", from_json, about=job_id)


def results(job_ids: Sequence[str], wait_seconds: float) -> Call[list[Ended]]:
    """How those of the jobs ended that have."""
    body = to_json({"job_ids": job_ids, "wait_seconds": wait_seconds})
    read = inside("results", _ENDED)
    return Call("POST", "/api/jobs/results", read, body=body, headers=JSON, answer_within=wait_seconds + 10)


def children(job_id: str) -> Call[list[JobStatus]]:
    """The steps of a flow."""
    return Call("GET", f"{_job(job_id)}/children", inside("jobs", _STATUSES), about=job_id)


def logs(job_id: str, after: int) -> Call[LogPage]:
    """What a job logged."""
    return Call("GET", f"{_job(job_id)}/logs", LogPage.model_validate_json, {"after": str(after)}, about=job_id)


def artifacts(job_id: str) -> Call[list[Artifact]]:
    """The files of a job."""
    return Call("GET", f"{_job(job_id)}/artifacts", inside("artifacts", _ARTIFACTS), about=job_id)


def artifact(job_id: str, name: str, headers: Mapping[str, str]) -> Call[bytes]:
    """One file of a job."""
    return Call("GET", f"{_job(job_id)}/artifacts/{segment(name)}", bytes, headers=headers, about=job_id)


def cancel(job_id: str) -> Call[None]:
    """Cancel a job."""
    return Call("POST", f"{_job(job_id)}/cancel", _nothing, repeatable=False, about=job_id)


def jobs(
    status: JobState | str | None,
    task_name: str | None,
    queue: str | None,
    user_id: str | None,
    limit: int,
    cursor: str | None,
) -> Call[JobPage]:
    """A page of the listing."""
    filters = {
        "status": status,
        "task_name": task_name,
        "queue": queue,
        "user_id": user_id,
        "limit": str(limit),
        "cursor": cursor,
    }
    return Call("GET", "/api/jobs", JobPage.model_validate_json, given(filters))


def queues() -> Call[list[QueueStatus]]:
    """Every queue."""
    return Call("GET", "/api/queues", inside("queues", _QUEUES))


def pause(queue: str) -> Call[None]:
    """Pause a queue."""
    return Call("POST", f"/api/queues/{segment(queue)}/pause", _nothing)


def resume(queue: str) -> Call[None]:
    """Resume a queue."""
    return Call("POST", f"/api/queues/{segment(queue)}/resume", _nothing)


def nodes() -> Call[list[NodeStatus]]:
    """Every node of the cluster."""
    return Call("GET", "/api/nodes", inside("nodes", _NODES))


def drain(node: str, deadline_seconds: float, reason: str) -> Call[NodeStatus]:
    """Take a node out of service."""
    body = to_json({"deadline_seconds": deadline_seconds, "reason": reason})
    return Call("POST", f"/api/nodes/{segment(node)}/drain", _node, body=body, headers=JSON)


def counts() -> Call[dict[JobState, int]]:
    """How many jobs are in each state."""
    return Call("GET", "/api/counts", inside("counts", _COUNTS))


def dead_letters(limit: int, cursor: str | None) -> Call[DeadLetterPage]:
    """A page of the dead-letter queue."""
    params = given({"limit": str(limit), "cursor": cursor})
    return Call("GET", "/api/dlq", DeadLetterPage.model_validate_json, params)


def dead_letter(job_id: str) -> Call[DeadLetter]:
    """One job of the dead-letter queue."""
    return Call("GET", f"/api/dlq/{segment(job_id)}", DeadLetter.model_validate_json, about=job_id)


def settle(what: str, job_ids: Iterable[str] | None) -> Call[list[str]]:
    """Replay (`retry`) or discard (`remove`) jobs of the dead-letter queue, or all of them."""
    body = {"all": True} if job_ids is None else {"job_ids": list(job_ids)}
    read = inside("job_ids", _IDS)
    return Call("POST", f"/api/dlq/{what}", read, body=to_json(body), headers=JSON, repeatable=False)


def spending(job_id: str | None, user_id: str | None, limit: int) -> Call[list[Entry]]:
    """Paid calls."""
    params = given({"job_id": job_id, "user_id": user_id, "limit": str(limit)})
    return Call("GET", "/api/spend", inside("entries", _ENTRIES), params, about=job_id or "")


def allow_call(key: str) -> Call[Entry]:
    """Allow an uncertain call."""
    path = f"/api/spend/{segment(key)}/allow"
    return Call("POST", path, Entry.model_validate_json, repeatable=False)


def audit(limit: int, cursor: str | None) -> Call[AuditPage]:
    """A page of the audit trail."""
    return Call("GET", "/api/audit", AuditPage.model_validate_json, given({"limit": str(limit), "cursor": cursor}))


def budgets() -> Call[list[Budget]]:
    """The budgets of users."""
    return Call("GET", "/api/budgets", inside("budgets", _BUDGETS))


def set_budget(user_id: str, limit_usd: float | None) -> Call[Budget]:
    """Set a user's budget, or go back to the default."""
    body = to_json({"limit_usd": limit_usd})
    return Call("PUT", f"/api/budgets/{segment(user_id)}", Budget.model_validate_json, body=body, headers=JSON)


def models() -> Call[list[ModelStatus]]:
    """Every model that has a price."""
    return Call("GET", "/api/models", inside("models", _MODELS))


def webhook_secret(user_id: str | None) -> Call[WebhookSecret]:
    """What a user's webhooks are signed with."""
    return Call("GET", "/api/webhooks/secret", _webhook_secret, given({"user_id": user_id}))


def rotate_webhook_secret(user_id: str | None) -> Call[WebhookSecret]:
    """Make a new one."""
    params = given({"user_id": user_id})
    return Call("POST", "/api/webhooks/secret/rotate", _webhook_secret, params, repeatable=False)


def tasks() -> Call[list[TaskInfo]]:
    """Every task."""
    return Call("GET", "/api/tasks", inside("tasks", _TASKS))


def events(job_id: str | None, last_id: str, batch_id: str | None = None) -> Call[bytes]:
    """The stream of events, from after `last_id`."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    return Call(
        "GET",
        "/api/events",
        bytes,
        given({"job_id": job_id, "batch_id": batch_id}),
        headers=headers,
        about=job_id or "",
    )


def _submission(path: str, body: dict[str, Any], key: str | None) -> Call[str]:
    key = uuid.uuid4().hex if key is None else key
    # A header holds ASCII only, and loses spaces at its ends; any other key travels in the body alone.
    fits = key.isascii() and key.isprintable() and key == key.strip()
    headers = {**JSON, "Idempotency-Key": key} if fits and key else JSON
    sent = _as_json({**body, "idempotency_key": key})
    return Call("POST", path, inside("job_id", _ID), body=sent, headers=headers)


def _as_json(body: Mapping[str, Any]) -> bytes:
    try:
        return to_json(given(body))
    except ValueError as invalid:
        raise InvalidArguments(f"arguments or metadata that JSON cannot hold: {invalid}") from None


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _job(job_id: str) -> str:
    return f"/api/jobs/{segment(job_id)}"


def segment(value: str) -> str:
    """A value as one part of a path. Raises InvalidArguments for those that would change what the path means."""
    if value in ("", ".", ".."):
        raise InvalidArguments(
            f"{value!r} is not the name of anything; give a job's id, or a file's, queue's or user's name"
        )
    return quote(value, safe="")


def _estimate(content: bytes) -> Estimate:
    return Estimate.model_validate_json(content, extra="ignore")


def _node(content: bytes) -> NodeStatus:
    return NodeStatus.model_validate_json(content, extra="ignore")


def _webhook_secret(content: bytes) -> WebhookSecret:
    return WebhookSecret.model_validate_json(content, extra="ignore")


def _nothing(_: bytes) -> None:
    return None


def inside(name: str, kind: TypeAdapter[T]) -> Callable[[bytes], T]:
    """Reads the part of that name out of an answer."""
    # Whatever a newer server adds is left out, also by models that elsewhere refuse what they do not know.
    return lambda content: kind.validate_python(from_json(content)[name], extra="ignore")
