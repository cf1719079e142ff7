"""Every error that ytray raises on purpose. All derive from `YtrayError`."""

from __future__ import annotations


class YtrayError(Exception):
    """Base of all errors raised by ytray."""


class SettingsError(YtrayError):
    """A setting has a value that cannot work; the message names the setting and what it accepts."""


class SystemUnavailable(YtrayError):
    """Redis or Ray cannot be reached or started; the message says which, why, and what to do."""


class PermanentError(YtrayError):
    """Trying again cannot help (bad input, a safety block, an unknown model).

    Raised inside a task it sends the job straight to the dead-letter queue, without a retry.
    """


class ForeignArtifact(PermanentError):
    """A file that a job of a user names is not of that user's jobs."""


class BlockingCall(PermanentError):
    """A flow has blocked, or was about to block, the one thread that all flows share; the message names the call."""


class DiskFull(YtrayError):
    """A file could not be written, since its disk is full; nothing of it is left. A job may be tried again."""


class DamagedArtifact(YtrayError):
    """A copy of an artifact is not what was published, so it was thrown away; trying again may bring a good one."""


class RetryLater(YtrayError):
    """The job cannot run now, through no fault of its own; it waits `seconds` as RETRYING and loses no attempt."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds

    def __reduce__(self) -> tuple[type[RetryLater], tuple[str, float]]:
        return type(self), (self.reason, self.seconds)


class CircuitOpen(RetryLater):
    """A dependency failed too often in a row; its circuit breaker lets nothing through for `seconds`."""


class SoftTimeLimitExceeded(YtrayError):
    """Raised inside a task that has run longer than its soft time limit, so that it can tidy up."""


class TimeLimitExceeded(YtrayError):
    """A task outlived its hard time limit; its process and the processes that it started were killed."""


class Deadlock(PermanentError, RuntimeError):
    """A task waits for a job that cannot run as long as the task keeps its slot; the message says what to do."""


class InvalidArguments(YtrayError, ValueError):
    """The arguments of a submission do not fit the task's signature; nothing was submitted."""


class PayloadTooLarge(YtrayError, ValueError):
    """Arguments, a result or a checkpoint are larger than a job may carry; put files in the artifact store."""


class UnknownTask(YtrayError, LookupError):
    """No task of that name is registered."""


class UnknownJob(YtrayError, LookupError):
    """No job with that id exists (it never did, or its history has been cleaned up)."""


class DamagedJob(YtrayError):
    """What is stored of a job cannot be read: it is damaged, or was written over."""


class UnknownNode(YtrayError, LookupError):
    """No node of the cluster has that id, address or name."""


class InvalidTransition(YtrayError):
    """The job's state does not allow this move; nothing was changed."""


class UnknownBatch(YtrayError, LookupError):
    """No batch with that id exists (it never did, or it has been cleaned up)."""


class DamagedBatch(YtrayError):
    """What is stored of a batch cannot be read: it is damaged, or was written over."""


class InvalidBatchMove(YtrayError):
    """The batch's state does not allow this; nothing was changed."""


class IdempotencyConflict(YtrayError):
    """The idempotency key was used before, with another task or other arguments."""


class StaleFence(YtrayError):
    """This worker's lease on the job has ended and the job belongs to another attempt; its write was refused."""


class AccessDenied(YtrayError):
    """The API key is missing, wrong, revoked, or does not allow this."""


class ResultExpired(YtrayError):
    """The job completed, but its result was kept only for `YTRAY_RESULT_TTL` seconds."""


class JobFailed(YtrayError):
    """The job ended as FAILED and lies in the dead-letter queue."""

    def __init__(self, job_id: str, error: str, traceback: str = "", retry_count: int = 0) -> None:
        super().__init__(f"job {job_id} failed after {retry_count} retries: {error}")
        self.job_id = job_id
        self.error = error
        self.traceback = traceback
        self.retry_count = retry_count

    def __reduce__(self) -> tuple[type[JobFailed], tuple[str, str, str, int]]:
        return type(self), (self.job_id, self.error, self.traceback, self.retry_count)


class JobCancelled(YtrayError):
    """The job was cancelled."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled")
        self.job_id = job_id

    def __reduce__(self) -> tuple[type[JobCancelled], tuple[str]]:
        return type(self), (self.job_id,)
