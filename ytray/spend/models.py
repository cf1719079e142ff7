"""What is known of each model that may be called: its price, its limits, and how many calls it runs now."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ytray.engine.state.store import Store
from ytray.spend.limits import limits_of
from ytray.spend.prices import Price, price_table


class ModelStatus(BaseModel):
    """One model. Limits: requests and tokens a minute and calls at once, over the whole cluster; 0 for none.

    `running` counts its calls now, where `at_once` is limited. `price` is in US dollars.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    price: Price
    requests: int
    tokens: int
    at_once: int
    running: int


def model_statuses(store: Store) -> list[ModelStatus]:
    """Every model in the table of prices, by name."""
    now = store.now_ms()
    found = []
    for model, price in sorted(price_table().models.items()):
        limits = limits_of(model)
        running = store.redis.zcount(store.key(f"busy:{model}"), now, "+inf")
        assert isinstance(running, int)
        found.append(
            ModelStatus(
                model=model,
                price=price,
                requests=limits.requests,
                tokens=limits.tokens,
                at_once=limits.at_once,
                running=running,
            )
        )
    return found
