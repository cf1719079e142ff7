"""What Ray's autoscaler is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ytray.engine.cluster import autoscale
from ytray.engine.cluster.autoscale import Autoscaling
from ytray.engine.state.store import Store
from ytray.settings import settings


def test_systems_on_one_ray_cluster_ask_for_what_all_of_them_need(
    system: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Counter[str]] = []

    def request(bundles: list[dict[str, Any]]) -> None:
        asked.append(Counter(resource for bundle in bundles for resource in bundle))

    monkeypatch.setattr(autoscale, "request_resources", request)
    given = settings().model_copy(update={"autoscale_most": 8, "autoscale_hold": 0.0})
    monkeypatch.setattr(autoscale, "settings", lambda: given)
    busy = {"first": {"media": 5.0, "GPU": 1.25}, "second": {"media": 2.0}}
    stores = {name: Store(system.redis_url, f"autoscaled-{name}") for name in busy}
    first = Autoscaling(stores["first"], lambda: busy["first"], lambda _: None)
    second = Autoscaling(stores["second"], lambda: busy["second"], lambda _: None)
    first.ask()
    second.ask()
    first.ask()
    assert asked == [{"queue_media": 5, "GPU": 2}, *[{"queue_media": 7, "GPU": 2}] * 2]
    first.ask()
    second.ask()
    assert len(asked) == 3, "what has not changed is not asked for again"
    busy["first"] = {}
    first.ask()
    assert asked[-1] == {"queue_media": 2}
    for where in stores.values():
        where.redis.delete(where.key("autoscaled"))
        where.close()
