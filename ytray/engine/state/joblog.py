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
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from logging import config as logging_config
from typing import Any, TextIO, cast

import redis
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json, to_json

from ytray.engine.base.context import CurrentJob, running_job
from ytray.engine.base.error_text import clean, in_words
from ytray.engine.base.model import Time, time_of
from ytray.engine.base.printed import Printed, while_handlers_write
from ytray.engine.base.threads import take_jobs_along
from ytray.engine.state.store import Store
from ytray.settings import settings

_LINES_KEPT = 500  # of one job; about, since Redis cuts streams at its own convenience
_LONGEST_LINE = 2_000  # characters
_MOST_WAITING = 5_000  # lines: beyond that a task logs faster than anybody reads, and lines are dropped
_FLUSH_EVERY = 0.1  # seconds
_NAMED_EACH = 3  # silenced loggers of one package: of more, the package is named


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


class JobLog:
    """Keeps what is logged and printed for a running job with that job."""

    def __init__(self, where: Store) -> None:
        self.store = where
        self._waiting: deque[tuple[str, bytes]] = deque()  # threads of tasks add to it while another takes from it
        self._some = threading.Event()
        threading.Thread(target=self._flush_forever, name="ytray-joblog", daemon=True).start()

    def keep_record(self, record: logging.LogRecord) -> None:
        """Keep one record, if it was logged for a job."""
        job = running_job()
        if job is not None and not job.has_ended:
            try:
                message = _message(record)
            except Exception as error:  # of what is to be logged; that is no reason for the task to fail
                message = f"a record that cannot be written: {in_words(error)}"
            self.keep(job, record.levelname, message)

    def keep(self, job: CurrentJob, level: str, message: str) -> None:
        """Keep one line of a job."""
        if len(self._waiting) >= _MOST_WAITING:
            return
        line = {"level": level, "message": clean(message, _LONGEST_LINE), "attempt": job.attempt}
        self._waiting.append((job.id, to_json(line)))
        self._some.set()

    def _flush_forever(self) -> None:
        while True:
            self._some.wait()
            time.sleep(_FLUSH_EVERY)
            self._some.clear()
            # A log is not worth waiting for: what is logged while Redis is away or full is lost.
            with contextlib.suppress(redis.RedisError):
                self._flush()

    def _flush(self) -> None:
        by_job: dict[str, list[bytes]] = defaultdict(list)
        for _ in range(len(self._waiting)):
            job_id, line = self._waiting.popleft()
            by_job[job_id].append(line)
        pipe = self.store.redis.pipeline(transaction=False)
        for job_id, own in by_job.items():
            key = self.store.key(f"l:{job_id}")
            for line in own[-_LINES_KEPT:]:
                pipe.xadd(key, {"e": line}, maxlen=_LINES_KEPT)
            pipe.expire(key, settings().history_ttl + 86400)  # cleaned up with the job; this is for what comes after
        pipe.execute(raise_on_error=False)  # where somebody wrote over a job's, the logs of others are kept


_kept: JobLog | None = None
_call_handlers: Callable[[logging.Logger, logging.LogRecord], None] = logging.Logger.callHandlers
_silence: Callable[..., None] = logging_config.__dict__["_handle_existing_loggers"]  # dictConfig's and fileConfig's
_silenced: list[logging.Logger] = []  # by the jobs that run
_level = logging.NOTSET  # of the root logger, as this process set it up


def install(where: Store) -> None:
    """Keep what the jobs of this process log and print from now on."""
    global _kept, _level
    _kept = JobLog(where)
    _level = logging.root.level
    take_jobs_along()
    # Not a handler: a module that sets up logging of its own takes those away, or lets a logger not propagate.
    replaced: list[tuple[Any, str, object]] = [
        (logging.Logger, "callHandlers", _keep_and_call_handlers),
        (logging_config, "_handle_existing_loggers", _silence_and_tell),
    ]
    for owner, name, ours in replaced:
        setattr(owner, name, ours)
    sys.stdout = cast("TextIO", Printed(_under(sys.stdout), "PRINT", _kept.keep))
    sys.stderr = cast("TextIO", Printed(_under(sys.stderr), "STDERR", _kept.keep))


def end(job: CurrentJob) -> None:
    """A job of this process has ended: keep what it printed last; what comes after is no job's."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Printed):
            stream.end(job)
    if _kept is not None:
        _hear_again(job, _kept)
    job.has_ended = True


def _under(stream: TextIO) -> TextIO:
    return stream.under if isinstance(stream, Printed) else stream


def _keep_and_call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    if _kept is not None:
        _kept.keep_record(record)
    with while_handlers_write():
        _call_handlers(logger, record)


def _silence_and_tell(existing: list[str], *more: Any) -> None:
    """Disable the loggers that a new set-up of logging does not name, if it asks for that; and say which these are."""
    known = [logging.root.manager.loggerDict[name] for name in existing]
    heard = [one for one in known if isinstance(one, logging.Logger) and not one.disabled]
    _silence(existing, *more)
    for one in heard:
        if one.name.partition(".")[0] == "ytray":
            one.disabled = False
    silenced = [one for one in heard if one.disabled]
    job = running_job()
    if silenced and _kept is not None and job is not None:
        _silenced.extend(silenced)
        sizes = Counter(one.name.partition(".")[0] for one in silenced)
        many = {name for name, size in sizes.items() if size > _NAMED_EACH}
        names = {one.name for one in silenced if one.name.partition(".")[0] not in many}
        told = ", ".join(sorted(names | {f"{name}.*" for name in many}))
        _kept.keep(job, "WARNING", f"logging was set up with disable_existing_loggers: nothing is logged by {told}")


def _hear_again(job: CurrentJob, kept: JobLog) -> None:
    """A job has ended: the next one logs as if no other had set up logging before it."""
    while _silenced:
        _silenced.pop().disabled = False
    root = logging.root
    if root.level > _level or root.manager.disable:
        least = logging.getLevelName(max(root.level, root.manager.disable + 1))
        kept.keep(job, "WARNING", f"logging was set up so that nothing below {least} is logged")
        root.setLevel(_level)
        logging.disable(logging.NOTSET)


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
