"""What batches cost: counted exactly, kept within their budgets, and never paid twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.tasks_for_batches import paid_item
from ytray import batches, job_tracker
from ytray.engine.batch.model import BatchState
from ytray.engine.state.store import Store
from ytray.spend.budgets import user_budget

Until = Callable[..., None]


def test_a_batch_pauses_when_its_budget_is_used_up_and_goes_on_when_it_is_raised(
    system: Store, tmp_path: Path, until: Until
) -> None:
    bill, user = tmp_path / "bill", f"payer-{tmp_path.name}"
    rows = [{"bill": str(bill), "number": number} for number in range(10)]
    batch = batches.submit(rows, task=paid_item, budget_usd=0.0035, concurrency=1, user_id=user)
    until(lambda: batch.status().state is BatchState.PAUSED)
    status = batch.status()
    assert (status.reason, status.counts.completed, status.counts.failed) == ("its budget is used up", 3, 1)
    assert status.counts.waiting == 6
    assert status.cost_usd == pytest.approx(0.003)
    (group,) = batch.errors()
    assert group.error_type == "OverBudget"
    assert f"ytray batch change {batch.id} --budget" in group.suggestion
    batch.change(budget_usd=1)
    assert batch.resume().again == 1
    status = batch.wait(timeout=30)
    assert (status.state, status.counts.completed) == (BatchState.COMPLETED, 10)
    assert status.cost_usd == pytest.approx(0.01)
    assert status.reserved_usd == 0.0
    assert len(bill.read_text().split()) == 10
    assert user_budget(system, user).spent_usd == pytest.approx(0.01)
    costs = [job_tracker.get_status(item.job_id or "").cost_usd for item in batch.items().items]
    assert costs == [pytest.approx(0.001)] * 10


def test_a_row_that_another_batch_has_paid_for_costs_nothing_again(system: Store, tmp_path: Path) -> None:
    bill = tmp_path / "bill"
    rows = [{"bill": str(bill), "number": number} for number in range(3)]
    first = batches.submit(rows, task=paid_item)
    assert first.wait(timeout=30).cost_usd == pytest.approx(0.003)
    second = batches.submit([*rows, {"bill": str(bill), "number": 3}], task=paid_item)
    status = second.wait(timeout=30)
    assert status.reused == 3
    assert status.cost_usd == pytest.approx(0.001)
    assert len(bill.read_text().split()) == 4
