"""A batch as it is made: one picture, drawn anew in a terminal, or a line now and then where there is none."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ytray.cli.backend import Backend
from ytray.cli.batch_words import eta_of, is_over, line_of, retries_of, span, usd
from ytray.cli.output import complaints, console, drawn_anew
from ytray.cli.videos import bar
from ytray.engine.base.model import JobState, JobStatus
from ytray.engine.batch.model import BatchState, BatchStatus, ErrorGroup, Item, ItemState, Stage
from ytray.errors import SystemUnavailable

_MOST_ACTIVE = 100  # items in the making that one look asks for
_MOST_RUNNING = 1000  # running jobs that one look asks for: a page of a listing
_MOST_SHOWN = 8  # items with a line of their own
_MOST_FAILURES = 3
_LINES_ABOVE = 13  # of the screen: what stands above stages, items, retries and failures, and between them
_WIDE = 100  # characters: narrower screens have no room for a bar beside each item
_LINE_EVERY = 30.0  # seconds, where no terminal is
_NAMELESS = re.compile("[0-9a-f]{24}")  # keys that rows without one get from what is in them
_STATE_STYLES = {
    BatchState.SCHEDULED: "cyan",
    BatchState.RUNNING: "green",
    BatchState.PAUSED: "yellow",
    BatchState.COMPLETED: "bold green",
    BatchState.FAILED: "bold red",
    BatchState.CANCELLED: "magenta",
}


@dataclass(frozen=True)
class Look:
    """What is known of a batch at one moment.

    `running` are its items' jobs and their steps, `flows` the tasks among them that were seen to have steps. Each of
    `stages` has how many run now; they keep their order from one look to the next.
    """

    at: datetime
    status: BatchStatus
    active: list[Item]
    running: list[JobStatus]
    errors: list[ErrorGroup]
    stages: list[tuple[Stage, int]]
    flows: frozenset[str]

    @classmethod
    def of(
        cls,
        at: datetime,
        status: BatchStatus,
        active: list[Item],
        running: list[JobStatus],
        errors: list[ErrorGroup],
        before: Look | None,
    ) -> Look:
        """What was read, beside what was read before; `running` may have jobs that are not the batch's."""
        own = _of_batch(running, status.batch_id, active)
        parents = {job.parent_id for job in own}
        flows = frozenset(job.task_name for job in own if job.job_id in parents)
        flows |= before.flows if before else frozenset()
        return cls(at, status, active, own, errors, _stages(status, own, flows, before), flows)


def watch(system: Backend, batch_id: str) -> BatchStatus:
    """Show a batch until it has ended, or is paused and nothing of it runs; returns how it is then.

    A system that cannot be reached is asked again, once it was there. Raises UnknownBatch.
    """
    return _drawn(system, batch_id) if console.is_terminal else _told_in_lines(system, batch_id)


def _drawn(system: Backend, batch_id: str) -> BatchStatus:
    seen, trouble = _look(system, batch_id, None), ""
    with drawn_anew() as live:
        while True:
            now = seen.at if not trouble else datetime.now(UTC)
            live.update(picture(seen, now, console.width, console.height, trouble), refresh=True)
            if is_over(seen.status):
                return seen.status
            time.sleep(system.pace)
            try:
                seen, trouble = _look(system, batch_id, seen), ""
            except SystemUnavailable as error:
                trouble = str(error)


