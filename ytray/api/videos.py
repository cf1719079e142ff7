"""`/api/videos`: from a sentence to a finished video."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from pydantic_core import to_json
from starlette.responses import Response

from ytray.api.access import Submitter
from ytray.api.jobs import Accepted, IdempotencyKey, Submission, accept
from ytray.api.problems import documented
from ytray.engine.base.model import DEFAULT_PRIORITY
from ytray.studio.estimate import estimate
from ytray.studio.model import Brief, Estimate

router = APIRouter(prefix="/api/videos", tags=["videos"])


class VideoOrder(Brief):
    """What a video is to be made from, and whose it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"prompt": "Why do cats purr?", "duration": 30, "formats": ["mp4"]}]},
    )

    priority: int = Field(DEFAULT_PRIORITY, ge=0, le=9)
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)
    user_id: str | None = Field(None, min_length=1, max_length=255)
    metadata: dict[str, Any] = Field(default_factory=dict)


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses={
        200: {"model": Estimate, "description": "What it would cost; nothing was submitted."},
        **documented(409),
    },
)
async def create(
    given: VideoOrder,
    caller: Submitter,
    request: Request,
    idempotency_key: IdempotencyKey = None,
    only_estimate: Annotated[
        bool, Query(alias="estimate", description="Tell what it would cost, and submit nothing.")
    ] = False,
) -> Response:
    """Make a video: runs the flow `create_video`. Its files are at /api/jobs/{job_id}/artifacts."""
    if only_estimate:
        return Response(to_json(estimate(given)), media_type="application/json")
    brief = given.model_dump(include=set(Brief.model_fields))
    order = given.model_dump(exclude=set(Brief.model_fields), exclude_unset=True)
    return await accept(request, caller, Submission(task="create_video", args=brief, **order), idempotency_key)
