"""When a batch will be done: the estimates beside the true ends of simulated batches."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, replace
from statistics import median

import pytest

from ytray.engine.batch.eta import Pace, eta, forecast_usd
from ytray.engine.batch.model import Stage

SHARES = (0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Step:
    """A stage of every item: from `least` to `most` steps side by side, of lognormal durations."""

    name: str
    queue: str
    mean: float
    sigma: float
    least: int
    most: int


@dataclass(frozen=True)
class Plan:
    """A batch to be simulated; `overhead` is what a step holds its slot beyond its own time, as a share of the mean."""

    items: int
    slots: dict[str, int]
    steps: list[Step]
    window: int
    overhead: float


@dataclass(frozen=True)
class Look:
    """What is known of a batch at one moment, and how long it really took from then."""

    share: float
    pace: Pace
    truth: float


def plan(rng: random.Random) -> Plan:
    """Items of 3 to 12 steps in 2 or 3 queues of 2 to 16 slots; windows as the feeder's own or as people choose."""
    slots = {name: rng.randint(2, 16) for name in ("generation", "media", "batch")[: rng.choice((2, 3))]}
    steps: list[Step] = []
    while not steps or not 3 <= sum(step.least for step in steps) <= sum(step.most for step in steps) <= 12:
        steps = []
        for number in range(rng.randint(2, 6)):
            least = 1 if rng.random() < 0.6 else rng.randint(1, 3)
            most = least if rng.random() < 0.5 else least + rng.randint(0, 3)
            queue = rng.choice(list(slots))
            steps.append(Step(f"step{number}", queue, rng.uniform(1, 60), rng.uniform(0.2, 0.9), least, most))
    items = round(math.exp(rng.uniform(math.log(60), math.log(400))))
    window = rng.choice((4 * max(slots.values()), 4 * max(slots.values()), rng.randint(2, 24), rng.randint(8, 64)))
    return Plan(items, slots, steps, min(window, items), rng.uniform(0, 0.08))


class Simulation:
    """A batch from its start to its end; `looks` has one for each share of its items that was done."""

    def __init__(self, plan: Plan, rng: random.Random, shares: tuple[float, ...] = SHARES) -> None:
        self._plan, self._rng = plan, rng
        self._now, self._wall = 0.0, 0.0
        self._released = self._completed = self._numbered = 0
        self._free = dict(plan.slots)
        self._queued: dict[str, deque[tuple[int, int]]] = {queue: deque() for queue in plan.slots}
        self._running: list[tuple[float, int, int, int, float]] = []
        self._stage, self._open, self._born = [0] * plan.items, [0] * plan.items, [0.0] * plan.items
        self._taken: list[list[int]] = [[] for _ in range(plan.items)]
        self._done: list[list[float]] = [[0, 0.0, 0.0] for _ in plan.steps]  # how many, seconds, and their squares
        self._needed = [0] * len(plan.steps)  # steps of completed items
        marks = deque(math.ceil(share * plan.items) for share in shares)
        seen: list[tuple[float, Pace]] = []
        self._release()
        while self._running:
            self._end_one()
            while marks and self._completed >= marks[0]:
                marks.popleft()
                seen.append((self._now, self.pace()))
        self.end = self._now
        self.looks = [
            Look(share, pace, self.end - at)
            for share, (at, pace) in zip(shares, seen, strict=True)
            if self.end > at or share == 1
        ]

    def pace(self) -> Pace:
        """What is known now."""
        plan, done = self._plan, self._completed
        return Pace(
            waiting=plan.items - self._released,
            active=self._released - done,
            completed=done,
            stages=[stage(step, *sums) for step, sums in zip(plan.steps, self._done, strict=True) if sums[0]],
            slots={queue: float(slots) for queue, slots in plan.slots.items()},
            elapsed=self._now,
            item_seconds=self._wall / done if done else None,
            window=plan.window,
            per_item={step.name: count / done for step, count in zip(plan.steps, self._needed, strict=True)}
            if done
            else None,
        )

    def _release(self) -> None:
        while self._released < self._plan.items and self._released - self._completed < self._plan.window:
            self._born[self._released] = self._now
            self._released += 1
            self._begin_stage(self._released - 1)

    def _begin_stage(self, item: int) -> None:
        kind = self._stage[item]
        step = self._plan.steps[kind]
        self._open[item] = self._rng.randint(step.least, step.most)
        self._taken[item].append(self._open[item])
        self._queued[step.queue].extend([(item, kind)] * self._open[item])
        self._start(step.queue)

    def _start(self, queue: str) -> None:
        while self._free[queue] and self._queued[queue]:
            item, kind = self._queued[queue].popleft()
            self._free[queue] -= 1
            self._numbered += 1
            step = self._plan.steps[kind]
            took = step.mean * math.exp(self._rng.gauss(-(step.sigma**2) / 2, step.sigma))
            until = self._now + took + self._plan.overhead * step.mean
            heapq.heappush(self._running, (until, self._numbered, item, kind, took))

    def _end_one(self) -> None:
        self._now, _, item, kind, took = heapq.heappop(self._running)
        queue = self._plan.steps[kind].queue
        self._free[queue] += 1
        sums = self._done[kind]
        sums[0] += 1
        sums[1] += took
        sums[2] += took * took
        self._open[item] -= 1
        if not self._open[item]:
            self._stage[item] += 1
            if self._stage[item] < len(self._plan.steps):
                self._begin_stage(item)
            else:
                self._completed += 1
                self._wall += self._now - self._born[item]
                self._needed = [a + b for a, b in zip(self._needed, self._taken[item], strict=True)]
                self._release()
        self._start(queue)


