"""How many nodes a batch needs: plans beside the true ends of simulated batches that get just these nodes."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.engine.test_eta import Plan as Shape
from tests.engine.test_eta import Simulation
from tests.engine.test_eta import plan as random_shape
from ytray.engine.batch.eta import Pace
from ytray.engine.batch.model import Stage
from ytray.engine.batch.plan import Batch, Limit, NodeType, Plan, asked, node_types, plan
from ytray.errors import InvalidArguments
from ytray.spend.planning import own_way

SLOTS = 4  # of a node
BATCHES = 40


@dataclass(frozen=True)
class Trial:
    """A batch that is to be, and the plan for it."""

    shape: Shape
    deadline: float
    made: Plan

    def share_in_time(self, nodes: Mapping[str, int]) -> float:
        """How many of three runs with so many nodes by queue are done in time."""
        slots = {queue: SLOTS * nodes.get(queue, 1) for queue in self.shape.slots}
        run = replace(self.shape, slots=slots, window=4 * max(slots.values()))
        return sum(Simulation(run, random.Random(seed), (1.0,)).end <= self.deadline for seed in range(3)) / 3

    def nodes(self, what: str) -> dict[str, int]:
        """The planned nodes, the likely ones, or the fewest, by queue."""
        return {need.node_type: getattr(need, what) for need in self.made.nodes}


def trial(rng: random.Random) -> Trial | None:
    """An earlier batch of 60 items is known; the next has other durations of the same kind, and a deadline."""
    shape = random_shape(rng)
    before = Simulation(replace(shape, items=60, window=min(60, shape.window)), rng, (1.0,)).looks[0].pace
    roomy = replace(shape, items=30, window=30, slots=dict.fromkeys(shape.slots, 1000))
    way = Simulation(roomy, rng, (1.0,)).looks[0].pace.item_seconds
    assert way is not None
    deadline = way * math.exp(rng.uniform(math.log(3), math.log(30)))
    pace = replace(NEW, waiting=shape.items, earlier=before.stages, earlier_items=before.completed)
    types = [NodeType(name=queue, slots={queue: SLOTS}) for queue in shape.slots]
    made = plan(Batch("task", pace, path=way), deadline, types)
    return Trial(shape, deadline, made) if made.in_time else None


NEW = Pace(waiting=100, active=0, completed=0, stages=[], slots={}, elapsed=0.0)


def test_planned_nodes_are_enough_nine_times_in_ten_and_fewer_are_not() -> None:
    rng = random.Random(5)
    trials = [one for _ in range(BATCHES) if (one := trial(rng)) is not None]
    found = {
        what: sum(one.share_in_time(one.nodes(what)) for one in trials) / len(trials)
        for what in ("nodes", "likely", "fewest")
    }
    # Of the type that decides, one node fewer than the fewest: the batch is late.
    short = []
    for one in trials:
        nodes = one.nodes("fewest")
        busiest = max(one.made.queues, key=lambda need: need.work_seconds / nodes[need.node_type]).node_type
        if nodes[busiest] > 1:
            short.append(one.share_in_time({**nodes, busiest: nodes[busiest] - 1}))
    found["one fewer than the fewest"] = sum(short) / len(short)
    print(f"\nin time, of {len(trials)} batches:", {what: f"{share:.0%}" for what, share in found.items()})
    assert found["nodes"] >= 0.8
    assert found["fewest"] <= 0.6
    assert found["one fewer than the fewest"] <= 0.1
    assert found["nodes"] > found["likely"] >= found["fewest"]


# ------------------------------------------------------------------------------------------------ one by one


def stages(items: int, mean: float = 30.0, queue: str = "media", name: str = "draw", each: int = 1) -> Stage:
    return Stage(task_name=name, queue=queue, done=items * each, mean_seconds=mean, deviation_seconds=mean / 4)


KNOWN = Batch("video", replace(NEW, earlier=[stages(100, each=4)], earlier_items=100), path=40.0)
MEDIA = [NodeType(name="media", slots={"media": 4}, usd_per_hour=0.5)]


def test_nodes_follow_from_the_work_and_the_deadline_and_cost_what_an_hour_costs() -> None:
    made = plan(KNOWN, 1800.0, MEDIA)
    (need,) = made.nodes
    # 100 items of 4 steps of 30 s are 12,000 s of a slot: 6.7 slots for half an hour, and some for the tail.
    assert made.queues[0].work_seconds == 12_000
    assert (need.fewest, need.likely, need.nodes) == (2, 2, 3)
    assert made.eta is not None
    assert made.eta.high_seconds < 1800
    assert made.nodes_usd == pytest.approx(3 * 0.5 * made.eta.seconds / 3600, rel=0.01)
    assert (made.measured_items, made.measured_steps, made.in_time, made.bottleneck) == (100, 400, True, None)


def test_what_is_done_needs_no_nodes() -> None:
    half = replace(KNOWN.pace, waiting=50, completed=50, stages=[stages(50, each=4)], earlier_items=150)
    half = replace(half, earlier=[stages(150, each=4)])
    assert plan(replace(KNOWN, pace=half), 1800.0, MEDIA).queues[0].work_seconds == pytest.approx(6000)
    nothing = plan(replace(KNOWN, pace=replace(half, waiting=0)), 1800.0, MEDIA)
    assert (nothing.nodes, nothing.in_time, nothing.notes) == ([], True, ["nothing is left to do"])


def test_without_a_measured_item_no_number_is_told() -> None:
    made = plan(Batch("video", NEW), 1800.0, MEDIA)
    assert (made.nodes, made.eta, made.in_time) == ([], None, False)
    assert "nothing is measured yet" in made.notes[0]


def test_a_deadline_shorter_than_one_item_is_told() -> None:
    made = plan(KNOWN, 30.0, MEDIA)
    assert (made.in_time, made.nodes) == (False, [])
    assert made.bottleneck is not None
    assert "one item alone takes about 40.0 s" in made.bottleneck


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (replace(KNOWN, concurrency=2), "the batch's concurrency of 2"),
        (replace(KNOWN, limits=[Limit("the limit of 2 requests a minute of veo", 30.0)]), "2 requests a minute of veo"),
    ],
)
def test_limits_that_nodes_cannot_lift_are_told_with_the_nodes_that_are_still_of_use(batch: Batch, told: str) -> None:
    made = plan(batch, 1800.0, MEDIA)
    assert not made.in_time
    assert made.bottleneck is not None
    assert told in made.bottleneck
    assert made.nodes[0].nodes is not None
    assert made.nodes[0].nodes <= 2


def test_steps_that_ask_for_a_card_go_to_nodes_with_one_where_they_are_planned() -> None:
    earlier = [stages(100, each=4), stages(100, 60.0, name="compose")]
    batch = replace(KNOWN, pace=replace(KNOWN.pace, earlier=earlier), path=100.0, carded=frozenset({"compose"}))
    types = node_types({"media": 4, "gpu.media": 2}, {}, {}, cards=False)
    assert {need.node_type: need.work_seconds for need in plan(batch, 1800.0, types).queues} == {
        "media": 12_000,
        "gpu": 6_000,
    }
    types = node_types({"media": 4}, {}, {}, cards=False)
    assert {need.node_type: need.work_seconds for need in plan(batch, 1800.0, types).queues} == {"media": 18_000}


def test_a_queue_that_no_node_serves_is_told() -> None:
    made = plan(KNOWN, 1800.0, node_types({"media": 0}, {}, {"generation": 8}, cards=False))
    assert any("no node type has slots of media" in note for note in made.notes)
    assert not made.in_time


def test_what_cannot_be_asked_is_refused() -> None:
    for slots, prices in ((["media"], []), (["media=some"], []), (["media=-1"], []), ([], ["media=nan"])):
        with pytest.raises(InvalidArguments):
            asked(60.0, slots, prices)
    for deadline in (0.0, -1.0, math.nan, math.inf, datetime.now(UTC) - timedelta(seconds=1)):
        with pytest.raises(InvalidArguments):
            asked(deadline)
    with pytest.raises(InvalidArguments, match="medai"):
        node_types({"medai": 4}, {}, {}, cards=False)
    with pytest.raises(InvalidArguments, match="tpu"):
        node_types({}, {"tpu": 1.0}, {}, cards=False)


def test_an_items_own_way_is_the_chain_of_steps_without_their_waiting() -> None:
    def at(*seconds: float) -> tuple[datetime, datetime, datetime]:
        submitted, started, ended = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in seconds)
        return submitted, started, ended

    written = at(0, 5, 7)
    drawn, spoken = at(7, 20, 30), at(7, 8, 9)  # side by side
    composed = at(30, 50, 54)
    assert own_way([composed, written, spoken, drawn]) == 2 + 10 + 4
    assert own_way([]) is None
