"""Circuit breakers: a dependency that fails again and again is left alone for a while, then tried once.

Closed: calls go through. After `YTRAY_BREAKER_THRESHOLD` failures in a row: open, for `YTRAY_BREAKER_TIMEOUT` seconds;
a call raises CircuitOpen, with which a job waits as RETRYING and loses no attempt. Then half-open: one call goes
through as a probe; its success closes the breaker, its failure opens it again.

Redis decides, in one step and by its own clock (lua/breaker.lua): for calls on all machines, within Ray and without.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Literal, ParamSpec, TypeVar, cast

from pydantic import BaseModel, ValidationError

from ytray.engine.base.error_text import in_words
from ytray.engine.base.names import checked_word
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store
from ytray.errors import CircuitOpen, PermanentError, RetryLater, StaleFence
from ytray.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("ytray.breaker")

_LONGEST_ERROR = 500  # characters
_PROBE_PATIENCE = 60.0  # seconds after which a probe that said nothing is taken for dead, and the next one goes


class BreakerState(BaseModel):
    """What is known of one dependency. Times are Unix seconds; `failures` counts those in a row."""

    name: str
    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    opened_at: float = 0.0
    probe_at: float = 0.0
    last_error: str = ""


class circuit_breaker:  # noqa: N801  # used like a function, as contextlib's own are
    """Guard calls of one dependency, as a context manager or a decorator: `with circuit_breaker("vertex"): …`.

    An exception counts as a failure of the dependency; a PermanentError does not, since it is the caller's fault, and
    a call that was broken off (its job was cancelled, put off, or lost its lease) counts as nothing.
    Entering raises CircuitOpen while the breaker is open.
    """

    def __init__(self, name: str) -> None:
        self.name = checked_word(name, "the name of a dependency")

    def __enter__(self) -> circuit_breaker:
        wait = self._ask("admit")
        if wait > 0:
            raise CircuitOpen(f"the circuit breaker of {self.name} is open; next probe in {wait:.0f} s", wait)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, (RetryLater, StaleFence)) or (error is not None and not isinstance(error, Exception)):
            return
        counts = error is not None and not isinstance(error, PermanentError)
        if error is not None and counts:
            self._ask("failed", in_words(error, _LONGEST_ERROR))
        else:
            self._ask("ok")

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            with circuit_breaker(self.name):
                return function(*args, **kwargs)

        return guarded

    def _ask(self, what: str, error: str = "") -> float:
        given, token = settings(), uuid.uuid4().hex
        limits = (given.breaker_timeout, given.breaker_threshold, _PROBE_PATIENCE)
        return float(store().call("breaker", self.name, what, token, error, *limits))


def breaker_states() -> list[BreakerState]:
    """Every breaker that has met a failure, by name; read from Redis, so it needs no Ray."""
    return sorted(stored_breakers(store()), key=lambda state: state.name)


def stored_breakers(where: Store) -> list[BreakerState]:
    """Every breaker that a store knows; one that cannot be read is left out, and counts as closed."""
    stored = cast("dict[bytes, bytes]", where.redis.hgetall(where.key("breakers")))
    states = []
    for name, state in stored.items():
        try:
            states.append(BreakerState.model_validate_json(state))
        except ValidationError:
            # The next failure of its dependency writes it anew.
            _log.error("what is stored of the circuit breaker %r cannot be read", name)
    return states