def stage(step: Step, done: float, seconds: float, squares: float) -> Stage:
    mean = seconds / done
    deviation = math.sqrt(max(0.0, squares / done - mean * mean))
    return Stage(task_name=step.name, queue=step.queue, done=int(done), mean_seconds=mean, deviation_seconds=deviation)


def together(one: Pace, other: Pace) -> list[Stage]:
    """What both have done."""
    both = []
    for each in one.stages:
        same = next((stage for stage in other.stages if stage.task_name == each.task_name), None)
        done = each.done + (same.done if same else 0)
        seconds = each.done * each.mean_seconds + (same.done * same.mean_seconds if same else 0.0)
        both.append(each.model_copy(update={"done": done, "mean_seconds": seconds / done}))
    return both


def judged(looks: list[Look]) -> dict[float, tuple[float, float, float]]:
    """By share: the median of the error's size, of the error, and how often the truth lay in the range."""
    found = {}
    for share in SHARES:
        errors, inside = [], []
        for look in looks:
            if look.share == share:
                told = eta(look.pace)
                assert told is not None
                errors.append(told.seconds / look.truth - 1)
                inside.append(told.low_seconds <= look.truth <= told.high_seconds)
        found[share] = median(map(abs, errors)), median(errors), sum(inside) / len(inside)
    return found


# ------------------------------------------------------------------------------------- beside simulated batches


@pytest.fixture(scope="module")
def batches() -> list[tuple[Plan, Simulation]]:
    rng = random.Random(20260301)
    plans = [plan(rng) for _ in range(240)]
    return [(each, Simulation(each, rng)) for each in plans]


def shown(title: str, found: dict[float, tuple[float, float, float]]) -> None:
    print(f"\n{title}\n  done   off by   late(+)/early(-)   in the range")
    for share, (size, error, inside) in found.items():
        print(f"  {share:4.0%}   {size:6.1%}   {error:+16.1%}   {inside:12.0%}")


def test_estimates_are_close_and_the_ends_lie_in_their_ranges(batches: list[tuple[Plan, Simulation]]) -> None:
    found = judged([look for _, run in batches for look in run.looks])
    shown("steps of completed items counted", found)
    for share, most in zip(SHARES, (0.10, 0.075, 0.075, 0.12), strict=True):
        size, error, inside = found[share]
        assert size < most
        assert abs(error) < 0.06
        assert 0.70 <= inside <= 0.95


def test_estimates_are_rougher_where_nobody_counted_and_say_so(batches: list[tuple[Plan, Simulation]]) -> None:
    bare = [replace(look, pace=replace(look.pace, per_item=None)) for _, run in batches for look in run.looks]
    found = judged(bare)
    shown("nothing counted", found)
    for share, most in zip(SHARES, (0.22, 0.17, 0.14, 0.19), strict=True):
        size, error, inside = found[share]
        assert size < most
        assert abs(error) < 0.10
        assert 0.70 <= inside <= 0.95


