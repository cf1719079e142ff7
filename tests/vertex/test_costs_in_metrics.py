"""What paid calls cost, and how they end, in the metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from tests.engine.test_metrics import metric
from tests.vertex.server import VertexServer
from tests.vertex.tasks_for_vertex import buys, buys_in_doubt
from ytray import JobFailed, JobState, dlq
from ytray.engine.state.store import Store
from ytray.metrics import render
from ytray.tasks.media import generate_video_veo


def calls(model: str, outcome: str, provider: str = "test") -> float:
    return metric("ytray_paid_calls_total", provider=provider, model=model, outcome=outcome)


def test_what_was_bought_is_counted_with_its_cost(system: Store, tmp_path: Path) -> None:
    for usd in (0.25, 0.000001):
        buys.delay(str(tmp_path), usd, "metered-model").get(timeout=30)
    assert metric("ytray_cost_usd_total", provider="test", model="metered-model") == pytest.approx(0.250001)
    assert calls("metered-model", "intended") == 2
    assert calls("metered-model", "done") == 2


@pytest.mark.parametrize("how", ["silence", "death"])
def test_a_call_in_doubt_is_counted_once_at_its_estimate(
    how: Literal["silence", "death"], system: Store, tmp_path: Path
) -> None:
    model = f"{how}-model"
    cost, doubts = metric("ytray_cost_usd_total", model=model), calls(model, "uncertain")
    job = buys_in_doubt.delay(str(tmp_path), 0.5, how)
    with pytest.raises(JobFailed, match="may have been billed"):
        job.get(timeout=30)
    assert calls(model, "uncertain") == doubts + 1
    assert metric("ytray_cost_usd_total", model=model) == pytest.approx(cost + 0.5)
    dlq.remove(job.id)


def test_a_film_whose_job_is_cancelled_is_in_doubt(
    system: Store, vertex: VertexServer, until: Callable[..., None]
) -> None:
    vertex.polls_needed = 10_000
    model = "veo-3.1-fast-generate-001"
    doubts = calls(model, "uncertain", "vertex")
    job = generate_video_veo.delay("a film nobody waits for", provider="vertex")
    until(lambda: job.status().current_state is JobState.RETRYING)
    job.cancel()
    assert calls(model, "uncertain", "vertex") == doubts + 1


def test_each_end_is_there_from_a_models_first_call_on_so_that_its_first_doubt_is_an_increase(
    system: Store, tmp_path: Path
) -> None:
    buys.delay(str(tmp_path), 0.01, "new-model").get(timeout=30)
    with_doubts = 'ytray_paid_calls_total{model="new-model",outcome="uncertain",provider="test"} 0.0'
    assert with_doubts in render().decode()
