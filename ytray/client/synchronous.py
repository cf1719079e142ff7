"""The client for ordinary code. Made from asynchronous.py by scripts/sync-client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

import httpx

from ytray.client import _calls
from ytray.client._answers import Target, read, refusal, unreachable
from ytray.client._batches import BatchMethods
from ytray.client._calls import Call
from ytray.client._downloading import Download, sent_on
from ytray.client._following import SILENCE, Deadline, EventReader, Patience, pause_within, within
from ytray.client._forks import open_anew_after_fork
from ytray.client._gathering import Gathering, result_of
from ytray.client._retrying import TRIES, pause_after_answer, pause_after_break
from ytray.client.model import Artifact, Ended, Event, LogPage, TaskInfo, VideoChoices
from ytray.engine.base.context import refuse_in_flow
from ytray.engine.base.model import DeadLetter, DeadLetterPage, JobPage, JobState, JobStatus, QueueStatus, Transition
from ytray.engine.cluster.nodes import NodeStatus
from ytray.engine.state.audit import AuditPage
from ytray.engine.state.webhook_secrets import WebhookSecret
from ytray.errors import AccessDenied, JobCancelled, JobFailed, UnknownJob
from ytray.spend.model import Budget, Entry
from ytray.spend.models import ModelStatus
from ytray.studio.model import Estimate

T = TypeVar("T")

_PART = 65_536  # bytes of a file that are sent at once


class Client(BatchMethods):
    """ytray over HTTP, safe to share between threads; a context manager.

    Args:
        url: where the API is; by default YTRAY_URL, else http://127.0.0.1:8000.
        key: the API key, if the API wants one; by default YTRAY_KEY.
        timeout: seconds to wait for a connection, and for each part of an answer.
        tries: how often a call is sent at most, when the server is busy (429, 503) or the connection fails.

    All methods raise AccessDenied when the key is missing or does not allow it, SystemUnavailable when the server
    cannot be reached or stays busy, and InvalidArguments when it does not take what was given.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, timeout: float = 30.0, *, tries: int = TRIES
    ) -> None:
        self._target = Target.of(url, key)
        self._tries = tries
        self._timeout = timeout
        self._open()
        open_anew_after_fork(self)

    def _open(self) -> None:
        target = self._target
        self._http = httpx.Client(base_url=target.url, headers=dict(target.headers), timeout=self._timeout)

    def __repr__(self) -> str:
        return f"Client({str(self._target)!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._http.close()

    # ------------------------------------------------------------------------------------------ submitting

    def submit(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: float | None = None,
        idempotency_key: str | None = None,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Submit a job; it is durable once this returns its id, and submitted once even if the connection failed.

        Args:
            queue: default, generation, media or batch; by default the task's own.
            priority: 0 to 9; 9 goes first.
            delay: seconds to wait before it is queued.
            idempotency_key: the same key is the same job, also in another process.

        Raises UnknownTask, InvalidArguments, PayloadTooLarge, IdempotencyConflict; then nothing was submitted.
        """
        call = _calls.submit(
            task,
            args,
            queue=queue,
            priority=priority,
            delay=delay,
            idempotency_key=idempotency_key,
            user_id=user_id,
            metadata=metadata,
        )
        return self._do(call)

    def create_video(
        self,
        prompt: str,
        *,
        priority: int | None = None,
        idempotency_key: str | None = None,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **chosen: Unpack[VideoChoices],
    ) -> str:
        """Submit the making of a video and return the job's id; `wait` gives what `create_video` returns."""
        call = _calls.create_video(
            {"prompt": prompt, **chosen},
            priority=priority,
            idempotency_key=idempotency_key,
            user_id=user_id,
            metadata=metadata,
        )
        return self._do(call)

    def estimate_video(self, prompt: str, **chosen: Unpack[VideoChoices]) -> Estimate:
        """What a video would cost in US dollars, with the choices of `create_video`; submits nothing.

        Raises Unpriced when a model that it needs has no price.
        """
        return self._do(_calls.estimate_video({"prompt": prompt, **chosen}))

    # ------------------------------------------------------------------------------------------ one job

    def status(self, job_id: str) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return self._do(_calls.status(job_id))

    def history(self, job_id: str) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob."""
        return self._do(_calls.history(job_id))

    def result(self, job_id: str) -> Any:
        """The result of a job that completed, as JSON. Raises InvalidTransition before, ResultExpired long after."""
        return self._do(_calls.result(job_id))

    def wait(self, job_id: str, timeout: float | None = None) -> Any:
        """Wait for the job's end and return its result, as JSON.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes.

        Raises TimeoutError, JobFailed (with the error, traceback and retry count), JobCancelled, ResultExpired,
        UnknownJob.
        """
        refuse_in_flow("client.wait()", "the AsyncClient")
        patience = Patience.with_job(job_id, timeout)
        events = _calls.events(job_id, "")

        def ended() -> bool:
            return (self._do(_calls.status(job_id), patience)).current_state.has_ended

        status = self._do(_calls.status(job_id), patience)
        while not status.current_state.has_ended:
            if not patience.can_follow or not self._follow(events, patience, ended):
                time.sleep(patience.pause(status.current_state))
            status = self._do(_calls.status(job_id), patience)
        if status.current_state is JobState.CANCELLED:
            raise JobCancelled(job_id)
        if status.current_state is JobState.FAILED:
            raise JobFailed(job_id, status.error or "", self._traceback(job_id), status.retry_count)
        return self._do(_calls.result(job_id), patience)

    def wait_all(self, job_ids: Iterable[str], timeout: float | None = None) -> list[Any]:
        """Wait for the ends of jobs, and return their results as JSON, in the order of `job_ids`.

        It takes few requests, also for thousands of jobs. The first job that does not complete ends the wait with its
        error; the others go on.

        Args:
            timeout: seconds to wait for all of them at most; None waits for as long as it takes.

        Raises TimeoutError, which says how many are missing; JobFailed, JobCancelled, ResultExpired, UnknownJob.
        """
        ids = list(job_ids)
        results = {}
        for ended in self.as_completed(ids, timeout):
            results[ended.job_id] = result_of(ended)
        return [results[job_id] for job_id in ids]

    def as_completed(self, job_ids: Iterable[str], timeout: float | None = None) -> Iterator[Ended]:
        """How jobs ended, as they do, those that failed too; one that stands in it more than once comes once.

        Args:
            timeout: seconds from the first step of the iteration to the last end, at most; None waits for as long as it
                takes.

        Raises TimeoutError, which says how many are missing; UnknownJob.
        """
        refuse_in_flow("client.as_completed()", "the AsyncClient")
        gathering = Gathering(job_ids, timeout)
        while gathering.missing:
            asked, seconds = gathering.ask_for()
            found = self._do(_calls.results(asked, seconds), gathering)
            gathering.take(asked, found)
            yield from found

    def cancel(self, job_id: str) -> None:
        """Cancel the job wherever it is, and a flow's steps. Raises InvalidTransition when it has ended, UnknownJob."""
        self._do(_calls.cancel(job_id))

    def children(self, job_id: str) -> list[JobStatus]:
        """The steps that a flow has submitted, oldest first."""
        return self._do(_calls.children(job_id))

    def logs(self, job_id: str, after: int = 0) -> LogPage:
        """What the job logged and printed since `after`, the `next` of the page before; 0 reads from the start."""
        return self._do(_calls.logs(job_id, after))

    def artifacts(self, job_id: str) -> list[Artifact]:
        """The files that the job made, and a flow's steps."""
        return self._do(_calls.artifacts(job_id))

    def download(self, job_id: str, name: str, to: Path) -> Path:
        """Write a file of the job to `to`, which may be a folder; the file appears there once it is whole.

        A connection that breaks is taken up where it broke. Of a flow it is the newest step's file of that name; an
        artifact's own `job_id` names one exactly. Raises UnknownJob, PermanentError when there is no such file, and
        DamagedArtifact when it came with another content than was published.
        """
        with Download(job_id, name, to) as download:
            tries = 0
            while True:
                tries += 1
                call = download.call()
                try:
                    with self._bring(call) as response:
                        if download.begin(response):
                            for received in response.iter_bytes():
                                download.write(received)
                            return download.finish()
                        response.read()
                    pause = download.pause_after(response, tries, self._tries, random.random())
                    if pause is None:
                        raise refusal(self._target, call, response)
                except httpx.TransportError as broken:
                    pause = self._pause_after_break(call, broken, tries)
                time.sleep(pause)

    # ------------------------------------------------------------------------------------------ many jobs

    def jobs(
        self,
        status: JobState | str | None = None,
        *,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """The newest jobs that match all filters, without their results; `limit` is 1 to 1,000 for a page."""
        return self._do(_calls.jobs(status, task_name, queue, user_id, limit, cursor))

    def iter_jobs(
        self,
        status: JobState | str | None = None,
        *,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[JobStatus]:
        """All jobs that match, newest first, over as many pages as it takes."""
        cursor: str | None = None
        while True:
            page = self.jobs(status, task_name=task_name, queue=queue, user_id=user_id, limit=page_size, cursor=cursor)
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        return self._do(_calls.counts())

    def tasks(self) -> list[TaskInfo]:
        """Every task that can be submitted, with its JSON Schemas."""
        return self._do(_calls.tasks())

    def events(self, job_id: str | None = None, *, batch_id: str | None = None) -> Iterator[Event]:
        """What happens from now on, to one job and its steps, to one batch, or to all of them, without an end.

        A stream that breaks is taken up after the last event that came; when that is too long ago, an event `reset`
        comes instead of those that were missed.
        """
        reader = EventReader()
        tries = 0
        while True:
            call = _calls.events(job_id, reader.last_id, batch_id)
            tries += 1
            try:
                with self._listen(call) as response:
                    if not response.is_success:
                        response.read()
                        pause = pause_after_answer(call, response, tries, self._tries, random.random())
                        if pause is None:
                            raise refusal(self._target, call, response)
                    else:
                        for received in response.iter_bytes():
                            tries = 0
                            yield from reader.feed(received)
                        raise httpx.RemoteProtocolError("the stream of events ended")
            except httpx.TransportError as broken:
                pause = self._pause_after_break(call, broken, max(1, tries))
            reader.restart()
            time.sleep(pause)

    # ------------------------------------------------------------------------------------------ operating

    def queues(self) -> list[QueueStatus]:
        """Every queue now, the one that is worth most first."""
        return self._do(_calls.queues())

    def pause(self, queue: str) -> None:
        """Start no more jobs of the queue; those that run go on."""
        self._do(_calls.pause(queue))

    def resume(self, queue: str) -> None:
        """Start jobs of the queue again."""
        self._do(_calls.resume(queue))

    def nodes(self) -> list[NodeStatus]:
        """Every node of the cluster, the head first: its state, slots, cards, and the jobs that run there.

        Takes a key that is not bound to one user.
        """
        return self._do(_calls.nodes())

    def drain(self, node: str, deadline_seconds: float = 300.0, reason: str = "") -> NodeStatus:
        """Take a node out of service: it gets nothing new, and what runs there ends or goes on elsewhere.

        Args:
            node: its id or the beginning of it, its IP address, or its host name.
            deadline_seconds: what still runs after so long is interrupted, and goes on from its checkpoint.
            reason: for people.

        Raises UnknownNode, InvalidTransition for a node that is gone and for the head, InvalidArguments.
        """
        return self._do(_calls.drain(node, deadline_seconds, reason))

    def dead_letters(self, limit: int = 100, cursor: str | None = None) -> DeadLetterPage:
        """The jobs that failed for good, the one that failed first first."""
        return self._do(_calls.dead_letters(limit, cursor))

    def iter_dead_letters(self, page_size: int = 100) -> Iterator[DeadLetter]:
        """All of them, over as many pages as it takes."""
        cursor: str | None = None
        while True:
            page = self.dead_letters(page_size, cursor)
            yield from page.dead_letters
            cursor = page.next_cursor
            if cursor is None:
                return

    def dead_letter(self, job_id: str) -> DeadLetter:
        """One of them, with its arguments and traceback. Raises UnknownJob when it is not in the queue."""
        return self._do(_calls.dead_letter(job_id))

    def replay(self, job_ids: Iterable[str]) -> list[str]:
        """Run dead-lettered jobs once more, with all their retries restored; returns those that were in the queue."""
        return self._do(_calls.settle("retry", job_ids))

    def replay_all(self) -> list[str]:
        """Run every dead-lettered job once more; returns their ids."""
        return self._do(_calls.settle("retry", None))

    def discard(self, job_ids: Iterable[str]) -> list[str]:
        """Take jobs out of the dead-letter queue without running them; returns those that were in it."""
        return self._do(_calls.settle("remove", job_ids))

    def discard_all(self) -> list[str]:
        """Empty the dead-letter queue; returns the ids of the jobs that were in it."""
        return self._do(_calls.settle("remove", None))

    # ------------------------------------------------------------------------------------------ money

    def spending(self, job_id: str | None = None, user_id: str | None = None, limit: int = 100) -> list[Entry]:
        """Paid calls: all of a job and a flow's steps, oldest first; or the newest of a user or of everybody.

        Args:
            limit: how many of the newest, 1 to 1,000.

        Raises UnknownJob.
        """
        return self._do(_calls.spending(job_id, user_id, limit))

    def allow_call(self, key: str) -> Entry:
        """Let an uncertain call be made and paid again by the next attempt that wants it, as by a replay of its job.

        Raises UnknownJob when the journal does not have it, InvalidTransition when it is not uncertain.
        """
        return self._do(_calls.allow_call(key))

    def audit(self, limit: int = 100, cursor: str | None = None) -> AuditPage:
        """Who paused, drained, cancelled, replayed, set a budget, made or revoked a key: the newest first."""
        return self._do(_calls.audit(limit, cursor))

    def budgets(self) -> list[Budget]:
        """What each user may spend this month in US dollars, for those who have a budget or have spent something."""
        return self._do(_calls.budgets())

    def set_budget(self, user_id: str, limit_usd: float | None) -> Budget:
        """Let a user spend so many US dollars in a calendar month (UTC); None: as the settings there say."""
        return self._do(_calls.set_budget(user_id, limit_usd))

    def models(self) -> list[ModelStatus]:
        """What each model costs in US dollars, how much it may be asked, and how many calls it runs now."""
        return self._do(_calls.models())

    # ------------------------------------------------------------------------------------------ webhooks

    def webhook_secret(self, user_id: str | None = None) -> WebhookSecret:
        """What notices of one's batches are signed with (Standard Webhooks); a user is named by keys that have none."""
        return self._do(_calls.webhook_secret(user_id))

    def rotate_webhook_secret(self, user_id: str | None = None) -> WebhookSecret:
        """Make a new secret; for a day notices are signed with the old one, too."""
        return self._do(_calls.rotate_webhook_secret(user_id))

    # ------------------------------------------------------------------------------------------ sending

    def _do(self, call: Call[T], deadline: Deadline | None = None) -> T:
        tries = 0
        while True:
            tries += 1
            try:
                response = self._send(call, deadline)
                pause = pause_after_answer(call, response, tries, self._tries, random.random())
                if pause is None:
                    return read(self._target, call, response)
            except httpx.TransportError as broken:
                if deadline is not None and deadline.left <= 0:
                    raise deadline.too_late() from broken
                pause = self._pause_after_break(call, broken, tries)
            time.sleep(pause_within(deadline, pause))

    def _send(self, call: Call[Any], deadline: Deadline | None) -> httpx.Response:
        size = {} if call.file is None else {"Content-Length": str(call.file.stat().st_size)}
        return self._http.request(
            call.method,
            call.path,
            params=call.params,
            content=call.body if call.file is None else _parts(call.file),
            headers={**call.headers, **size},
            timeout=httpx.Timeout(
                within(deadline, self._timeout), read=within(deadline, max(self._timeout, call.answer_within))
            ),
        )

    def _pause_after_break(self, call: Call[Any], broken: httpx.TransportError, tries: int) -> float:
        pause = pause_after_break(call, broken, tries, self._tries, random.random())
        if pause is None:
            raise unreachable(self._target, call, tries, broken) from broken
        return pause

    @contextmanager
    def _bring(self, call: Call[bytes]) -> Iterator[httpx.Response]:
        """The streamed answer: the API's own, or that of the object store to which it redirects."""
        with self._http.stream(call.method, call.path, headers=call.headers) as answer:
            link = sent_on(answer)
            if link is None:
                yield answer
                return
            answer.read()
        with closing(self._http.send(link, stream=True)) as stored:
            stored.history = [answer]
            yield stored

    def _listen(self, call: Call[bytes]) -> AbstractContextManager[httpx.Response]:
        silence = httpx.Timeout(self._timeout, read=SILENCE)
        return self._http.stream(call.method, call.path, params=call.params, headers=call.headers, timeout=silence)

    def _follow(self, call: Call[bytes], patience: Patience, ended: Callable[[], bool]) -> bool:
        """Listen until it has ended; False when the stream broke, or there is no time left to listen."""
        reader, heard = EventReader(), False
        try:
            with self._listen(call) as response:
                if not response.is_success:
                    patience.events_work = False
                    return False
                # What ended before the stream began is not told by it.
                if ended():
                    return True
                for received in response.iter_bytes():
                    heard = True
                    if patience.should_look(reader.feed(received)) and ended():
                        return True
                    if not patience.can_follow:
                        return False
        except httpx.TransportError:
            pass
        patience.events_work = heard
        return False

    def _traceback(self, job_id: str) -> str:
        try:
            return (self.dead_letter(job_id)).traceback
        except (UnknownJob, AccessDenied):
            return ""


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_PART):
            yield part
