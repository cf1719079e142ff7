"""The FastAPI application: all routes, behind the guard."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from ytray.api import (
    artifacts,
    auditing,
    batches,
    deadletters,
    events,
    jobs,
    nodes,
    problems,
    queues,
    spending,
    system,
    videos,
    webhooks,
)
from ytray.api.access import Door
from ytray.api.events import EventHub
from ytray.api.guard import Guard
from ytray.api.keys import KeyRing
from ytray.api.quotas import Quotas
from ytray.api.sessions import Sessions
from ytray.engine.state.store import Store
from ytray.settings import settings

_CONSOLE = Path(__file__).parent / "console"
_QUICKLY = 0.5  # seconds for an answer of Redis to a read that is asked on the event loop

_ABOUT = """Durable jobs and a studio for AI-made video, on Ray.

A job is durable once its submission was answered with 202. Send an `Idempotency-Key` with it, and repeating it after a
lost answer does nothing twice. Errors are `application/problem+json` (RFC 9457)."""


def build(where: Store, *, open_without_keys: bool, ray_dashboard: str | None = None) -> FastAPI:
    """The application over a system's store.

    Args:
        where: the store, patient enough to outlast a restart of Redis.
        open_without_keys: whether anybody may do everything while there is no API key: only right on loopback.
        ray_dashboard: its URL, to be shown.
    """
    app = FastAPI(
        title="ytray",
        version=version("ytray"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
    )
    quick = Store(where.redis_url, where.namespace, patience=0, answer_within=_QUICKLY)
    keys = KeyRing(quick, open_without=open_without_keys)
    app.state.store = where
    app.state.quick = quick
    app.state.keys = keys
    app.state.door = door = Door(keys, Sessions(quick, keys))
    app.state.quotas = Quotas(where)
    app.state.hub = EventHub(where)
    app.state.ray_dashboard = ray_dashboard
    problems.install(app)
    for part in (
        jobs,
        artifacts,
        videos,
        batches,
        queues,
        nodes,
        deadletters,
        spending,
        webhooks,
        events,
        auditing,
        system,
    ):
        app.include_router(part.router)
    _add_pages(app)
    _describe_keys(app)
    if settings().cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings().cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Guard, where=where, door=door, largest=settings().max_payload, origins=settings().cors_origins)
    return app


def _describe_keys(app: FastAPI) -> None:
    """Tell in the OpenAPI document how keys are sent. As dependencies they would cost each request a tenth more."""
    describe = app.openapi

    def with_keys() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key that `ytray keys create` made."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}, {}]
        return document

    app.openapi = with_keys  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _add_pages(app: FastAPI) -> None:
    app.mount("/console", StaticFiles(directory=_CONSOLE), name="console")
    app.mount("/swagger", StaticFiles(directory=swagger_ui_path), name="swagger")

    @app.get("/", include_in_schema=False)
    async def console() -> Response:
        return FileResponse(_CONSOLE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(request.scope.get("root_path", "")) + "/openapi.json",
            title="ytray API",
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="/console/icon.svg",
        )
