"""`/api/batches`: many items as one: submitting, watching and steering them, and putting right what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Json, ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from ytray.api.access import Reader, Submitter, check_task, user_of, visible_batch
from ytray.api.artifacts import PAGE_POLICY
from ytray.api.asking_ray import asked
from ytray.api.jobs import IdempotencyKey, one_key
from ytray.api.keys import Caller
from ytray.api.problems import OverQuota, documented
from ytray.api.quotas import Quotas, priority_for
from ytray.api.uploads import is_upload, kept
from ytray.engine.batch.batches import Batch, batches, checked_options
from ytray.engine.batch.model import (
    DEFAULT_TASK,
    BatchOptions,
    BatchPage,
    BatchState,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    Prepared,
    Resumed,
)
from ytray.engine.batch.plan import LONGEST_DEADLINE, Asked, Plan
from ytray.engine.batch.plan import asked as as_asked
from ytray.engine.jobs.task import find
from ytray.engine.state.connection import store
from ytray.errors import InvalidArguments
from ytray.spend.planning import plan_batch, plan_items

_NO_PLAN = "the living nodes could not be asked for a plan"
router = APIRouter(prefix="/api/batches", tags=["batches"])

# Reading a large input takes seconds; the threads of other requests stay free meanwhile.
_READERS = ThreadPoolExecutor(4, thread_name_prefix="ytray-batch")

BatchId = Annotated[str, Path(description="The id that the submission answered.", min_length=1, max_length=255)]
Fingerprint = Annotated[str, Path(description="Of a group that …/errors lists.", min_length=1, max_length=255)]

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Source = FilePath | Iterable[Mapping[str, Any]]


class _Chosen(BatchOptions):
    """What a submission chooses beside its rows."""

    task: str = Field(DEFAULT_TASK, max_length=255, description="What is done for each item: any task or flow.")
    skip_invalid: bool = Field(False, description="Leave wrong rows out, where one would refuse all.")

    def options(self, caller: Caller, key: str | None) -> BatchOptions:
        """The batch's options for a caller who may have sent an Idempotency-Key. Raises Forbidden, InvalidArguments."""
        given = self.model_dump(include=set(BatchOptions.model_fields), exclude_unset=True)
        given["priority"] = priority_for(caller, given.get("priority"))
        given["user_id"] = user_of(caller, self.user_id)
        given["idempotency_key"] = one_key(self.idempotency_key, key)
        return checked_options(given)


class BatchSubmission(_Chosen):
    """Items to work off, and how. What is left out is as it is for every batch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"prompt": "Why do cats purr?"},
                        {"prompt": "Why is the sky blue?", "duration": 20},
                    ],
                    "name": "Questions of the week",
                    "concurrency": 20,
                    "budget_usd": 50.0,
                }
            ]
        },
    )

    items: list[dict[str, Any]] = Field(description="A row for each item: the arguments of its task.")


class BatchQuery(_Chosen):
    """What stands in the address of a submission: all that is chosen for a file, and `estimate`."""

    metadata: Json[dict[str, Any]] = Field(default_factory=dict, description="Kept with it; a JSON object.")
    estimate: bool = Field(False, description="Tell what the input is and would cost, and submit nothing.")


class EditedInput(BaseModel):
    """The input of a batch as it is to be now. Rows are compared by their keys."""

    model_config = ConfigDict(extra="forbid")

    items: list[dict[str, Any]] | None = None


class PlanQuery(BaseModel):
    """Until when a batch is to be done, and on what nodes."""

    deadline: float | None = Field(None, gt=0, le=LONGEST_DEADLINE, description="Seconds from now; or `by`.")
    by: AwareDatetime | None = Field(None, description="The time by which it is to be done.")
    slots: str = Field(
        "", max_length=1000, description="Slots of a node, by queue or by type and queue: `media=4,gpu.media=2`."
    )
    price: str = Field("", max_length=1000, description="US dollars for an hour of a node: `media=0.25,cpu=0.1`.")

    def asked(self) -> Asked:
        """What that asks for. Raises InvalidArguments."""
        if (self.deadline is None) == (self.by is None):
            raise InvalidArguments("say until when: either deadline (seconds from now) or by (a time)")
        slots, prices = (filter(None, given.split(",")) for given in (self.slots, self.price))
        return as_asked(self.by or self.deadline or 0.0, slots, prices)


class ItemsPlanQuery(PlanQuery):
    """The same for items that are not submitted yet."""

    items: int = Field(ge=1, le=10_000_000, description="How many there will be.")
    task: str = Field(DEFAULT_TASK, max_length=255, description="What is done for each: any task or flow.")
    concurrency: int | None = Field(None, ge=1, le=10_000, description="Items in the making at once, at most.")
    left_to_pay: float | None = Field(
        None, ge=0, le=1_000_000_000, description="What they will cost in US dollars, where an estimate told."
    )


class AcceptedBatch(BaseModel):
    """A batch that was accepted: it is durable, with all its items."""

    batch_id: str
    state: BatchState
    total: int = Field(description="How many items it has.")


class BatchErrors(BaseModel):
    """The failed items of a batch, those with alike errors together, the largest group first."""

    groups: list[ErrorGroup]


class SettledItems(BaseModel):
    """How many items that concerned."""

    items: int


class Reason(BaseModel):
    """A reason, which the batch's status then tells."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the prompts are revised"}]})

    reason: str | None = Field(None, max_length=500)


