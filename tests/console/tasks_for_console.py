"""Tasks of these tests: a paid call whose answer is lost."""

from __future__ import annotations

from pathlib import Path

from ytray import task
from ytray.engine.base.context import running_job
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call, Unheard


@task(queue="default")
def buys_on_a_bad_line(folder: str, usd: float) -> float:
    """Buy something for so many US dollars; the answer to the first call in the folder is lost."""
    job = running_job()
    assert job is not None
    call = Call(
        provider="test",
        model="model-for-tests",
        kind="thing",
        parameters={"for": job.id},
        estimate_usd=usd,
        about="a thing, over a bad line",
    )

    def send() -> Bought:
        try:
            (Path(folder) / "sent").touch(exist_ok=False)
        except FileExistsError:
            return Bought({"usd": usd}, usd, {"calls": 1})
        raise Unheard("The line went dead before the answer.")

    return float(buy(call, send)["usd"])
