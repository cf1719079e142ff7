"""`/api/webhooks`: what the webhooks of a user's batches are signed with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ytray.api.access import Submitter, user_of
from ytray.api.problems import documented
from ytray.engine.state.webhook_secrets import WebhookSecret, rotate_webhook_secret, webhook_secret

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])

UserId = Annotated[
    str | None, Query(min_length=1, max_length=255, description="Whose; for keys that are not bound to a user.")
]


@router.get("/secret", responses=documented())
def secret(caller: Submitter, request: Request, response: Response, user_id: UserId = None) -> WebhookSecret:
    """What notices of the caller's batches are signed with (Standard Webhooks); made when it is first asked for."""
    response.headers["Cache-Control"] = "no-store"
    return webhook_secret(request.app.state.store, user_of(caller, user_id))


@router.post("/secret/rotate", responses=documented())
def rotate(caller: Submitter, request: Request, response: Response, user_id: UserId = None) -> WebhookSecret:
    """Make a new secret. For a day notices are signed with the old one, too."""
    response.headers["Cache-Control"] = "no-store"
    return rotate_webhook_secret(request.app.state.store, user_of(caller, user_id))