def test_an_earlier_batch_of_the_task_is_as_good_as_counting(batches: list[tuple[Plan, Simulation]]) -> None:
    rng = random.Random(7)
    looks = []
    for each, run in batches[:60]:
        before = Simulation(each, rng, (1.0,)).looks[0].pace
        for look in run.looks:
            items = before.completed + look.pace.completed
            known = replace(look.pace, per_item=None, earlier=together(before, look.pace), earlier_items=items)
            looks.append(replace(look, pace=known))
    found = judged(looks)
    shown("an earlier batch known", found)
    assert found[0.25][0] < 0.08
    assert all(0.70 <= inside <= 0.95 for _, _, inside in found.values())


# ------------------------------------------------------------------------------------------------ one by one


def stages(done: int, mean: float = 10.0, queue: str = "media") -> list[Stage]:
    return [Stage(task_name="draw", queue=queue, done=done, mean_seconds=mean, deviation_seconds=mean / 4)]


START = Pace(waiting=90, active=10, completed=0, stages=[], slots={"media": 10.0}, elapsed=0.0, window=10)


def test_nothing_is_told_before_anything_is_known() -> None:
    assert eta(START) is None
    assert eta(replace(START, stages=stages(3), elapsed=30.0)) is None  # steps of items of which none has ended


def test_earlier_batches_tell_the_time_before_the_first_item_has_ended() -> None:
    found = eta(replace(START, earlier=stages(200), earlier_items=100))
    assert found is not None
    # 100 items of 2 steps of 10 s on 10 slots, and the tail.
    assert 200 <= found.seconds <= 220
    assert found.low_seconds < found.seconds < found.high_seconds


def test_steps_that_only_earlier_batches_have_shown_count_as_well() -> None:
    later = Stage(task_name="compose", queue="batch", done=50, mean_seconds=40, deviation_seconds=4)
    begun = replace(START, stages=stages(12), elapsed=14.0, slots={"media": 10.0, "batch": 1.0}, earlier_items=50)
    found = eta(replace(begun, earlier=[*stages(62), later]))
    assert found is not None
    assert found.seconds == pytest.approx(100 * 40, rel=0.05)


def test_a_first_batch_is_not_taken_for_its_own_earlier_ones(batches: list[tuple[Plan, Simulation]]) -> None:
    for _, run in batches[:50]:
        for look in run.looks:
            alone = replace(look.pace, per_item=None)
            assert eta(replace(alone, earlier=alone.stages, earlier_items=alone.completed)) == eta(alone)


def test_slots_that_others_take_show_in_the_rate() -> None:
    done = replace(START, waiting=40, completed=50, stages=stages(55), item_seconds=10.0, per_item={"draw": 1.0})
    alone, crowded = eta(replace(done, elapsed=55.0)), eta(replace(done, elapsed=110.0, item_seconds=20.0))
    assert alone is not None
    assert crowded is not None
    assert alone.seconds == pytest.approx(45, rel=0.15)
    assert crowded.seconds == pytest.approx(90, rel=0.15)


def test_the_window_decides_where_it_is_narrower_than_the_slots() -> None:
    narrow = replace(START, waiting=48, active=2, completed=50, window=2, stages=stages(51), item_seconds=10.0)
    found = eta(replace(narrow, elapsed=250.0, per_item={"draw": 1.0}))
    assert found is not None
    assert found.seconds == pytest.approx(250, rel=0.1)


def test_a_queue_without_slots_and_items_without_steps_are_borne() -> None:
    lost = replace(START, waiting=0, active=10, completed=90, elapsed=90.0, item_seconds=9.0, slots={"media": 0.0})
    for pace in (replace(lost, stages=stages(95)), lost, replace(lost, slots={}, stages=stages(90, mean=0.0))):
        found = eta(pace)
        assert found is not None
        assert 0 <= found.low_seconds <= found.seconds <= found.high_seconds < 1000


def test_where_nothing_is_left_no_time_is() -> None:
    found = eta(replace(START, waiting=0, active=0, completed=100, stages=stages(100), elapsed=100.0))
    assert found is not None
    assert found.seconds == found.high_seconds == 0


def test_the_forecast_of_cost_is_what_items_cost_so_far() -> None:
    assert forecast_usd(5.0, completed=8, ended=10, left=90) == pytest.approx(50)
    assert forecast_usd(5.0, completed=10, ended=10, left=0) == pytest.approx(5)
    assert forecast_usd(3.0, completed=0, ended=4, left=96) is None
