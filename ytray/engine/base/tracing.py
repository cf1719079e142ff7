"""OpenTelemetry spans of a job: submit → queue → run, one trace, joined by the trace context that the job carries.

Spans are made where the process has a tracer provider (set one up in a module of YTRAY_IMPORTS: workers import those
too); without one this costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ytray.engine.base.error_text import in_words, traceback_of

_propagator = TraceContextTextMapPropagator()


def _is_set_up() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


_NO_SPAN: AbstractContextManager[None] = nullcontext()


def submission(task: str) -> AbstractContextManager[str | None]:
    """A span around a submission; gives the W3C traceparent that the job is to carry, or None."""
    return _submission(task) if _is_set_up() else _NO_SPAN


@contextmanager
def _submission(task: str) -> Iterator[str | None]:
    with trace.get_tracer("ytray").start_as_current_span(f"submit {task}", kind=trace.SpanKind.PRODUCER):
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        yield carrier.get("traceparent")


@contextmanager
def execution(task: str, job_id: str, attempt: int, traceparent: str | None, queued_ns: int) -> Iterator[None]:
    """Spans of the time a job waited (since `queued_ns`, Unix nanoseconds) and of its run, under its submission."""
    if traceparent is None or not _is_set_up():
        yield
        return
    tracer = trace.get_tracer("ytray")
    parent = _propagator.extract({"traceparent": traceparent})
    attributes: dict[str, str | int] = {"ytray.job_id": job_id, "ytray.task": task, "ytray.attempt": attempt}
    tracer.start_span(f"queue {task}", context=parent, start_time=queued_ns, attributes=attributes).end()
    with tracer.start_as_current_span(
        f"run {task}",
        context=parent,
        kind=trace.SpanKind.CONSUMER,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:  # told by us, since a task's error may not let itself be told
            told = in_words(error)
            kind, _, message = told.partition(": ")
            details = {
                "exception.type": kind,
                "exception.message": message,
                "exception.stacktrace": traceback_of(error),
            }
            span.add_event("exception", details)
            span.set_status(trace.StatusCode.ERROR, told)
            raise
