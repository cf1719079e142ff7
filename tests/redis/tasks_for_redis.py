"""Tasks of the whole systems that these tests run."""

from __future__ import annotations

import logging

from ytray import PermanentError, current_job, flow, task


@task()
def shout(word: str) -> str:
    logging.getLogger("shouting").warning("aloud")
    current_job().progress(50, "halfway")
    current_job().checkpoint({"word": word})
    return word.upper()


@task()
def refuse(word: str) -> str:
    raise PermanentError(f"not {word}")


@task()
def linger(word: str) -> str:
    import time

    for _ in range(600):
        time.sleep(0.05)
    return word


@flow()
async def shout_twice(word: str) -> str:
    once = await shout.delay(word)
    return str(await shout.delay(f"{once}!"))
