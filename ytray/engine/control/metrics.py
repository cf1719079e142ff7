"""Prometheus metrics, read from Redis when scraped: they are true across restarts and the same from every process.

The engine counts in the scripts that make the moves. The helpers here (`track_task_start` and the others) count, under
the same names, work that runs elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ytray.engine.base.model import MICRO, QUEUE_PRIORITIES, JobState
from ytray.engine.base.names import checked_word, joined, unescaped
from ytray.engine.run.breaker import breaker_states
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store
from ytray.settings import settings

BUCKETS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)  # seconds; lua/complete.lua has the same
_ENDS = ("done", "failed", "uncertain")  # of a paid call
_BREAKER_LEVELS = {"closed": 0, "half_open": 1, "open": 2}


def track_task_start(task_name: str, queue: str) -> None:
    """Count a task that started elsewhere."""
    _count(_name("tasks", queue, task_name, "started"))


def track_task_complete(task_name: str, duration: float, queue: str) -> None:
    """Count a task that completed elsewhere after `duration` seconds."""
    bucket = next((str(int(edge * 1000)) for edge in BUCKETS if duration <= edge), "+Inf")
    _count(
        _name("tasks", queue, task_name, "completed"),
        _name("seconds", task_name, "count"),
        _name("seconds", task_name, bucket),
        milliseconds=(_name("seconds", task_name, "ms"), round(duration * 1000)),
    )


def track_task_failure(task_name: str, queue: str) -> None:
    """Count a task that failed elsewhere."""
    _count(_name("tasks", queue, task_name, "failed"))


def track_task_retry(task_name: str, retry_count: int) -> None:
    """Count a retry elsewhere, the `retry_count`-th of its task."""
    _count(_name("retries", task_name, str(retry_count)))


def update_queue_depth(queue: str, depth: int) -> None:
    """Set the depth of a queue that is kept elsewhere; ytray's own queues are counted by themselves."""
    store().redis.hset(store().key("gauges"), _name("depth", queue), depth)


def update_workers(count: int) -> None:
    """Set how many workers are active elsewhere; they are added to ytray's own."""
    store().redis.hset(store().key("gauges"), "workers", count)


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StoreCollector())
    return generate_latest(registry)


class StoreCollector(Collector):
    """A prometheus_client collector over the connected system's store."""

    def collect(self) -> Iterable[Metric]:
        """Every metric of the system, as it is in Redis now."""
        where = store()
        now_ms = where.now_ms()
        pipe = where.redis.pipeline(transaction=True)
        pipe.hgetall(where.key("m"))
        pipe.hgetall(where.key("gauges"))
        pipe.zcard(where.key("dlq"))
        pipe.zcount(where.key("workers"), now_ms, "+inf")
        pipe.hgetall(where.key("nodes"))
        pipe.hgetall(where.key("slots"))
        pipe.hgetall(where.key("parts"))
        pipe.hgetall(where.key("part_restarts"))
        for queue in QUEUE_PRIORITIES:
            pipe.zcard(where.key(f"ready:{queue}"))
            pipe.zcard(where.key(f"in:{queue}:{JobState.EXECUTING}"))
        counters, gauges, dead, workers, nodes, slots, parts, restarts, *sizes = pipe.execute()
        counted = _Counted(counters)
        yield from counted.metrics()
        yield from _gauges(_numbers(gauges), dead, workers, sizes)
        yield from _cluster(nodes, slots)
        yield _restarts(parts, restarts)
        yield from _batches(where)


# How many words of a counter's name come before and after the one that users choose; versions before 2 wrote that one
# as it is, so that it may have taken several places.
_AROUND: Final = {"tasks": (1, 1), "seconds": (0, 1), "retries": (0, 1), "calls": (1, 1), "cost": (1, 0)}


def _read_counter(name: str) -> tuple[str, tuple[str, ...]]:
    """The kind of a counter and its labels, from its name in the hash `m`."""
    kind, *words = name.split("|")
    before, after = _AROUND.get(kind, (0, 0))
    if kind in _AROUND and len(words) > before + 1 + after:
        words[before : len(words) - after] = ["|".join(words[before : len(words) - after])]
        return kind, tuple(words)
    return kind, tuple(map(unescaped, words))


