"""When a batch will be done, and what it will have cost. Pure.

The method. What the items left still need of each kind of step is what a completed item needed, times the items, less
the steps that active ones have done; times the mean duration of such a step that is work. The queue with the most work
for each of its slots decides, at the rate at which its slots were seen to work. Waiting items must also come through
the window, W at a time, in as long as ended ones took from release to end (Little's law). The later of the two counts,
and 0.4 of an item's own time is added for the tail, in which the last items run beside idle slots.

Before the batch has means and counts of its own, and a little afterwards, those of earlier batches of its task count.
Where nobody counted what completed items needed, active items are taken to have done a quarter of theirs, and an
estimate by the ends of items alone (evenly from the first to the last) counts the more, the fewer items wait.

The range. Variances add up: of the sum of the steps left (central limit), of the means, of the counts, of an item's
time, and of what the method itself was off by in simulations. The end is taken to be logarithmically normal about the
estimate, and lies in the range eight times in ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ytray.engine.batch.model import Eta, Stage

_TAIL = 0.4  # of an item's own time; see tests/engine/test_eta.py for how it was found
_EARLIER = 5  # items, and steps, of the batch itself that count as much as all earlier ones
_RATES = (0.3, 3.0)  # times what the slots should do: further off, they are not believed
_ITEM_SPREAD = 0.5  # of an item's time and step counts, as a share: nobody measures it
_OFF = 0.06  # share of the time left that the method was off by in simulations, beside the tail
_TAIL_OFF = 0.35  # of an item's own time, likewise
_ENDS_OFF = 0.4  # share of the time left that an estimate by ends alone was off by, likewise
_DONE_BY_ACTIVE = 0.25  # share of its steps that an active item has done: most of them wait for the busiest queue
_WIDEST = 3.0  # standard deviation as a share of the time left; more than that is not known at all
_EIGHT_IN_TEN = 1.2816  # standard deviations on each side


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a batch is, as `eta` wants it. Times are in seconds.

    Args:
        waiting, active: items that are left.
        completed: items that completed, without those that another batch had done.
        stages: steps done for the batch's items, those of active ones too.
        slots: by queue, as many as this batch may use; a share of one is fine.
        elapsed: since its start, without pauses.
        item_seconds: what ended items took on average from their release to their end; None before the first.
        window: items in the making at once, at most.
        per_item: by task name, how many steps a completed item took on average; None where nobody counted. With it
            the estimate is twice as good while many items are active.
        earlier: steps of all batches of the same task so far, done for `earlier_items` items that completed. Those of
            this batch are among them, and are taken off.
    """

    waiting: int
    active: int
    completed: int
    stages: Sequence[Stage]
    slots: Mapping[str, float]
    elapsed: float
    item_seconds: float | None = None
    window: int | None = None
    per_item: Mapping[str, float] | None = None
    earlier: Sequence[Stage] = field(default_factory=tuple)
    earlier_items: int = 0

    @property
    def left(self) -> int:
        """Items that have not ended."""
        return self.waiting + self.active

    @property
    def total(self) -> int:
        """Items that have ended or will."""
        return self.left + self.completed

    @property
    def at_once(self) -> int:
        """Items in the making at once: while some wait, as many as are active."""
        return max(1, self.active if self.waiting else min(self.window or self.total, self.total))

    @property
    def items_before(self) -> int:
        """Items that other batches of the task completed."""
        return max(0, self.earlier_items - self.completed)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step: how many an item needs, how many are done and left, and what one takes. Deviations are beside."""

    task_name: str
    queue: str
    per_item: float
    per_item_off: float
    done: int
    left: float
    mean: float
    mean_off: float
    deviation: float


def eta(pace: Pace) -> Eta | None:
    """When the batch will be done; None while nothing is known of it: no item has ended, and no earlier batch did."""
    if not pace.left:
        return Eta(seconds=0.0, low_seconds=0.0, high_seconds=0.0, method="nothing is left")
    kinds = kinds_left(pace) if pace.completed or pace.items_before else []
    ends = _by_ends(pace)
    if not kinds:
        return None if ends is None else told(ends, ends * _ITEM_SPREAD, "pace of the items' ends")
    seconds, off = _by_work(pace, kinds)
    if pace.per_item is not None or pace.items_before or ends is None:
        return told(seconds, off, "work left by queue and slots, window, and tail")
    # Few wait: how far the active ones are is guessed, and the ends of items say more.
    weight = pace.active / (pace.active + 2 * pace.waiting)
    spread = math.sqrt(weight * (1 - weight)) * (ends - seconds)
    ends_off = ends * math.hypot(_ENDS_OFF, 1 / math.sqrt(pace.completed))
    both = math.hypot(weight * ends_off, (1 - weight) * off, spread)
    return told(
        (1 - weight) * seconds + weight * ends, both, "work left by queue and slots, and pace of the items' ends"
    )


def forecast_usd(cost: float, completed: int, ended: int, left: int) -> float | None:
    """What a batch will have cost altogether, in US dollars: the items left cost what those that ended cost.

    Args:
        cost: so far, with that of items which failed and of active ones.
        completed, ended: items that completed, and those that ended in any way, after work was done for them.
        left: items that have not ended.

    None before an item has completed: failures alone say nothing of the price.
    """
    if completed <= 0:
        return None
    return cost + cost / max(ended, completed) * left


def told(seconds: float, off: float, method: str) -> Eta:
    """An estimate with its range, from its standard deviation; all in seconds."""
    seconds = max(0.0, seconds)
    spread = math.sqrt(math.log1p(min(_WIDEST, off / seconds) ** 2)) if seconds else 0.0
    wide = math.exp(_EIGHT_IN_TEN * spread)
    return Eta(seconds=seconds, low_seconds=seconds / wide, high_seconds=seconds * wide, method=method)


def _by_work(pace: Pace, kinds: list[Kind]) -> tuple[float, float]:
    """The time left by the work left, and its standard deviation."""
    work: dict[str, float] = {}
    done: dict[str, float] = {}
    for kind in kinds:
        slots = pace.slots.get(kind.queue) or 1.0
        work[kind.queue] = work.get(kind.queue, 0.0) + kind.left * kind.mean / slots
        done[kind.queue] = done.get(kind.queue, 0.0) + kind.done * kind.mean / slots
    busiest = max(work, key=lambda queue: work[queue])
    slots = pace.slots.get(busiest) or 1.0
    # The slots may be fewer or more than was thought (others use them, steps need more than their own time). How busy
    # they were says so, but not at the beginning, when items had yet to reach this queue.
    rate = 1.0
    if pace.completed and pace.elapsed > 0:
        trust = pace.completed / (pace.completed + pace.active)
        rate = min(_RATES[1], max(_RATES[0], 1 + trust * (done[busiest] / pace.elapsed - 1)))
    alone = sum(kind.per_item * kind.mean for kind in kinds)
    item = alone if pace.item_seconds is None else min(alone, pace.item_seconds)
    if not pace.waiting and alone > 0:  # the last ones have done a part of theirs
        item *= min(1.0, sum(kind.left * kind.mean for kind in kinds) / (pace.active * alone))
    by_slots = work[busiest] / rate
    by_window = pace.waiting * (alone if pace.item_seconds is None else pace.item_seconds) / pace.at_once
    if by_slots >= by_window:
        off = math.sqrt(sum(_variance(kind, pace.total) for kind in kinds if kind.queue == busiest)) / slots / rate
    else:
        off = by_window * _ITEM_SPREAD / math.sqrt(max(1, pace.completed))
    seconds = max(by_slots, by_window) + _TAIL * item
    return seconds, math.hypot(off, _OFF * seconds, _TAIL_OFF * item)


def _variance(kind: Kind, items: int) -> float:
    """Of the work that is left of one kind, in seconds squared."""
    of_the_steps = kind.left * kind.deviation**2
    of_the_mean = (kind.left * kind.mean_off) ** 2
    of_the_counts = (items * kind.per_item_off * kind.mean) ** 2
    return of_the_steps + of_the_mean + of_the_counts


def _by_ends(pace: Pace) -> float | None:
    """The time left if items go on ending as they did; None before two have."""
    if pace.completed < 2 or pace.item_seconds is None:
        return None
    if pace.completed > pace.at_once:
        return pace.left * pace.item_seconds / pace.at_once
    # Released together, they end evenly from the first to the last: on average half the ends ago.
    return pace.left * 2 * max(0.0, pace.elapsed - pace.item_seconds) / (pace.completed - 1)


def kinds_left(pace: Pace) -> list[Kind]:
    """The kinds of steps and what is left of each: the batch's own and those that only other batches have shown."""
    own = {(stage.task_name, stage.queue): stage for stage in pace.stages if stage.done}
    others = {}
    for stage in pace.earlier if pace.items_before else ():
        name = (stage.task_name, stage.queue)
        if before := _without(stage, own.get(name)):
            others[name] = before
    return [_kind(pace, own.get(name), others.get(name)) for name in sorted({*own, *others})]