class BatchChange(BaseModel):
    """Changes to a running batch. Omitted or null fields stay unchanged."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"concurrency": 50, "budget_usd": 80.0}]})

    priority: int | None = Field(None, ge=0, le=9)
    concurrency: int | None = Field(None, ge=1, le=10_000)
    budget_usd: float | None = Field(None, ge=0, le=1_000_000_000, allow_inf_nan=False)


def _body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """What OpenAPI says of a body that is JSON or a file."""
    file = {"schema": {"type": "string"}}
    content = {
        "application/json": {"schema": model.model_json_schema()},
        "text/csv": {**file, "example": "prompt,duration\nWhy do cats purr?,30\n"},
        "application/x-ndjson": {**file, "example": '{"prompt": "Why do cats purr?", "duration": 30}\n'},
    }
    return {"requestBody": {"required": required, "content": content}}


@router.post(
    "",
    status_code=202,
    response_model=AcceptedBatch,
    responses={
        200: {"model": Prepared, "description": "What the input is and would cost; nothing was submitted."},
        **documented(409),
    },
    openapi_extra=_body(BatchSubmission, required=True),
)
async def submit(
    request: Request,
    caller: Submitter,
    asked: Annotated[BatchQuery, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submit a batch: JSON, or a CSV or NDJSON file with the options in the address. All rows are checked first."""
    if is_upload(request):
        async with kept(request) as file:
            return await _accept(request, caller, file, asked, idempotency_key, only_prepare=asked.estimate)
    if asked.model_fields_set - {"estimate"}:
        raise InvalidArguments("the options of a batch that is sent as JSON stand in its body, not in the address")
    given = await _read(request, BatchSubmission)
    return await _accept(request, caller, given.items, given, idempotency_key, only_prepare=asked.estimate)


async def _accept(
    request: Request, caller: Caller, source: Source, chosen: _Chosen, key: str | None, *, only_prepare: bool
) -> Response:
    options, quotas = chosen.options(caller, key), request.app.state.quotas
    if only_prepare:
        prepared = await _in_a_reader(lambda: _prepare(caller, source, chosen, options))
        return Response(to_json(prepared), media_type="application/json")
    accepted = await _in_a_reader(lambda: _submit(caller, source, chosen, options, quotas))
    headers = {"Location": f"/api/batches/{accepted.batch_id}"}
    return Response(to_json(accepted), 202, headers=headers, media_type="application/json")


def _prepare(caller: Caller, source: Source, chosen: _Chosen, options: BatchOptions) -> Prepared:
    check_task(caller, find(chosen.task))
    preparation = batches.prepare(source, task=chosen.task, options=options)
    preparation.drop()
    return preparation.prepared


def _submit(caller: Caller, source: Source, chosen: _Chosen, options: BatchOptions, quotas: Quotas) -> AcceptedBatch:
    check_task(caller, find(chosen.task))
    preparation = batches.prepare(source, task=chosen.task, options=options)
    try:
        quotas.check_batch(caller, preparation.prepared.accepted, repeats=options.cron is not None)
    except OverQuota:
        preparation.drop()
        raise
    made = Batch(preparation.commit(skip_invalid=chosen.skip_invalid)).status()
    return AcceptedBatch(batch_id=made.batch_id, state=made.state, total=made.total)