class _Counted:
    """The counters of the hash `m`, by the first word of their names."""

    def __init__(self, stored: dict[bytes, bytes]) -> None:
        sums: dict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        for name, value in stored.items():
            kind, labels = _read_counter(name.decode(errors="backslashreplace"))
            with suppress(ValueError):  # somebody has stored something else there
                # Versions before 2 count under other names for the same words.
                sums[kind, labels] += float(value)
        self._by_kind: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
        for (kind, labels), number in sums.items():
            self._by_kind[kind].append((labels, number))

    def metrics(self) -> Iterator[Metric]:
        """The counter and histogram families."""
        prefix = settings().metrics_namespace
        yield self._counter(f"{prefix}_tasks", "Jobs, by outcome.", "tasks", ["queue", "task_name", "status"])
        yield self._counter(
            f"{prefix}_task_retries", "Retries, by which of its job's it was.", "retries", ["task_name", "retry_count"]
        )
        yield self._counter(f"{prefix}_stale_writes", "Writes refused because their fence was old.", "stale", [])
        yield self._counter(f"{prefix}_dead_letters", "Jobs that entered the dead-letter queue.", "dead", [])
        yield self._counter(
            f"{prefix}_unreadable_jobs",
            "Jobs that were taken out of a queue since what Redis has of them is missing or damaged.",
            "unreadable",
            [],
        )
        yield self._counter(
            f"{prefix}_jobs_handed_over",
            "Jobs that went back to their queue as their node was drained or their worker stopped.",
            "handed_over",
            ["queue"],
        )
        yield self._counter(f"{prefix}_alerts", "Webhook alerts, by outcome.", "alerts", ["outcome"])
        yield self._counter(f"{prefix}_batches", "Batches, submitted and by how they ended.", "batches", ["outcome"])
        yield self._counter(
            f"{prefix}_batch_items", "Items of batches, submitted and by how they ended.", "items", ["outcome"]
        )
        yield from self._durations(prefix)
        yield from self._waits(prefix)
        yield from self._spending(prefix)

    def _of(self, kind: str, labels: int) -> list[tuple[tuple[str, ...], float]]:
        return [(values, value) for values, value in self._by_kind[kind] if len(values) == labels]

    def _counter(self, name: str, text: str, kind: str, labels: list[str]) -> Metric:
        family = CounterMetricFamily(name, text, labels=labels)
        found = self._of(kind, len(labels))
        for values, value in found:
            family.add_metric(values, value)
        if not labels and not found:
            family.add_metric([], 0)
        return family

    def _durations(self, prefix: str) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            f"{prefix}_task_duration_seconds", "How long completed attempts ran.", labels=["task_name"]
        )
        by_task: dict[str, dict[str, float]] = defaultdict(dict)
        for labels, value in self._of("seconds", 2):
            by_task[labels[0]][labels[1]] = value
        for task, parts in by_task.items():
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for edge in BUCKETS:
                total += parts.get(str(int(edge * 1000)), 0)
                buckets.append((str(edge), total))
            buckets.append(("+Inf", parts.get("count", 0)))
            family.add_metric([task], buckets=buckets, sum_value=parts.get("ms", 0) / 1000)
        yield family

    def _waits(self, prefix: str) -> Iterator[Metric]:
        seconds = CounterMetricFamily(
            f"{prefix}_queue_wait_seconds",
            "Time that started jobs had waited, summed.",
            labels=["queue"],
        )
        starts = CounterMetricFamily(f"{prefix}_queue_starts", "Jobs started, by queue.", labels=["queue"])
        for (queue, part), value in self._of("wait", 2):
            if part == "ms":
                seconds.add_metric([queue], value / 1000)
            else:
                starts.add_metric([queue], value)
        yield seconds
        yield starts

    def _spending(self, prefix: str) -> Iterator[Metric]:
        cost = CounterMetricFamily(
            f"{prefix}_cost_usd", "What paid calls have cost, in US dollars.", labels=["provider", "model"]
        )
        for model, micro_usd in self._of("cost", 2):
            cost.add_metric(model, micro_usd / MICRO)
        yield cost
        calls = CounterMetricFamily(
            f"{prefix}_paid_calls",
            "Paid calls that were intended, and how they ended.",
            labels=["provider", "model", "outcome"],
        )
        # A series that begins at 1 has not increased in Prometheus' eyes, so each end is there from the first call on.
        counted = {(model[0], model[1], end): 0.0 for model, _ in self._of("calls", 3) for end in _ENDS}
        counted |= {(provider, model, outcome): value for (provider, model, outcome), value in self._of("calls", 3)}
        for labels, value in counted.items():
            calls.add_metric(labels, value)
        yield calls


def _numbers(stored: dict[bytes, bytes]) -> dict[str, float]:
    """A hash of numbers, without what is none."""
    found = {}
    for name, value in stored.items():
        with suppress(ValueError):
            found[name.decode(errors="replace")] = float(value)
    return found


