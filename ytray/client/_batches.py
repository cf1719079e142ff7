"""What `Client` does with batches. Made from _async_batches.py by scripts/sync-client."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeVar, Unpack

from ytray.client import _batch_calls, _calls
from ytray.client._batch_calls import Numbers, Rows
from ytray.client._calls import Call
from ytray.client._following import Deadline, Patience
from ytray.client.model import BatchChoices
from ytray.engine.base.context import refuse_in_flow
from ytray.engine.batch.model import (
    BatchPage,
    BatchState,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    ItemState,
    Prepared,
    Resumed,
)
from ytray.engine.batch.plan import Plan

T = TypeVar("T")


class BatchMethods(ABC):
    """The methods of a client for batches: many items as one."""

    @abstractmethod
    def _do(self, call: Call[T], deadline: Deadline | None = None) -> T: ...

    @abstractmethod
    def _follow(self, call: Call[bytes], patience: Patience, ended: Callable[[], bool]) -> bool: ...

    def create_batch(
        self, rows: Rows, *, task: str | None = None, skip_invalid: bool = False, **chosen: Unpack[BatchChoices]
    ) -> str:
        """Submit a batch and return its id; it is durable then, and submitted once even if the connection failed.

        Args:
            rows: the arguments of each item, or a file of them (.csv, .tsv, .jsonl), which is streamed up.
            task: what is done for each item, any task or flow; by default a video is made of it.
            skip_invalid: leave wrong rows out, where one would refuse all.

        Raises InvalidRows (its `rows` name what is wrong), UnknownTask, InvalidArguments, PayloadTooLarge,
        IdempotencyConflict; then nothing was submitted.
        """
        return self._do(_batch_calls.create(rows, task, skip_invalid, chosen))

    def estimate_batch(self, rows: Rows, *, task: str | None = None, **chosen: Unpack[BatchChoices]) -> Prepared:
        """What an input is (rows that are right, wrong, done before) and would cost; submits nothing."""
        return self._do(_batch_calls.estimate(rows, task, chosen))

    def batch(self, batch_id: str) -> BatchStatus:
        """What is known of the batch now. Raises UnknownBatch."""
        return self._do(_batch_calls.status(batch_id))

    def plan_batch(
        self, batch_id: str, deadline: float | datetime, *, slots: Numbers = None, prices: Numbers = None
    ) -> Plan:
        """How many nodes of each type the batch needs to be done in time, and what that will cost.

        Args:
            deadline: seconds from now, or a time with a zone.
            slots: of a node by queue ("media") or by type and queue ("gpu.media"); else as living nodes have them.
            prices: US dollars for an hour of a node, by type ("cpu", "media", "gpu").

        Raises UnknownBatch, InvalidArguments.
        """
        return self._do(_batch_calls.plan(batch_id, deadline, slots, prices))

    def plan_items(
        self,
        items: int,
        deadline: float | datetime,
        *,
        task: str | None = None,
        concurrency: int | None = None,
        left_to_pay: float | None = None,
        slots: Numbers = None,
        prices: Numbers = None,
    ) -> Plan:
        """The same for so many items that are not submitted yet, going by earlier batches of the task.

        Args:
            left_to_pay: what they will cost in US dollars, where `estimate_batch` told.

        Raises UnknownTask, InvalidArguments.
        """
        choices = {"task": task, "concurrency": concurrency, "left_to_pay": left_to_pay}
        return self._do(_batch_calls.items_plan(items, deadline, slots, prices, choices))

    def batches(
        self,
        state: BatchState | str | None = None,
        *,
        user_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> BatchPage:
        """The newest batches that match; `limit` is 1 to 1,000 for a page."""
        return self._do(_batch_calls.page(user_id, state, limit, cursor))

    def batch_items(
        self, batch_id: str, state: ItemState | str | None = None, *, limit: int = 100, cursor: int | None = None
    ) -> ItemPage:
        """The batch's items in the order of its input; `limit` is 1 to 1,000 for a page. Raises UnknownBatch."""
        return self._do(_batch_calls.items(batch_id, state, limit, cursor))

    def batch_errors(self, batch_id: str) -> list[ErrorGroup]:
        """The failed items by what went wrong, with examples and what to do about each. Raises UnknownBatch."""
        return self._do(_batch_calls.errors(batch_id))

    def replay_errors(self, batch_id: str, fingerprint: str) -> int:
        """Run the failed items of a group once more; returns how many. Raises UnknownBatch."""
        return self._do(_batch_calls.settle(batch_id, fingerprint, "replay"))

    def discard_errors(self, batch_id: str, fingerprint: str) -> int:
        """Give the failed items of a group up; returns how many. Raises UnknownBatch."""
        return self._do(_batch_calls.settle(batch_id, fingerprint, "discard"))

    def resume_batch(self, batch_id: str, rows: Rows | None = None) -> Resumed:
        """Go on with a paused batch, and run its failed and cancelled items again.

        Args:
            rows: the edited input, compared by the rows' keys; by default the batch stays as it is.

        Raises InvalidRows, UnknownBatch, InvalidBatchMove; then nothing was changed.
        """
        return self._do(_batch_calls.resume(batch_id, rows))

    def pause_batch(self, batch_id: str, reason: str | None = None) -> BatchStatus:
        """Start no more of its items; those that run go on. Raises UnknownBatch, InvalidBatchMove."""
        return self._do(_batch_calls.stop(batch_id, "pause", reason))

    def cancel_batch(self, batch_id: str, reason: str | None = None) -> BatchStatus:
        """Cancel every item that has not ended; what completed stays. Raises UnknownBatch, InvalidBatchMove."""
        return self._do(_batch_calls.stop(batch_id, "cancel", reason))

    def change_batch(
        self,
        batch_id: str,
        *,
        priority: int | None = None,
        concurrency: int | None = None,
        budget_usd: float | None = None,
    ) -> BatchStatus:
        """Change what was chosen for the batch, also while it runs; None leaves a thing as it is.

        Raises UnknownBatch, InvalidArguments.
        """
        return self._do(_batch_calls.change(batch_id, priority, concurrency, budget_usd))

    def batch_report(self, batch_id: str, format: Literal["markdown", "html"] = "markdown") -> str:
        """What came of the batch, to read. Raises UnknownBatch."""
        return self._do(_batch_calls.report(batch_id, format))

    def wait_for_batch(self, batch_id: str, timeout: float | None = None) -> BatchStatus:
        """Wait for the batch's end, whichever it is, and return its status then.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes, also while the batch is paused.

        Raises TimeoutError, UnknownBatch.
        """
        refuse_in_flow("client.wait_for_batch()", "the AsyncClient")
        patience = Patience.with_batch(batch_id, timeout)
        events = _calls.events(None, "", batch_id)
        status = self._do(_batch_calls.status(batch_id), patience)

        def ended() -> bool:
            return (self._do(_batch_calls.status(batch_id), patience)).state.has_ended

        while not status.state.has_ended:
            if not patience.can_follow or not self._follow(events, patience, ended):
                time.sleep(patience.pause(status.state))
            status = self._do(_batch_calls.status(batch_id), patience)
        return status
