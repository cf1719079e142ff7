"""Health, metrics, who one is, signing in, and what a problem's type means."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from ytray import metrics
from ytray.api.access import COOKIE, Reader, door, needs, ring
from ytray.api.keys import SCOPES, Caller, Scope
from ytray.api.problems import Forbidden, documented, explanation
from ytray.api.readiness import Readiness, readiness
from ytray.api.sessions import LASTS
from ytray.engine.base.model import Time, time_of
from ytray.engine.state.parts import known_parts, trouble
from ytray.settings import settings
from ytray.system.parts import Part

router = APIRouter(tags=["system"])


class System(BaseModel):
    """What this system is, and what the caller may do in it."""

    version: str
    namespace: str
    provider: str
    auth: bool = Field(description="Whether keys are asked for.")
    scopes: list[Scope]
    user_id: str | None = Field(description="The user whose jobs alone the caller sees; null: everybody's.")
    ray_dashboard: str | None
    parts: list[PartStatus] = Field(
        description="What `ytray up` looks after; none where it does not run, nor for a key of one user."
    )


class PartStatus(BaseModel):
    """One of the processes that the system consists of on the machine of `ytray up`, or several that do the same."""

    name: str
    state: Literal["up", "starting", "missing"]
    restarts: int = Field(description="How often it was started again since `ytray up`.")
    since: Time = Field(description="When its state began.")
    last_end: str = Field(description="How it ended last; empty if it never did.")
    trouble: str = Field(description="What there is to know while it is missing, starting or young again; else empty.")


class SignIn(BaseModel):
    """An API key."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.get("/api/system", responses=documented())
def system(caller: Reader, request: Request) -> System:
    """What this system is, and what the caller may do in it."""
    return System(
        version=request.app.version,
        namespace=settings().namespace,
        provider=settings().provider,
        auth=not ring(request).is_open(),
        scopes=[scope for scope in SCOPES if caller.is_admin or scope in caller.scopes],
        user_id=caller.sees_only,
        ray_dashboard=request.app.state.ray_dashboard,
        parts=[_told(part) for part in known_parts(request.app.state.quick)] if caller.sees_only is None else [],
    )


def _told(part: Part) -> PartStatus:
    return PartStatus(
        name=part.name,
        state=part.state,
        restarts=part.restarts,
        since=time_of(part.since * 1000),
        last_end=part.last_end,
        trouble=trouble(part),
    )


@router.post("/api/session", status_code=204, response_class=Response, responses=documented())
def sign_in(given: SignIn, request: Request) -> Response:
    """Exchange a key for a session in a cookie: a browser's event streams and videos cannot send headers."""
    sessions = door(request).sessions
    session = door(request).checked(request, given.key, lambda: sessions.open(given.key))
    response = Response(status_code=204)
    if session is not None:
        response.set_cookie(
            COOKIE,
            session,
            max_age=LASTS,
            httponly=True,
            samesite="strict",
            secure=request.headers.get("x-forwarded-proto", request.url.scheme) == "https",
        )
    return response


@router.delete("/api/session", status_code=204, response_class=Response)
def sign_out(request: Request) -> Response:
    """End the session."""
    session = request.cookies.get(COOKIE)
    if session is not None:
        door(request).sessions.end(session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/healthz")
async def healthy() -> Health:
    """Whether this replica lives."""
    return Health()


@router.get("/readyz", response_model_exclude_unset=True, responses=documented())
def ready(request: Request) -> Readiness:
    """Whether jobs would run: Redis takes writes, a tracker and a flow runner are at work, and there are slots."""
    return readiness(request.app.state.quick)


@router.get("/metrics", response_class=PlainTextResponse, responses=documented())
def render_metrics(caller: Annotated[Caller, Depends(needs("read", "metrics"))]) -> Response:
    """Prometheus metrics, the same from every replica: they are counted in Redis."""
    if caller.sees_only is not None and "metrics" not in caller.scopes:
        raise Forbidden("the metrics tell of all users: this takes a key that is not bound to one user")
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/problems/{kind}", response_class=PlainTextResponse, responses=documented(404))
def problem_type(kind: str) -> Response:
    """What a problem's type means."""
    text = explanation(kind)
    return PlainTextResponse(text or "no such type of problem", 200 if text else 404)
