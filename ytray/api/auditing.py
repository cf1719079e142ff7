"""The audit trail over HTTP: which requests are written down, and reading it."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from ytray.api.access import Admin
from ytray.api.problems import documented
from ytray.engine.state.audit import AuditPage, page

router = APIRouter(tags=["system"])

_ACTIONS: Final = [
    (method, re.compile(f"/api/{path}"), action)
    for method, path, action in (
        ("POST", r"jobs/([^/]+)/cancel", "cancel job"),
        ("POST", r"queues/([^/]+)/pause", "pause queue"),
        ("POST", r"queues/([^/]+)/resume", "resume queue"),
        ("POST", r"nodes/([^/]+)/drain", "drain node"),
        ("POST", r"dlq/(?:([^/]+)/)?retry", "replay"),
        ("POST", r"dlq/()remove", "discard"),
        ("DELETE", r"dlq/([^/]+)", "discard"),
        ("POST", r"spend/([^/]+)/allow", "allow call"),
        ("PUT", r"budgets/([^/]+)", "set budget"),
        ("POST", r"webhooks/secret/()rotate", "rotate webhook secret"),
        ("PATCH", r"batches/([^/]+)", "change batch"),
        ("POST", r"batches/([^/]+)/pause", "pause batch"),
        ("POST", r"batches/([^/]+)/cancel", "cancel batch"),
        ("POST", r"batches/([^/]+)/resume", "resume batch"),
        ("POST", r"batches/([^/]+/errors/[^/]+)/replay", "replay items"),
        ("POST", r"batches/([^/]+/errors/[^/]+)/discard", "discard items"),
    )
]


def action_of(method: str, path: str) -> tuple[str, str] | None:
    """What a request does that the trail is to tell, and to what; None for the others."""
    for known, pattern, action in _ACTIONS:
        if method == known and (found := pattern.fullmatch(path)):
            return action, found[1] or ""
    return None


@router.get("/api/audit", responses=documented())
async def audit_trail(
    _: Admin,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=64, description="As `next_cursor` gave it.")] = None,
) -> AuditPage:
    """Who did what, and from where: the newest first."""
    return await run_in_threadpool(page, request.app.state.store, limit, cursor)
