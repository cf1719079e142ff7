"""Raising inside a running task from outside: its time limits, its cancellation, and Ray's orders to stop.

A signal reaches a task that computes or waits in a call; its handler raises. In an event loop that would be lost, or
end the loop in the middle of its own work: there a coroutine is resumed with the error, as a cancellation would be.
The signal is one that libraries do not use, so a task may set alarms (SIGALRM, ITIMER_REAL) of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn

from ytray.engine.base.surroundings import end_forked_child

_SIGNAL = signal.SIGRTMIN + 10
# As the module beneath has it: making an enumeration's member of each handler would take 20 µs a job.
_handler_of: Callable[[int], Any] = inspect.unwrap(signal.getsignal)

Deliver = Callable[[BaseException], None]


class Interrupted(BaseException):
    """Raised inside a task whose job was cancelled or given to another worker.

    Not an Exception, so that a task's own `except Exception` does not swallow it.
    """


class HandOver(Interrupted):
    """The same where the node is drained: the job is still this worker's, to be handed over once it has stopped."""


class StoppedByRay(KeyboardInterrupt):
    """Ray takes the running task back, as for `ray.cancel`: nothing that the task raised itself."""


# ------------------------------------------------------------------------------------------ the signals of a worker


class Signals:
    """A worker's signal handlers, which its tasks may change for as long as they run. For the main thread."""

    def __init__(self, order: Callable[[], tuple[BaseException, Deliver | None] | None]) -> None:
        """`order` gives what is to be raised in the running task when the signal has come, and how in its loop."""
        self._order = order
        self._handler = self._on_signal
        signal.signal(_SIGNAL, self._handler)
        ends = signal.getsignal(signal.SIGTERM)
        if callable(ends):  # Ray's, which raises SystemExit
            signal.signal(signal.SIGTERM, lambda *given: _pass_on(ends, *given))
        signal.signal(signal.SIGINT, lambda *_: _raise_in_task(StoppedByRay("Ray stops this task"), None))
        kept = (_SIGNAL, signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD)
        self._kept = [(number, _handler_of(number)) for number in kept]

    def send(self) -> None:
        """Make the main thread raise what is ordered. A task that took the signal for itself is left to the limits."""
        if signal.getsignal(_SIGNAL) is self._handler:
            signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)

    def restore(self) -> None:
        """Undo what a task has changed, so that the next one neither meets its alarm nor runs under its handlers."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._kept:
            if handler is not None and _handler_of(number) is not handler:
                signal.signal(number, handler)

    def _on_signal(self, *_: object) -> None:
        ordered = self._order()
        if ordered is not None:
            _raise_in_task(*ordered)


def _pass_on(handler: Callable[..., Any], *given: Any) -> None:
    try:
        handler(*given)
    except SystemExit as ends:
        _raise_in_task(ends, None)


def _raise_in_task(error: BaseException, deliver: Deliver | None) -> None:
    loop = asyncio._get_running_loop()
    if loop is None or asyncio.current_task(loop) is not None:
        raise error  # the task's own code is running
    # The loop waits, or is at its own work.
    loop.call_soon_threadsafe(deliver or _end_loop, error)


def _end_loop(error: BaseException) -> NoReturn:
    """Raise out of a loop that the task runs itself, by `asyncio.run`: that then tidies up and raises it, too."""
    raise error if isinstance(error, (KeyboardInterrupt, SystemExit)) else _as_both(error, KeyboardInterrupt)


def _as_both(error: BaseException, kind: type[BaseException]) -> BaseException:
    """The error as one that is also of another kind, for code that lets only that kind through."""
    first = type(error)
    both = types.new_class(first.__name__, (first, kind), exec_body=lambda of: of.update(__module__=first.__module__))
    made: BaseException = both.__new__(both, *error.args)
    return made


# ------------------------------------------------------------------------------------------ a task that is a coroutine


class Steered:
    """Runs a coroutine in a loop of its own; `deliver` makes it raise an error where it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._ordered: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._process = os.getpid()

    def run(self) -> Any:
        """The coroutine's result, or what it raised."""
        with asyncio.Runner() as runner:
            runner.run(self._main())
        if self._error is not None:
            raise self._error
        return self._value

    def deliver(self, error: BaseException) -> None:
        """Called in the loop: interrupt what the coroutine waits for, and have it raise the error there.

        It raises as asyncio.CancelledError, too: task groups and timeouts tidy up for no other kind.
        """
        if self._task is None or self._task.done():
            _end_loop(error)  # what the coroutine has left behind keeps the loop from ending
        self._ordered = _as_both(error, asyncio.CancelledError)
        self._task.cancel()

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        try:
            self._value = await self
        except BaseException as error:
            self._error = self._ordered if self._ordered and isinstance(error, asyncio.CancelledError) else error
        if os.getpid() != self._process:
            end_forked_child(self._error)  # before it ends the loop, which it shares with its parent

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        while True:
            try:
                awaited = step(given)
            except StopIteration as returned:
                return returned.value
            try:
                step, given = self._coroutine.send, (yield awaited)
            except BaseException as thrown:
                step, given = self._coroutine.throw, thrown
            # Also where what was awaited has swallowed the cancellation and returned.
            if self._ordered is not None and (
                step == self._coroutine.send or isinstance(given, asyncio.CancelledError)
            ):
                step, given = self._coroutine.throw, self._ordered
                self._ordered = None
                if self._task is not None:
                    self._task.uncancel()
