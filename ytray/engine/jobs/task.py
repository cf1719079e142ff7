"""`@task`: a function that can be called here, or submitted to run durably somewhere on the cluster."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Generic, ParamSpec, TypeVar

from pydantic_core import to_json

from ytray.engine.base import tracing, values
from ytray.engine.base.arguments import Signature
from ytray.engine.base.context import running_job
from ytray.engine.base.imports import broken_imports, told_of
from ytray.engine.base.limits import check_limits, limits_in_force
from ytray.engine.base.model import DEFAULT_PRIORITY, QUEUE_PRIORITIES, queue_of_module
from ytray.engine.base.names import checked_word, did_you_mean
from ytray.engine.base.retry import RetryPolicy, is_delay
from ytray.engine.jobs.job import Job, new_job_id, new_job_ids
from ytray.engine.state.code import reference, shipped_in
from ytray.engine.state.connection import running_store
from ytray.engine.state.link import CodeNotStored
from ytray.engine.state.ownership import check_arguments
from ytray.engine.state.store import Store, Submission
from ytray.errors import InvalidArguments, PayloadTooLarge, UnknownTask
from ytray.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_MAP = 100_000  # jobs: one atomic submission keeps Redis busy for about 20 µs a job
_BUILT_IN = ("ytray.tasks.generation", "ytray.tasks.media", "ytray.tasks.processing")


@dataclass(frozen=True, slots=True)
class Options:
    """What one submission sets differently from its task. None: as the task says."""

    queue: str | None = None
    priority: int = DEFAULT_PRIORITY
    delay: float = 0.0
    idempotency_key: str | None = None
    user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    soft_time_limit: float | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.queue is not None and self.queue not in QUEUE_PRIORITIES:
            raise InvalidArguments(f"there is no queue {self.queue!r}{did_you_mean(str(self.queue), QUEUE_PRIORITIES)}")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int) or not 0 <= self.priority <= 9:
            raise InvalidArguments(f"priority is a whole number from 0 to 9, not {self.priority!r}")
        if not is_delay(self.delay):
            raise InvalidArguments(f"delay is in seconds, from 0 to a year, not {self.delay!r}")
        for name, value in (("an idempotency key", self.idempotency_key), ("a user id", self.user_id)):
            if value is not None:
                checked_word(value, name)
        if not isinstance(self.metadata, Mapping) or not all(isinstance(name, str) for name in self.metadata):
            raise InvalidArguments(f"metadata is a mapping of names to values, not {self.metadata!r:.80}")
        try:
            check_limits(self.soft_time_limit, self.time_limit)
        except ValueError as wrong:
            raise InvalidArguments(str(wrong)) from None


_DEFAULTS = Options()


class Task(Generic[P, R]):
    """A function with a queue, a retry policy and time limits. Made by `@task`."""

    lane: str | None = None  # where its jobs wait, when that is not their queue

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        soft_time_limit: float | None = None,
        time_limit: float | None = None,
        gpu: float = 0.0,
        public: bool = True,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        try:
            checked_word(self.name, "the name of a task")
        except InvalidArguments as wrong:
            raise ValueError(str(wrong)) from None
        self.queue = queue or queue_of_module(function.__module__)
        self.retry = retry or RetryPolicy()
        self.gpu = gpu
        self.is_public = public
        Options(queue=self.queue)
        if not 0 <= gpu <= 1:
            raise ValueError(f"task {self.name}: gpu is a share of one card, from 0 to 1, not {gpu!r}")
        try:
            check_limits(soft_time_limit, time_limit)
        except ValueError as wrong:
            raise ValueError(f"task {self.name}: {wrong}") from None
        self.soft_time_limit, self.time_limit = limits_in_force(soft_time_limit, time_limit)
        self.signature = Signature(function, self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as the plain function it is."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name} on queue {self.queue}>"

    def __getstate__(self) -> dict[str, Any]:
        # The Pydantic models are made again where they are needed; they do not pickle well.
        return {key: value for key, value in self.__dict__.items() if key not in ("signature", "_reference", "_head")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.signature = Signature(self.function, self.name)

    def delay(self, *args: Any, **kwargs: Any) -> Job[R]:
        """Submit one job; it is durable when this returns.

        `metadata` and `user_id` are the job's own unless the function has parameters of these names.
        Raises InvalidArguments, PayloadTooLarge, IdempotencyConflict, ForeignArtifact; then nothing was submitted.
        """
        return self.submit(_DEFAULTS, args, kwargs)

    def options(self, **chosen: Any) -> Submitter[P, R]:
        """Choose queue, priority (0–9), delay (s), idempotency_key, user_id, metadata or time limits (s) for a call."""
        return Submitter(self, self._options(chosen))

    def map(self, items: Iterable[Mapping[str, Any]]) -> list[Job[R]]:
        """Submit one job for each mapping of keyword arguments: all of them or, when one is wrong, none."""
        return self.submit_all(_DEFAULTS, items)

    def submit(self, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job[R]:
        """What `.delay` does, with the options given."""
        own = {name: kwargs.pop(name) for name in ("metadata", "user_id") if name in kwargs and self._is_own(name)}
        if own:
            options = replace(options, **own)
        limit = settings().max_payload
        if options.idempotency_key is None:
            return self._accept(options, [self.signature.encode(args, kwargs, limit)])[0]
        payload, canonical = self.signature.encode_canonically(args, kwargs, limit)
        return self._accept(options, [payload], canonical)[0]

    def submit_all(self, options: Options, items: Iterable[Mapping[str, Any]]) -> list[Job[R]]:
        """What `.map` does, with the options given."""
        if options.idempotency_key is not None:
            raise InvalidArguments("an idempotency key names one job, and .map submits many")
        limit = settings().max_payload
        payloads = []
        for place, item in enumerate(items):
            try:
                payloads.append(self.signature.encode((), item, limit))
            except (InvalidArguments, PayloadTooLarge) as wrong:
                raise type(wrong)(f"item {place}: {wrong}; nothing was submitted") from None
        if len(payloads) > LARGEST_MAP:
            raise PayloadTooLarge(
                f".map takes at most {LARGEST_MAP:,} jobs at once, not {len(payloads):,}: split the list"
            )
        return self._accept(options, payloads) if payloads else []

    def _is_own(self, name: str) -> bool:
        return not self.signature.takes(name)

    def _options(self, chosen: dict[str, Any]) -> Options:
        names = Options.__dataclass_fields__
        for name in chosen:
            if name not in names:
                raise InvalidArguments(f"there is no option {name!r}{did_you_mean(name, names)}")
        return Options(**chosen)

    def _accept(self, options: Options, payloads: list[bytes], canonical: bytes | None = None) -> list[Job[R]]:
        where = running_store()
        parent = running_job()
        if parent is None:  # what a job submits is decided when it is read
            check_arguments(where, options.user_id, payloads)
        with tracing.submission(self.name) as trace:
            head = self.spec_head(options, where, trace)
            if parent is not None and parent.steps is not None:
                parent.steps.make_room(len(payloads), where.states)
                ids = [parent.steps.id_of(self.name, payload) for payload in payloads]
            else:
                ids = [new_job_id()] if len(payloads) == 1 else new_job_ids(len(payloads))
            queue = options.queue or self.queue
            user = options.user_id or (parent.user_id if parent is not None else None) or ""
            jobs = [(job_id, head + payload + b"}") for job_id, payload in zip(ids, payloads, strict=True)]
            what = Submission(
                task=self.name,
                queue=queue,
                lane=self.lane or queue,
                priority=options.priority,
                user=user,
                parent=parent.id if parent is not None and parent.is_flow else "",
                key=options.idempotency_key or "",
                # What was accepted before version 2 has the digest of its bytes alone.
                digest="" if canonical is None else self.digest_of(payloads[0]),
                same="" if canonical is None else self.digest_of(canonical),
                delay_ms=round(options.delay * 1000),
                generation=parent.generation if parent is not None and parent.is_flow else 0,
                code=shipped_in(self._code(where)),
            )
            try:
                accepted = where.submit(jobs, what)
            except CodeNotStored:  # it expired, or was lost with a part of Redis
                self._ship_again(where)
                accepted = where.submit(jobs, what)
        if parent is not None and parent.steps is not None:
            parent.steps.submitted(accepted)
        decode = self.signature.decode_result
        return [Job(job_id, decode) for job_id in accepted]

    def spec_head(self, options: Options, where: Store, trace: str | None) -> bytes:
        """The stored description of a job up to its arguments: {"code":…,"args":"""
        if options is _DEFAULTS and trace is None:
            known: tuple[Store, bytes] | None = self.__dict__.get("_head")
            if known is not None and known[0] is where:
                return known[1]
        spec: dict[str, Any] = {"code": self._code(where)}
        if self.gpu:
            spec["gpu"] = self.gpu
        if options.soft_time_limit is not None or options.time_limit is not None:
            spec["soft"], spec["hard"] = limits_in_force(
                options.soft_time_limit, options.time_limit, self.soft_time_limit, self.time_limit
            )
        if trace is not None:
            spec["trace"] = trace
        head = to_json(spec)[:-1] + b',"args":'
        if options.metadata:
            head = b'{"metadata":' + values.write(dict(options.metadata), "metadata") + b"," + head[1:]
        if options is _DEFAULTS and trace is None:
            self.__dict__["_head"] = (where, head)
        return head

    def digest_of(self, arguments: bytes) -> str:
        """A digest that identifies a call of this task with these arguments."""
        return sha256(self.name.encode() + b"\0" + arguments).hexdigest()[:32]  # no name has a NUL

    def _code(self, where: Store) -> str:
        known: tuple[Store, str] | None = self.__dict__.get("_reference")
        if known is None or known[0] is not where:
            known = (where, reference(self, self.function, where))
            self.__dict__["_reference"] = known
        return known[1]

    def keep_code(self, where: Store) -> None:
        """Make sure that code which a script shipped is stored for as long as its jobs may need it."""
        digest = shipped_in(self._code(where))
        if digest and where.call("keep_code", f"code:{digest}"):
            self._ship_again(where)

    def _ship_again(self, where: Store) -> None:
        self.__dict__["_reference"] = (where, reference(self, self.function, where))


@dataclass(frozen=True, slots=True)
class Submitter(Generic[P, R]):
    """A task with options chosen: `resize.options(priority=9).delay("a.png", width=640)`."""

    task: Task[P, R]
    chosen: Options

    def delay(self, *args: Any, **kwargs: Any) -> Job[R]:
        """Submit one job, as `Task.delay` does."""
        return self.task.submit(self.chosen, args, kwargs)

    def map(self, items: Iterable[Mapping[str, Any]]) -> list[Job[R]]:
        """Submit many jobs at once, as `Task.map` does."""
        return self.task.submit_all(self.chosen, items)


_registry: dict[str, Task[..., Any]] = {}


def register(made: Task[..., Any]) -> None:
    """Make a task known by its name. Raises ValueError when the name belongs to another function."""
    other = _registry.get(made.name)
    if other is not None and (other.function.__module__, other.function.__qualname__) != (
        made.function.__module__,
        made.function.__qualname__,
    ):
        raise ValueError(
            f"two tasks are named {made.name!r}: {other.function.__module__}.{other.function.__qualname__} and "
            f"{made.function.__module__}.{made.function.__qualname__}; give one of them @task(name=…)"
        )
    _registry[made.name] = made


def task(
    *,
    name: str | None = None,
    queue: str | None = None,
    retry: RetryPolicy | None = None,
    soft_time_limit: float | None = None,
    time_limit: float | None = None,
    gpu: float = 0.0,
    public: bool = True,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task.

    Args:
        name: what the task is called in listings and metrics; the function's name by default.
        queue: default, generation, media or batch; by default the one that serves the function's module.
        retry: when a failed attempt is tried again.
        soft_time_limit: seconds after which SoftTimeLimitExceeded is raised inside the task; 25 minutes, or five
            sixths of a shorter `time_limit`.
        time_limit: seconds after which its process, and the processes that it started, are killed; 30 minutes, or six
            fifths of a longer `soft_time_limit`.
        gpu: the share of a card that a job takes, 0 to 1, where a node of its queue has one; elsewhere it runs without.
        public: whether users with API keys of their own may submit it.

    Raises InvalidArguments for an unknown queue, ValueError for wrong limits, a wrong share or a name already taken,
    TypeError for parameters that cannot be given by name.
    """

    def made(function: Callable[P, R]) -> Task[P, R]:
        result = Task(
            function,
            name=name,
            queue=queue,
            retry=retry,
            soft_time_limit=soft_time_limit,
            time_limit=time_limit,
            gpu=gpu,
            public=public,
        )
        register(result)
        return result

    return made


def find(name: str) -> Task[..., Any]:
    """The task of that name, among the built-in ones and those of YTRAY_IMPORTS. Raises UnknownTask."""
    known = all_tasks()
    if name not in known:
        raise UnknownTask(
            f"there is no task {name!r}{did_you_mean(name, known)}; modules with your own tasks go into YTRAY_IMPORTS"
            + told_of(broken_imports())
        )
    return known[name]


def all_tasks() -> dict[str, Task[..., Any]]:
    """Every task by name: the built-in ones, what can be imported of YTRAY_IMPORTS, and what else was imported."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    # A module that broke half way has left tasks behind that no worker could import.
    broken = broken_imports()
    return {
        name: made
        for name, made in _registry.items()
        if not any(f"{made.function.__module__}.".startswith(f"{module}.") for module in broken)
    }
