"""Server-Sent Events, and how long to wait for an end with and without them. Pure: the clients do the reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from pydantic import ValidationError
from pydantic_core import from_json

from ytray.client.model import Event

SILENCE = 30.0  # seconds: the server sends something every 15, so a stream silent for so long is dead
_FIRST_POLL, _SLOWEST_POLL = 0.1, 2.0  # seconds


_LEAST = 0.5  # seconds that an answer may take, however little time is left


class Deadline(Protocol):
    """Something that is waited for until a moment."""

    @property
    def left(self) -> float:
        """Seconds left to wait; infinity when there is no limit."""

    def too_late(self) -> TimeoutError:
        """The error for when no time is left."""


def within(deadline: Deadline | None, seconds: float) -> float:
    """So many seconds, or those that are left for an answer."""
    return seconds if deadline is None else max(_LEAST, min(seconds, deadline.left))


def pause_within(deadline: Deadline | None, seconds: float) -> float:
    """So many seconds until a call is sent again. Raises TimeoutError when fewer are left."""
    if deadline is not None and deadline.left <= seconds:
        raise deadline.too_late()
    return seconds


class EventReader:
    """Makes events of the bytes of a stream, in whatever pieces they come; remembers where it got to."""

    def __init__(self) -> None:
        self.last_id = ""
        self.restart()

    def restart(self) -> None:
        """Begin a new stream: what was half received is dropped, and comes again."""
        self._rest = b""
        self._id: str | None = None
        self._type = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> list[Event]:
        """The events that these bytes complete."""
        # Split at line feeds alone: JSON may hold the other characters that Python takes for ends of lines.
        *lines, self._rest = (self._rest + received).split(b"\n")
        found = []
        for line in lines:
            event = self._take(line.removesuffix(b"\r").decode(errors="replace"))
            if event is not None:
                found.append(event)
        return found

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        return None

    def _dispatch(self) -> Event | None:
        kind, data = self._type, "\n".join(self._data)
        self._type, self._data = "", []
        if self._id is not None:
            self.last_id = self._id
        if not data:
            return None
        try:
            fields = from_json(data)
            return Event.model_validate({**fields, "id": self.last_id, "type": kind})
        except (ValidationError, ValueError, TypeError):
            return None  # of a kind that a newer server sends


class Patience:
    """The waiting for an end: by events while there is time for them, else by looking now and then.

    A stream can be silent for SILENCE seconds without being dead, and a read cannot be broken off earlier; so the last
    seconds of a timeout are waited by looking.

    Args:
        what: is waited for, as an error names it.
        timeout: seconds to wait at most; None waits for as long as it takes.
        tells_end: whether an event says that it may have ended.
    """

    def __init__(self, what: str, timeout: float | None, tells_end: Callable[[Event], bool]) -> None:
        self._what = what
        self._timeout = timeout
        self._tells_end = tells_end
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._next_poll = _FIRST_POLL
        self.events_work = True  # until a stream fails before it said anything

    @classmethod
    def with_job(cls, job_id: str, timeout: float | None) -> Patience:
        """The waiting for a job."""

        def ends(event: Event) -> bool:
            return event.job_id == job_id and event.to_state is not None and event.to_state.has_ended

        return cls(f"job {job_id}", timeout, ends)

    @classmethod
    def with_batch(cls, batch_id: str, timeout: float | None) -> Patience:
        """The waiting for a batch."""

        def ends(event: Event) -> bool:
            return event.batch_id == batch_id and event.state is not None and event.state.has_ended

        return cls(f"batch {batch_id}", timeout, ends)

    @property
    def left(self) -> float:
        """Seconds left to wait; infinity when there is no limit."""
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    @property
    def can_follow(self) -> bool:
        """Whether to wait by events."""
        return self.events_work and self.left > SILENCE

    def too_late(self) -> TimeoutError:
        """The error for when the server has not answered in time."""
        return TimeoutError(f"{self._what} has not ended after {self._timeout:g} s, as far as the server told")

    def pause(self, state: str) -> float:
        """Seconds until the next look. Raises TimeoutError when no time is left."""
        if self.left <= 0:
            raise TimeoutError(f"{self._what} is {state} after {self._timeout:g} s; it goes on in the background")
        pause, self._next_poll = self._next_poll, min(_SLOWEST_POLL, self._next_poll * 2)
        return min(pause, self.left)

    def should_look(self, events: Iterable[Event]) -> bool:
        """Whether, after these events (none: a sign of life), the status may say that it ended."""
        some = list(events)
        return not some or any(event.type == "reset" or self._tells_end(event) for event in some)
