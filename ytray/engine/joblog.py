"""What a job's attempts log and print, kept with the job for a while and readable while it runs.

`logging` (and structlog) and `print` inside a task both count. A thread writes the lines, so that a task that logs
waits for nothing; a worker that is killed loses at most its last tenth of a second of them.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections import defaultdict
from typing import Any, TextIO, cast

import redis
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json, to_json

from ytray.engine.context import running_job
from ytray.engine.error_text import clean, in_words
from ytray.engine.model import Time, time_of
from ytray.engine.store import Store
from ytray.settings import settings

_LINES_KEPT = 500  # of one job; about, since Redis cuts streams at its own convenience
_LONGEST_LINE = 2_000  # characters
_MOST_WAITING = 5_000  # lines: beyond that a task logs faster than anybody reads, and lines are dropped
_FLUSH_EVERY = 0.1  # seconds


class LogLine(BaseModel):
    """One line that an attempt of a job logged or printed."""

    model_config = ConfigDict(frozen=True)

    at: Time
    level: str
    message: str
    attempt: int


def read_log(where: Store, job_id: str, after: int = 0) -> tuple[list[LogLine], int]:
    """The lines logged since `after`, and what to give as `after` the next time; 0 reads from the first line kept."""
    key = where.key(f"l:{job_id}")
    since = f"({after // 1000}-{after % 1000}" if after else "-"
    rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", where.redis.xrange(key, since, "+"))
    lines = []
    for row_id, fields in rows:
        milliseconds, _, place = row_id.decode().partition("-")
        after = int(milliseconds) * 1000 + int(place)
        try:
            lines.append(LogLine(at=time_of(milliseconds), **from_json(fields[b"e"])))
        except (ValueError, TypeError, KeyError):
            told = "a line that cannot be read"
            lines.append(LogLine(at=time_of(milliseconds), level="ERROR", message=told, attempt=0))
    return lines, after


class JobLogHandler(logging.Handler):
    """A logging handler that keeps what is logged for a running job with that job."""

    def __init__(self, where: Store) -> None:
        super().__init__()
        self._store = where
        self._waiting: list[tuple[str, bytes]] = []
        self._some = threading.Event()
        threading.Thread(target=self._flush_forever, name="ytray-joblog", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, if it was logged for a job."""
        self.keep(record.levelname, _message(record))

    def keep(self, level: str, message: str) -> None:
        """Keep one line, if this code runs for a job."""
        job = running_job()
        if job is None or len(self._waiting) >= _MOST_WAITING:
            return
        line = {"level": level, "message": clean(message, _LONGEST_LINE), "attempt": job.attempt}
        self._waiting.append((job.id, to_json(line)))
        self._some.set()

    def _flush_forever(self) -> None:
        while True:
            self._some.wait()
            time.sleep(_FLUSH_EVERY)
            self._some.clear()
            with contextlib.suppress(redis.RedisError):
                self._flush()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        by_job: dict[str, list[bytes]] = defaultdict(list)
        for job_id, line in lines:
            by_job[job_id].append(line)
        for job_id, own in by_job.items():
            key = self._store.key(f"l:{job_id}")
            pipe = self._store.redis.pipeline(transaction=False)
            for line in own[-_LINES_KEPT:]:
                pipe.xadd(key, {"e": line}, maxlen=_LINES_KEPT)
            pipe.expire(key, settings().history_ttl + 86400)  # cleaned up with the job; this is for what comes after
            with contextlib.suppress(redis.ResponseError):  # somebody wrote over it: the logs of others are kept
                pipe.execute()


class Printed:
    """Standard output that also keeps with a job what the job prints."""

    def __init__(self, under: TextIO, handler: JobLogHandler) -> None:
        self._under = under
        self._handler = handler
        self._begun = ""

    def write(self, text: str) -> int:
        """Write through, and keep each line that is complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._handler.keep("PRINT", line)
        return self._under.write(text)

    def close(self) -> None:
        """Close nothing: what runs after the job that asks for it prints here, too."""
        self._under.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)


def install(where: Store) -> None:
    """Keep what the jobs of this process log and print from now on."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, JobLogHandler)]
    handler = JobLogHandler(where)
    root.addHandler(handler)
    under = sys.stdout._under if isinstance(sys.stdout, Printed) else sys.stdout
    sys.stdout = cast("TextIO", Printed(under, handler))


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):  # structlog's: the event and what was given with it
        given = {name: value for name, value in record.msg.items() if name not in _ALREADY_KNOWN}
        text = " ".join([str(record.msg.get("event", "")), *(f"{name}={value}" for name, value in given.items())])
    else:
        text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}: {in_words(record.exc_info[1])}"
    return text


_ALREADY_KNOWN = frozenset({"event", "level", "timestamp", "job_id", "task", "attempt", "fence"})
