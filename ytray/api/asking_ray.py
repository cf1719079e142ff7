"""Asking Ray from the API: it does not answer while its head is away, and other requests must not wait with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ray.exceptions import RayError

from ytray.errors import SystemUnavailable

PATIENCE = 10.0  # seconds

# Threads of their own: those that wait for Ray are none that other requests need.
_ASKING = ThreadPoolExecutor(2, thread_name_prefix="ytray-ray")
T = TypeVar("T")


async def asked(question: Callable[[], T], what: str) -> T:
    """The answer to a question that Ray may be slow to answer. Raises SystemUnavailable, saying that `what` failed."""
    try:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(_ASKING, question), PATIENCE)
    except TimeoutError:
        raise SystemUnavailable(f"{what}: Ray has not answered for {PATIENCE:.0f} s; is its head node there?") from None
    except RayError as failed:
        raise SystemUnavailable(f"{what}: {str(failed).strip().splitlines()[0]}") from failed
