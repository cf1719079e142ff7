"""What items will cost, by those who have prices: the engine knows none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# By task: what an item with these arguments will cost in US dollars, likely and at most.
ITEM_COSTS: dict[str, Callable[[Any], tuple[float, float]]] = {}
