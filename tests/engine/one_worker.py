"""A program: submits two jobs to the Redis given and runs them here, as a worker does. Prints its spans as JSON lines.

It is a process of its own since a worker takes over the process: its log, its signals, its tracer provider.
"""

from __future__ import annotations

import json
import logging
import sys

from opentelemetry import trace

from ytray import task
from ytray.engine.run.setup import pack_setup, unpack_setup
from ytray.engine.run.worker import Worker
from ytray.engine.state.store import LaneRoom
from ytray.settings import settings


@task()
def chatter(word: str) -> str:
    logging.getLogger("my.own").warning("saying %s", word)
    if word == "no":
        raise ValueError("would not say it")
    return word


def main(redis_url: str) -> None:
    store = unpack_setup(pack_setup(redis_url, settings()))
    store.take_office("tracker", "e", 60)
    with trace.get_tracer("somebody").start_as_current_span("somebody's request"):
        chatter.delay("yes")
        chatter.delay("no")
    (claimed,) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 2)])
    Worker(store).run(claimed)
    imported = sys.modules.get("tests.engine.tracing_for_tests")
    for span in imported.exporter.get_finished_spans() if imported is not None else ():
        told = {
            "name": span.name,
            "trace": span.context.trace_id,
            "id": span.context.span_id,
            "parent": span.parent.span_id if span.parent is not None else None,
            "job": (span.attributes or {}).get("ytray.job_id"),
            "seconds": ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
            "failed": not span.status.is_ok and bool(span.events),
        }
        print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