@router.get("", responses=documented())
def list_batches(
    caller: Reader,
    user_id: Annotated[str | None, Query(max_length=255)] = None,
    state: Annotated[str | None, Query(description="A state in any case.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> BatchPage:
    """List the newest batches that match."""
    return batches.page(limit=limit, cursor=cursor, user_id=user_of(caller, user_id), state=state)


@router.get("/plan", responses=documented(404))
async def items_plan(_: Reader, query: Annotated[ItemsPlanQuery, Query()]) -> Plan:
    """How many nodes so many new items need to be done in time, going by earlier batches of the task."""

    def made() -> Plan:
        return plan_items(
            store(),
            query.task,
            query.items,
            query.asked(),
            concurrency=query.concurrency,
            left_to_pay=query.left_to_pay,
        )

    return await asked(made, _NO_PLAN)


@router.get("/{batch_id}/plan", responses=documented(404))
async def plan(batch_id: BatchId, caller: Reader, query: Annotated[PlanQuery, Query()]) -> Plan:
    """How many nodes of each type the batch needs to be done in time, and what they and its items will cost."""
    return await asked(lambda: plan_batch(store(), visible_batch(caller, batch_id).id, query.asked()), _NO_PLAN)


@router.get("/{batch_id}", responses=documented(404))
def status(batch_id: BatchId, caller: Reader) -> BatchStatus:
    """Everything that is known of a batch now: how many items are where, when it will be done, what it costs."""
    return visible_batch(caller, batch_id).status()


@router.get("/{batch_id}/items", responses=documented(404))
def items(
    batch_id: BatchId,
    caller: Reader,
    state: Annotated[str | None, Query(description="A state of items, in any case.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int | None, Query(ge=0, lt=2**53, description="`next_cursor` of the page before.")] = None,
) -> ItemPage:
    """List a batch's items in the order of its input."""
    return visible_batch(caller, batch_id).items(state=state, limit=limit, cursor=cursor)


@router.get("/{batch_id}/errors", responses=documented(404))
def errors(batch_id: BatchId, caller: Reader) -> BatchErrors:
    """Group the failed items by what went wrong, with examples and what to do about each group."""
    return BatchErrors(groups=visible_batch(caller, batch_id).errors())


@router.post("/{batch_id}/errors/{fingerprint}/replay", status_code=202, responses=documented(404, 409))
def replay(batch_id: BatchId, fingerprint: Fingerprint, caller: Submitter) -> SettledItems:
    """Run the failed items of a group once more."""
    return SettledItems(items=visible_batch(caller, batch_id).replay(fingerprint))


@router.post("/{batch_id}/errors/{fingerprint}/discard", status_code=202, responses=documented(404, 409))
def discard(batch_id: BatchId, fingerprint: Fingerprint, caller: Submitter) -> SettledItems:
    """Give the failed items of a group up; the batch can then complete without them."""
    return SettledItems(items=visible_batch(caller, batch_id).discard(fingerprint))


@router.post(
    "/{batch_id}/resume",
    status_code=202,
    response_model=Resumed,
    responses=documented(404, 409),
    openapi_extra=_body(EditedInput, required=False),
)
async def resume(batch_id: BatchId, request: Request, caller: Submitter) -> Response:
    """Go on with a paused batch, and run its failed and cancelled items again; a body is its edited input."""
    found = await _in_a_reader(lambda: visible_batch(caller, batch_id))
    if is_upload(request):
        async with kept(request) as file:
            resumed = await _in_a_reader(lambda: found.resume(file))
    else:
        edited = (await _read(request, EditedInput)).items if await request.body() else None
        resumed = await _in_a_reader(lambda: found.resume(edited))
    return Response(to_json(resumed), 202, media_type="application/json")


@router.post("/{batch_id}/pause", responses=documented(404, 409))
def pause(batch_id: BatchId, caller: Submitter, given: Reason | None = None) -> BatchStatus:
    """Start no more of its items; those that run go on."""
    return visible_batch(caller, batch_id).pause(**_reason(given))


@router.post("/{batch_id}/cancel", status_code=202, responses=documented(404, 409))
def cancel(batch_id: BatchId, caller: Submitter, given: Reason | None = None) -> BatchStatus:
    """Cancel every item that has not ended. What completed stays, and the batch can be resumed."""
    return visible_batch(caller, batch_id).cancel(**_reason(given))


@router.patch("/{batch_id}", responses=documented(404, 409))
def change(batch_id: BatchId, given: BatchChange, caller: Submitter) -> BatchStatus:
    """Change the priority, the concurrency or the budget, also while it runs."""
    changes = given.model_dump(exclude_none=True)
    if not changes:
        raise InvalidArguments("say what changes: priority, concurrency or budget_usd")
    if given.priority is not None:
        priority_for(caller, given.priority)
    return visible_batch(caller, batch_id).change(**changes)


@router.get(
    "/{batch_id}/report",
    response_class=Response,
    responses={
        200: {"description": "The report.", "content": {"text/markdown": {}, "text/html": {}}},
        **documented(404),
    },
)
def report(
    batch_id: BatchId, caller: Reader, format: Annotated[Literal["markdown", "html"], Query()] = "markdown"
) -> Response:
    """What came of the batch, to read: as Markdown, or as one page without scripts."""
    made = visible_batch(caller, batch_id).report()
    if format == "html":
        return Response(made.html, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})
    return Response(made.markdown, media_type="text/markdown")


def _reason(given: Reason | None) -> dict[str, str]:
    return {"reason": given.reason} if given and given.reason else {}


async def _read(request: Request, model: type[M]) -> M:
    """The request's JSON. Raises RequestValidationError, InvalidArguments."""
    kind = request.headers.get("content-type", "application/json")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise InvalidArguments(f"send application/json, text/csv or application/x-ndjson, not {kind[:100]!r}")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as wrong:
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in wrong.errors()]) from None


async def _in_a_reader(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_READERS, work)
