"""Tasks of these tests: a film whose worker is killed at one chosen moment, and notes of what was done."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ytray import current_job, task
from ytray.engine.base.context import running_job
from ytray.spend.buying import buy
from ytray.spend.journal import Intent
from ytray.spend.model import Bought, Call, Unheard
from ytray.studio.model import Clip
from ytray.tasks.media import generate_video_veo

MOMENTS = (
    "before open",
    "after open",
    "after sent",
    "before started",
    "after started",
    "before done",
    "after done",
)


@task(queue="media")
def film_and_die(folder: str, moment: str, prompt: str) -> Clip:
    """`generate_video_veo`, whose first worker to reach the moment is killed there."""
    when, _, what = moment.partition(" ")
    real: Callable[..., Any] = getattr(Intent, what)

    def dying(self: Intent, *args: Any, **named: Any) -> Any:
        if when == "before":
            _die_once(folder)
        result = real(self, *args, **named)
        if when == "after":
            _die_once(folder)
        return result

    setattr(Intent, what, dying)
    try:
        return generate_video_veo(prompt, provider="vertex")
    finally:
        setattr(Intent, what, real)


def _die_once(folder: str) -> None:
    try:
        (Path(folder) / "died").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@task(queue="default")
def buys_slowly(folder: str, seconds: float) -> str:
    """Buy something that takes its time, of a model that runs one call at once; notes when it began and ended."""
    job = running_job()
    assert job is not None

    def send() -> Bought:
        _note(folder, "+")
        time.sleep(seconds)
        _note(folder, "-")
        return Bought({}, 0.01)

    call = Call("test", "one-at-a-time", "thing", {"for": job.id}, estimate_usd=0.01)
    buy(call, send)
    return job.id


def _note(folder: str, what: str) -> None:
    with (Path(folder) / "calls").open("a") as notes:
        notes.write(what)


@task(queue="default")
def buys(folder: str, usd: float, model: str = "model-for-tests") -> float:
    """Buy something for so many US dollars."""
    job = running_job()
    assert job is not None
    call = Call(
        provider="test", model=model, kind="thing", parameters={"for": job.id}, estimate_usd=usd, about="a thing"
    )

    def send() -> Bought:
        with (Path(folder) / "bought").open("a") as notes:
            notes.write("x")
        return Bought({"usd": usd}, usd)

    bought = buy(call, send)
    current_job().progress(90, "bought")
    return float(bought["usd"])


@task(queue="default")
def buys_in_doubt(folder: str, usd: float, how: Literal["silence", "death"] = "silence") -> float:
    """Buy something for so many US dollars; the first time no answer comes, or the worker dies before it does."""
    job = running_job()
    assert job is not None
    call = Call("test", f"{how}-model", "thing", {"for": job.id}, estimate_usd=usd, about="a doubtful thing")

    def send() -> Bought:
        first = not (Path(folder) / "calls").exists()
        _note(folder, "x")
        if first and how == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if first:
            raise Unheard("nobody answered.")
        return Bought({"usd": usd}, usd)

    return float(buy(call, send)["usd"])