def _without(everything: Stage, own: Stage | None) -> Stage | None:
    """What other batches did of a kind of step; None when that is nothing."""
    done = everything.done - (own.done if own else 0)
    if own is None or done <= 0:
        return everything if done > 0 else None
    seconds = everything.done * everything.mean_seconds - own.done * own.mean_seconds
    return everything.model_copy(update={"done": done, "mean_seconds": max(0.0, seconds / done)})


def _kind(pace: Pace, own: Stage | None, earlier: Stage | None) -> Kind:
    stage = own or earlier
    assert stage is not None
    done = own.done if own else 0
    per_item, per_item_off = _per_item(pace, stage.task_name, done, earlier)
    mean, deviation = stage.mean_seconds, stage.deviation_seconds
    if own and earlier:
        share = done / (done + _EARLIER)
        mean = share * own.mean_seconds + (1 - share) * earlier.mean_seconds
        deviation = share * own.deviation_seconds + (1 - share) * earlier.deviation_seconds
    # Of a single step no deviation is seen; durations mostly vary by about half of their mean.
    deviation = max(deviation, _ITEM_SPREAD * mean if done < _EARLIER else 0.0)
    left = max(0.0, pace.total * per_item - done)
    return Kind(
        stage.task_name,
        stage.queue,
        per_item,
        per_item_off,
        done,
        left,
        mean,
        deviation / math.sqrt(max(1, done)),
        deviation,
    )


def _per_item(pace: Pace, task_name: str, done: int, earlier: Stage | None) -> tuple[float, float]:
    """How many steps of a kind an item needs, and the standard deviation of that."""
    before = earlier.done / pace.items_before if earlier else None
    if pace.per_item is not None and pace.completed:
        counted = pace.per_item.get(task_name, 0.0)
        # What only some items need, or a different number of each, is known the better the more have ended.
        if before is not None:
            counted += (before - counted) * _EARLIER / (pace.completed + _EARLIER)
        spread = 0.0 if counted == round(counted) else _ITEM_SPREAD
        return counted, counted * spread / math.sqrt(pace.completed)
    least = done / max(1, pace.completed + pace.active)
    most = done / pace.completed if pace.completed else math.inf
    if before is not None:
        return min(max(before, least), most), _ITEM_SPREAD * before / math.sqrt(pace.completed + 2 * _EARLIER)
    # A step that fits one for each item is one for each item.
    likely = 1.0 if least <= 1 <= most else done / (pace.completed + pace.active * _DONE_BY_ACTIVE)
    return likely, (most - least) / math.sqrt(12)
