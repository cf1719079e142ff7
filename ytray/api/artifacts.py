"""`/api/jobs/{id}/artifacts`: the files that jobs made, whole or in ranges."""

from __future__ import annotations

import base64
import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from ytray.api.access import Reader, may_see
from ytray.api.jobs import JobId
from ytray.api.problems import documented
from ytray.artifacts import ArtifactStore, OpenArtifact, is_folder, media_type
from ytray.engine.base.model import JobStatus
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.jobs.unit import folders_that_count
from ytray.engine.state.connection import store
from ytray.errors import PermanentError, YtrayError
from ytray.settings import settings
from ytray.studio.film_names import file_name, title_of

router = APIRouter(prefix="/api/jobs", tags=["artifacts"])

_MOST_STEPS = 500  # of a flow, whose files are listed with its own
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_SIGNED_FOR = 300  # seconds
_ABOVE = 4  # jobs above one that are looked at for the title of its film
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
    made = _made_by(job)
    found = [
        Artifact(
            name=name,
            job_id=maker.job_id,
            task_name=maker.task_name,
            size_bytes=size,
            media_type=media_type(name),
            url=f"/api/jobs/{quote(maker.job_id, safe='')}/artifacts/{quote(name, safe='')}",
        )
        for (maker, _), sizes in zip(made, files.sizes_of([folder for _, folder in made]), strict=True)
        for name, size in sizes.items()
    ]
    return Artifacts(job_id=job_id, artifacts=found)


@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {}}},
        206: {"description": "The range asked for.", "content": {"application/octet-stream": {}}},
        304: {"description": "The file that `If-None-Match` names."},
        307: {"description": "Where the file is for five minutes, if YTRAY_ARTIFACT_LINKS is `signed`."},
        416: {"description": "The range lies outside of the file."},
        **documented(404),
    },
)
def read_artifact(
    job_id: JobId, name: Annotated[str, Path(max_length=120)], caller: Reader, request: Request
) -> Response:
    """One file, or with a `Range` header a part of it. A flow answers with its last step's file of that name.

    `Repr-Digest` and `ETag` tell the SHA-256 of the whole file, where it is known.
    """
    job = may_see(caller, job_tracker.get_status(job_id))
    found = _found(job, name)
    headers = {**_headers(found, name), "Content-Disposition": _disposition(job, name)}
    if _is_named(request.headers.get("if-none-match", ""), headers.get("ETag")):
        return Response(status_code=304, headers=headers)
    if (url := _signed(found, name, request)) is not None:
        return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
    if found.path is not None:
        return FileResponse(found.path, media_type=media_type(name), headers=headers)
    return _remote(found, name, headers, _range_asked(request, headers))


def _found(job: JobStatus, name: str) -> OpenArtifact:
    found = ArtifactStore().open_first([folder for _, folder in _made_by(job)], name)
    if found is None:
        raise PermanentError(f"job {job.job_id} has no artifact {name[:120]!r}")
    return found


def _made_by(job: JobStatus) -> list[tuple[JobStatus, str]]:
    """The job and, for a flow, its steps and theirs, the last one first; each with the folder of its files."""
    makers, found = [job], [job]
    while makers and len(found) < _MOST_STEPS:
        makers = [step for maker in makers for step in job_tracker.children(maker.job_id)]
        found += makers
    last_first = [job, *sorted(found[1:], key=lambda step: step.created_at, reverse=True)]
    folders = folders_that_count(store(), [maker.job_id for maker in last_first])
    # The id of a job that runs elsewhere may be one that names no folder.
    return [
        (maker, folder)
        for maker, folder in zip(last_first, folders, strict=True)
        if folder is not None and is_folder(folder)
    ]


def _signed(file: OpenArtifact, name: str, request: Request) -> str | None:
    """Where else the file may be read for a while, if the reader may be sent there.

    Pages of this API read through it: their policy allows no other origin, nor does the store theirs. And what a
    browser would show as a page comes with a policy, which a store would not send.
    """
    from_here = request.headers.get("sec-fetch-site") == "same-origin"
    if settings().artifact_links == "proxied" or file.sign is None or from_here or _policy(name):
        return None
    return file.sign(_SIGNED_FOR)


def _range_asked(request: Request, headers: dict[str, str]) -> re.Match[str] | None:
    """The range that is asked for, unless of another version of the file."""
    if_range = request.headers.get("if-range")
    if if_range is not None and if_range != headers.get("ETag"):
        return None
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    return None if match is None or match.groups() == ("", "") else match


def _remote(file: OpenArtifact, name: str, headers: dict[str, str], asked: re.Match[str] | None) -> Response:
    if asked is None:
        headers["Content-Length"] = str(file.size)
        return StreamingResponse(file.read(0, file.size), headers=headers, media_type=media_type(name))
    first, last = asked.groups()
    start = int(first) if first else max(0, file.size - int(last))
    stop = min(file.size, int(last) + 1) if first and last else file.size
    if start >= stop:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    return StreamingResponse(file.read(start, stop), 206, headers=headers, media_type=media_type(name))


def _headers(file: OpenArtifact, name: str) -> dict[str, str]:
    headers = {"Accept-Ranges": "bytes", **_policy(name)}
    if file.sha256 is not None:
        digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        headers |= {"ETag": f'"sha256-{file.sha256}"', "Repr-Digest": f"sha-256=:{digest}:"}
    return headers


def _disposition(job: JobStatus, name: str) -> str:
    """By what name a browser keeps the file: that of its film, in any script (RFC 6266), else its own."""
    title, one = title_of(job.result), job
    for _ in range(_ABOVE):
        above = one.parent_id or one.metadata.get("video_job")  # an export is made of a film that is done
        if title is not None or not isinstance(above, str):
            break
        try:
            one = job_tracker.get_status(above)
        except YtrayError:  # a flow may be deleted before its steps
            break
        title = title_of(one.result) if one.user_id == job.user_id else None
    plain = f'inline; filename="{name}"'
    return plain if title is None else f"{plain}; filename*=UTF-8''{quote(file_name(title, name), safe='')}"


def _is_named(etags: str, etag: str | None) -> bool:
    """Whether a list of ETags has this one; `*` names every file that there is (RFC 9110)."""
    return etags.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in etags.split(",")}


def _policy(name: str) -> dict[str, str]:
    return {"Content-Security-Policy": PAGE_POLICY} if _PAGES.fullmatch(media_type(name)) else {}
