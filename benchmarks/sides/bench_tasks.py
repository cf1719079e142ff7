"""The tasks that ytray's side runs."""

from __future__ import annotations

import time

from ytray import task
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call


@task()
def noop(number: int) -> int:
    """Do nothing."""
    return number


@task(queue="batch")
def short_sleep(seconds: float) -> None:
    """Wait, as a call to somebody else's service would."""
    time.sleep(seconds)


@task(queue="generation")
def started_at() -> float:
    """The Unix time at which this ran."""
    return time.time()


PRICE = 0.001  # US dollars a call


@task()
def paid(number: int) -> int:
    """Do nothing but pay for it."""
    call = Call("seller", "cheap-model", "text", {"number": number}, estimate_usd=PRICE)
    return int(buy(call, lambda: Bought(asset={"number": number}, usd=PRICE))["number"])
