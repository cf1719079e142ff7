"""`/api/jobs/{id}/artifacts`: the files that jobs made, whole or in ranges."""

from __future__ import annotations

import mimetypes
import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, Response, StreamingResponse

from ytray.api.access import Reader, may_see
from ytray.api.jobs import JobId
from ytray.api.problems import documented
from ytray.artifacts import ArtifactStore, OpenArtifact
from ytray.engine.connection import store
from ytray.engine.model import JobStatus
from ytray.engine.tracking import job_tracker
from ytray.engine.unit import folders_that_count
from ytray.errors import PermanentError

router = APIRouter(prefix="/api/jobs", tags=["artifacts"])

_MOST_STEPS = 500  # of a flow, whose files are listed with its own
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
mimetypes.add_type("application/x-subrip", ".srt")
# What a browser would show as a page of this origin. It may style itself, but runs nothing and does not reach the API.
_PAGES = re.compile(r"text/html|[\w.+-]+/(?:xml|xslt|[\w.-]+\+xml)")
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class Artifact(BaseModel):
    """One file. A flow's include those of its steps; `job_id` is the step that made it."""

    name: str
    job_id: str
    task_name: str
    size_bytes: int
    media_type: str
    url: str


class Artifacts(BaseModel):
    """A job's files, those of its last step first."""

    job_id: str
    artifacts: list[Artifact]


@router.get("/{job_id}/artifacts", responses=documented(404))
def list_artifacts(job_id: JobId, caller: Reader) -> Artifacts:
    """List the files of a job and, for a flow, of its steps: of those that have completed, or that failed for good."""
    job = may_see(caller, job_tracker.get_status(job_id))
    files = ArtifactStore()
    found = [
        Artifact(
            name=name,
            job_id=maker.job_id,
            task_name=maker.task_name,
            size_bytes=size,
            media_type=_type(name),
            url=f"/api/jobs/{quote(maker.job_id, safe='')}/artifacts/{quote(name, safe='')}",
        )
        for maker, folder in _made_by(job)
        for name, size in _sizes(files, folder).items()
    ]
    return Artifacts(job_id=job_id, artifacts=found)


@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {}}},
        206: {"description": "The range asked for.", "content": {"application/octet-stream": {}}},
        416: {"description": "The range lies outside of the file."},
        **documented(404),
    },
)
def read_artifact(
    job_id: JobId, name: Annotated[str, Path(max_length=120)], caller: Reader, request: Request
) -> Response:
    """One file, or with a `Range` header a part of it. A flow answers with its last step's file of that name."""
    job = may_see(caller, job_tracker.get_status(job_id))
    files = ArtifactStore()
    for _, folder in _made_by(job):
        if name in _sizes(files, folder):
            found = files.open(folder, name)
            if isinstance(found, OpenArtifact):
                return _remote(found, name, request.headers.get("range"))
            return FileResponse(found, media_type=_type(name), headers=_policy(name))
    raise PermanentError(f"job {job_id} has no artifact {name[:120]!r}")


def _made_by(job: JobStatus) -> list[tuple[JobStatus, str]]:
    """The job and, for a flow, its steps and theirs, the last one first; each with the folder of its files."""
    makers, found = [job], [job]
    while makers and len(found) < _MOST_STEPS:
        makers = [step for maker in makers for step in job_tracker.children(maker.job_id)]
        found += makers
    last_first = [job, *sorted(found[1:], key=lambda step: step.created_at, reverse=True)]
    folders = folders_that_count(store(), [maker.job_id for maker in last_first])
    return [(maker, folder) for maker, folder in zip(last_first, folders, strict=True) if folder is not None]


def _sizes(files: ArtifactStore, folder: str) -> dict[str, int]:
    try:
        return files.sizes(folder)
    except PermanentError:
        return {}  # the id of a job that runs elsewhere may be one that names no folder


def _remote(file: OpenArtifact, name: str, asked: str | None) -> Response:
    headers = {"Accept-Ranges": "bytes", **_policy(name)}
    match = _RANGE.fullmatch(asked or "")
    if match is None or match.groups() == ("", ""):
        headers["Content-Length"] = str(file.size)
        return StreamingResponse(file.read(0, file.size), headers=headers, media_type=_type(name))
    first, last = match.groups()
    start = int(first) if first else max(0, file.size - int(last))
    stop = min(file.size, int(last) + 1) if first and last else file.size
    if start >= stop:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    return StreamingResponse(file.read(start, stop), 206, headers=headers, media_type=_type(name))


def _policy(name: str) -> dict[str, str]:
    return {"Content-Security-Policy": PAGE_POLICY} if _PAGES.fullmatch(_type(name)) else {}


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