def _told_in_lines(system: Backend, batch_id: str) -> BatchStatus:
    told_at, told_tenth, told_state, told_retries = 0.0, -1, "", set[tuple[str, str]]()
    status = system.batch(batch_id)
    while True:
        tenth = int(status.progress // 10)
        due = time.monotonic() - told_at >= _LINE_EVERY
        if due or tenth != told_tenth or status.state != told_state or is_over(status):
            console.print(line_of(status), soft_wrap=True)
            told_at, told_tenth, told_state = time.monotonic(), tenth, status.state
        for one, line in zip(status.retries, retries_of(status), strict=True):
            if (one.task_name, one.error) not in told_retries:  # each error once: it waits for hours
                told_retries.add((one.task_name, one.error))
                console.print(line, soft_wrap=True)
        if is_over(status):
            return status
        time.sleep(system.pace)
        try:
            status = system.batch(batch_id)
        except SystemUnavailable as error:
            complaints.print(f"{error}; trying again", markup=False, soft_wrap=True)


def _look(system: Backend, batch_id: str, before: Look | None) -> Look:
    status = system.batch(batch_id)
    active = system.batch_items(batch_id, ItemState.ACTIVE, limit=_MOST_ACTIVE, cursor=None).items
    running = system.jobs(
        JobState.EXECUTING, task_name=None, queue=None, user_id=None, limit=_MOST_RUNNING, cursor=None
    ).jobs
    if before is not None and before.status.counts.failed == status.counts.failed:
        errors = before.errors
    else:
        errors = system.batch_errors(batch_id) if status.counts.failed else []
    return Look.of(datetime.now(UTC), status, active, running, errors, before)


def _of_batch(running: list[JobStatus], batch_id: str, active: list[Item]) -> list[JobStatus]:
    """Those of the running jobs that are a batch's items, or steps of them, or steps of those."""
    own = {item.job_id for item in active}
    found = [job for job in running if job.job_id in own or job.parent_id == batch_id]
    own |= {job.job_id for job in found}
    while steps := [job for job in running if job.parent_id in own and job.job_id not in own]:
        own |= {job.job_id for job in steps}
        found += steps
    return found


def _stages(
    status: BatchStatus, running: list[JobStatus], flows: frozenset[str], before: Look | None
) -> list[tuple[Stage, int]]:
    """Each kind of step with how many run now, also those that nothing was done of yet."""
    now = Counter(job.task_name for job in running)
    ids = {job.job_id for job in running}
    known = {stage.task_name: stage for stage in status.stages}
    for job in running:
        if job.parent_id in ids and job.task_name not in flows and job.task_name not in known:
            known[job.task_name] = Stage(
                task_name=job.task_name, queue=job.queue, done=0, mean_seconds=0.0, deviation_seconds=0.0
            )
    seen = [stage.task_name for stage, _ in before.stages] if before else []
    names = [name for name in seen if name in known] + [name for name in known if name not in seen]
    return [(known[name], now[name]) for name in names]


# ---------------------------------------------------------------------------------------------- the picture


def picture(seen: Look, now: datetime, width: int, height: int, trouble: str = "") -> RenderableType:
    """All that is known of a batch, in at most `height` lines of `width` characters."""
    status = seen.status
    stages, shown = seen.stages, _items(seen)
    failures = sorted(seen.errors, key=lambda group: group.last_at, reverse=True)[:_MOST_FAILURES]
    waits = retries_of(status)[:_MOST_FAILURES]
    for_stages, for_items, for_waits, for_failures = _shares(
        [len(stages), min(_MOST_SHOWN, len(shown)), len(waits), len(failures)], height - _LINES_ABOVE
    )
    parts: list[RenderableType] = [_header(status, now), Text()]
    parts += [_wide_bar(status, [one.progress for one in shown], width), _counts(status), Text(), _pace(status)]
    if trouble:
        parts.append(_line(Text(f"{trouble}; trying again", "red")))
    if stages and for_stages:
        parts += [Text(), _stage_table(stages, for_stages)]
    if shown and for_items:
        parts += [Text(), _item_table(shown[:for_items], now, is_wide=width >= _WIDE)]
        if (more := status.counts.active - min(for_items, len(shown))) > 0:
            parts[-1] = Group(parts[-1], Text(f"and {more:,} more", "dim"))
    if waits and for_waits:
        parts += [Text(), *(_line(line) for line in waits[:for_waits])]
    if failures and for_failures:
        parts += [Text(), *(_failure(group) for group in failures[:for_failures])]
    return Group(*parts)


def _shares(wanted: list[int], room: int) -> list[int]:
    """Lines for each of some lists: what they want, or less of the longest ones where the room is short."""
    while sum(wanted) > room and max(wanted) > 1:
        wanted[wanted.index(max(wanted))] -= 1
    return wanted


def _header(status: BatchStatus, now: datetime) -> Text:
    begun = status.started_at or status.created_at
    line = Text.assemble(
        (status.name or status.task_name, "bold"),
        (f"  {status.batch_id}  ", "dim"),
        (status.state, _STATE_STYLES[status.state]),
    )
    if status.state is BatchState.SCHEDULED and status.start_at is not None:
        line.append(f"  starts in {span((status.start_at - now).total_seconds())}", "cyan")
    else:
        line.append(f"  {span(((status.ended_at or now) - begun).total_seconds())}", "dim")
    if status.reason and not status.state.has_ended:
        line.append(f"  {status.reason}", "yellow")
    return _line(line)


def _wide_bar(status: BatchStatus, progress: list[float], width: int) -> Text:
    """All items by their states, and how much of them is made: what is in the making counts by its progress."""
    counts = status.counts
    making = counts.active * sum(progress) / len(progress) / 100 if progress else 0.0
    told = f" {100 * (status.total - counts.left + making) / max(1, status.total):5.1f} %"
    segments = (
        (counts.completed, "█", "green"),
        (counts.failed, "▒", "red"),
        (counts.cancelled + counts.discarded, "▒", "magenta"),
        (making, "▓", "yellow"),
        (counts.active - making, "░", "yellow"),
        (counts.waiting, "░", "bright_black"),
    )
    cells = _cells([number for number, _, _ in segments], max(10, width - len(told)))
    return Text.assemble(
        *((glyph * own, style) for own, (_, glyph, style) in zip(cells, segments, strict=True)), (told, "bold")
    )


def _cells(numbers: Sequence[float], width: int) -> list[int]:
    """Divide a line among numbers; what is there at all gets a cell, so that one failure of many is seen."""
    total = sum(numbers) or 1
    ends = [round(width * end / total) for end in accumulate(numbers)]
    cells = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    for place, number in enumerate(numbers):
        if number and not cells[place]:
            cells[cells.index(max(cells))] -= 1
            cells[place] = 1
    return cells


def _counts(status: BatchStatus) -> Text:
    counts = status.counts
    told = (
        (counts.completed, "completed", "green"),
        (counts.failed, "failed", "red"),
        (counts.cancelled, "cancelled", "magenta"),
        (counts.discarded, "discarded", "magenta"),
        (counts.active, "active", "yellow"),
        (counts.waiting, "waiting", ""),
    )
    line = Text()
    for number, what, style in told:
        if number or what in ("completed", "failed"):
            line.append("● ", style if number else "dim").append(f"{number:,} {what}   ", "" if number else "dim")
    line.append(f"of {status.total:,}", "dim")
    details = (
        (counts.executing, "running"),
        (counts.queued, "queued"),
        (counts.retrying, "to be tried again"),
        (status.reused, "done before"),
    )
    if known := ", ".join(f"{number:,} {what}" for number, what in details if number):
        line.append(f"   ({known})", "dim")
    return _line(line)


def _pace(status: BatchStatus) -> Text:
    told = []
    if not status.state.has_ended and status.state is not BatchState.PAUSED:
        told.append(Text(eta_of(status.eta), "bold") if status.eta else Text("no forecast yet", "dim"))
    if status.items_per_minute is not None:
        told.append(Text(f"{status.items_per_minute:,.1f} a minute"))
    return _line(Text("   ").join([*told, _cost(status)]))


def _cost(status: BatchStatus) -> Text:
    line = Text(usd(status.cost_usd))
    limit = status.budget_usd
    if limit is not None:
        line.append(f" of {limit:.2f}", "dim")
    if status.forecast_usd is not None and not status.state.has_ended:
        over = limit is not None and status.forecast_usd > limit
        line.append(f" → about {usd(status.forecast_usd)}", "bold red" if over else "dim")
        if over:
            line.append(", over the budget", "bold red")
    return line


# ---------------------------------------------------------------------------------------------- its parts


def _stage_table(stages: list[tuple[Stage, int]], room: int) -> Table:
    kept = sorted(stages, key=lambda stage: (stage[1], stage[0].done), reverse=True)[:room]
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for stage, running in (stage for stage in stages if stage in kept):
        took = f"{stage.mean_seconds:.1f} s ± {stage.deviation_seconds:.1f}" if stage.done else ""
        busy = Text(f"{running:,} running" if running else "", "yellow")
        table.add_row(stage.task_name, Text(f"{stage.done:,} done", "dim"), Text(took, "dim"), busy)
    return table


@dataclass(frozen=True)
class _Shown:
    item: Item
    begun: datetime | None  # None: it does not run
    progress: float
    doing: str


def _items(seen: Look) -> list[_Shown]:
    """Items in the making, those that run before those that wait for a slot or a retry."""
    jobs = {job.job_id: job for job in seen.running}
    steps: dict[str | None, list[JobStatus]] = defaultdict(list)
    for running in seen.running:
        steps[running.parent_id].append(running)
    shown = []
    for item in seen.active:
        job = jobs.get(item.job_id or "")
        if job is None:
            state = (item.job_state or JobState.QUEUED).lower()
            shown.append(_Shown(item, None, item.progress, f"{state}: {item.error}" if item.error else state))
            continue
        chain = [job]
        while below := steps[chain[-1].job_id]:
            chain.append(max(below, key=lambda step: step.started_at or step.created_at))
        # A flow tells its own progress, or its only step is a flow that does.
        telling = [one for one in chain if one is job or one.task_name in seen.flows]
        told = [one.progress_message if one in telling else _step(one) for one in chain]
        progress = max(item.progress, *(one.progress for one in telling))
        shown.append(_Shown(item, job.started_at, progress, ": ".join(filter(None, told))))
    return sorted(shown, key=lambda one: one.begun is None)  # stable: else in the order of the input


def _step(job: JobStatus) -> str:
    return f"{job.task_name} {job.progress_message}".rstrip()


def _item_table(shown: list[_Shown], now: datetime, *, is_wide: bool) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for justify in ("right", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for one in shown:
        key = f"line {one.item.line}" if _NAMELESS.fullmatch(one.item.key) else one.item.key
        table.add_row(
            Text(f"#{one.item.number}", "dim"),
            _shortened(key, 28 if is_wide else 18),
            bar(one.progress) if is_wide else Text(f"{one.progress:.0f} %"),
            Text(span((now - one.begun).total_seconds()) if one.begun else "", "dim"),
            Text(one.doing, "dim" if one.begun else "yellow"),
        )
    return table


def _failure(group: ErrorGroup) -> Text:
    where = ", ".join(f"line {example.line}" for example in group.examples[:3])
    return _line(
        Text.assemble(
            (f"✗ {group.count:,}× ", "red"), (f"{group.error_type}: {group.message}", "red"), (f"  {where}", "dim")
        )
    )


def _line(text: Text) -> Text:
    """One line of the screen, whatever its width: what does not fit is cut."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _shortened(told: str, most: int) -> Text:
    return Text(told if len(told) <= most else f"{told[: most - 1]}…")
