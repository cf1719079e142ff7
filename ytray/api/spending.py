"""`/api/spend`, `/api/budgets`, `/api/models`: what paid calls have cost, may cost and would cost."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ytray.api.access import Admin, Reader, Submitter, is_hidden, may_see, user_of
from ytray.api.problems import documented
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments
from ytray.spend.budgets import set_user_budget, user_budget, user_budgets
from ytray.spend.journal import allow, entries_of_job, entry_of, latest_entries, unknown_call
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus, model_statuses
from ytray.spend.prices import price_table

router = APIRouter(prefix="/api", tags=["spending"])

Key = Annotated[str, Path(description="Of the call, as GET /api/spend tells it.", min_length=1, max_length=255)]
UserId = Annotated[str, Path(min_length=1, max_length=255)]


class Spending(BaseModel):
    """Paid calls, and what they have cost together in US dollars."""

    entries: list[Entry]
    cost_usd: float


class Budgets(BaseModel):
    """What users may spend in this calendar month (UTC), and what they have spent."""

    budgets: list[Budget]


class Limit(BaseModel):
    """US dollars that a user may spend in a calendar month; null: what YTRAY_BUDGET_USER says."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"limit_usd": 20.0}]})

    limit_usd: float | None = Field(ge=0)


class Models(BaseModel):
    """Every model that has a price, and the date of the prices."""

    dated: date
    models: list[ModelStatus]


@router.get("/spend", responses=documented(404))
def spending(
    caller: Reader,
    request: Request,
    job_id: Annotated[str | None, Query(min_length=1, max_length=255, description="Only of this job.")] = None,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255, description="Only of this user.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most; of a job all are listed.")] = 100,
) -> Spending:
    """List the paid calls of a job and, for a flow, of its steps, oldest first; otherwise the newest of all, first."""
    if job_id is not None and user_id is not None:
        raise InvalidArguments("give a job_id or a user_id, not both")
    if job_id is not None:
        may_see(caller, job_tracker.get_status(job_id))
        entries = entries_of_job(_store(request), job_id)
    else:
        entries = latest_entries(_store(request), user_id=user_of(caller, user_id), limit=limit)
    return Spending(entries=entries, cost_usd=round(sum(entry.cost_usd for entry in entries), 6))


@router.post("/spend/{key}/allow", responses=documented(404, 409))
def allow_call(key: Key, caller: Submitter, request: Request) -> Entry:
    """Let an uncertain call be made again, and paid again, by the next attempt that wants it: replay its job."""
    found = entry_of(_store(request), key)
    if is_hidden(caller, found.user_id):
        raise unknown_call(key)
    return allow(_store(request), key)


@router.get("/budgets", responses=documented())
def budgets(caller: Reader, request: Request) -> Budgets:
    """What each user may spend this month, for those who have a budget of their own or have spent something."""
    if caller.sees_only is not None:
        return Budgets(budgets=[user_budget(_store(request), caller.sees_only)])
    return Budgets(budgets=user_budgets(_store(request)))


@router.put("/budgets/{user_id:path}", responses=documented())
def set_budget(user_id: UserId, given: Limit, _: Admin, request: Request) -> Budget:
    """Say what a user may spend in a calendar month. It holds from the next call on, also for jobs that run."""
    return set_user_budget(_store(request), user_id, given.limit_usd)


@router.get("/models", responses=documented())
def models(_: Reader, request: Request) -> Models:
    """What each model costs, how much it may be asked, and how many calls it runs now."""
    return Models(dated=price_table().dated, models=model_statuses(_store(request)))


def _store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found