def _gauges(given: dict[str, float], dead: int, workers: int, sizes: list[int]) -> Iterator[Metric]:
    prefix = settings().metrics_namespace
    depth = GaugeMetricFamily(f"{prefix}_queue_depth", "Jobs waiting in the queue.", labels=["queue"])
    executing = GaugeMetricFamily(f"{prefix}_queue_executing", "Jobs of the queue in flight.", labels=["queue"])
    for place, queue in enumerate(QUEUE_PRIORITIES):
        depth.add_metric([queue], sizes[2 * place])
        executing.add_metric([queue], sizes[2 * place + 1])
    for name, value in given.items():
        kind, _, queue = name.partition("|")
        if kind == "depth" and unescaped(queue) not in QUEUE_PRIORITIES:
            depth.add_metric([unescaped(queue)], value)
    yield depth
    yield executing
    active = GaugeMetricFamily(f"{prefix}_active_workers", "Workers that are running jobs.")
    active.add_metric([], workers + given.get("workers", 0))
    yield active
    letters = GaugeMetricFamily(f"{prefix}_dead_letter_depth", "Jobs in the dead-letter queue.")
    letters.add_metric([], dead)
    yield letters
    breakers = GaugeMetricFamily(f"{prefix}_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["dependency"])
    for state in breaker_states():
        breakers.add_metric([state.name], _BREAKER_LEVELS[state.state])
    yield breakers


def _cluster(nodes: dict[bytes, bytes], slots: dict[bytes, bytes]) -> Iterator[Metric]:
    """What the tracker saw last of Ray's nodes."""
    prefix = settings().metrics_namespace
    states = GaugeMetricFamily(f"{prefix}_nodes", "Nodes of the Ray cluster.", labels=["state"])
    for state, number in _numbers(nodes).items():
        states.add_metric([state], number)
    yield states
    offered = GaugeMetricFamily(
        f"{prefix}_queue_slots",
        "Jobs of the queue that the nodes can run at once; drained ones none.",
        labels=["queue"],
    )
    for queue, number in _numbers(slots).items():
        offered.add_metric([queue], number)
    yield offered


def _restarts(parts: dict[bytes, bytes], restarts: dict[bytes, bytes]) -> Metric:
    """How often the parts of the machine of `ytray up` were started again; those that never were count, too."""
    family = CounterMetricFamily(
        f"{settings().metrics_namespace}_part_restarts", "Times that a part was started again.", labels=["part"]
    )
    for name in sorted({*parts, *restarts}):
        family.add_metric([name.decode()], int(restarts.get(name, 0)))
    return family


def _batches(where: Store) -> Iterator[Metric]:
    """The batches that have not ended, by state, and how many of their items wait and are in the making."""
    living = [batch.decode() for batch in where.redis.smembers(where.key("living")) if isinstance(batch, bytes)]
    pipe = where.redis.pipeline(transaction=False)
    for batch in living:
        pipe.hmget(where.key(f"b:{batch}"), ["state", "waiting", "active"])
    prefix = settings().metrics_namespace
    states = dict.fromkeys(("SCHEDULED", "RUNNING", "PAUSED", "CANCELLED"), 0)
    waiting = active = 0
    for found in pipe.execute(raise_on_error=False):
        state, own_waiting, own_active = found if isinstance(found, list) else (None, None, None)
        if state is not None and state.decode(errors="replace") in states:
            states[state.decode()] += 1
            if state in (b"RUNNING", b"PAUSED"):
                with suppress(ValueError):  # a batch that is damaged counts with what can be read
                    waiting += int(own_waiting or 0)
                    active += int(own_active or 0)
    living_batches = GaugeMetricFamily(f"{prefix}_batches_living", "Batches that have not ended.", labels=["state"])
    for name, number in states.items():
        living_batches.add_metric([name], number)
    yield living_batches
    items = GaugeMetricFamily(f"{prefix}_batch_items_left", "Items of running batches.", labels=["state"])
    items.add_metric(["waiting"], waiting)
    items.add_metric(["active"], active)
    yield items


def _name(*words: str) -> str:
    return joined(*(checked_word(word, "a label of a metric") for word in words))


def _count(*names: str, milliseconds: tuple[str, int] | None = None) -> None:
    pipe = store().redis.pipeline(transaction=True)
    for name in names:
        pipe.hincrby(store().key("m"), name, 1)
    if milliseconds is not None:
        pipe.hincrby(store().key("m"), *milliseconds)
    pipe.execute()
