"""How many nodes of each type a batch needs to be done by a deadline. Pure.

The method is the estimate's (eta.py), turned round. The work left of each queue, divided by the slots it is given,
takes so long. On top of the slowest comes an item's own way, once for the first and the last to go through, and most of
it again where several queues are given just what they need, so that items wait for each in turn. Of that the slots
follow, and of the slots the nodes.

Three numbers come out: the fewest, with which it may be in time if all goes well (one time in ten), the likely ones,
and those with which it is in time nine times in ten: these are the plan.

What nodes cannot help is told: a deadline shorter than an item's own way, a batch's concurrency, a model's rate limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.batch.eta import Kind, Pace, kinds_left, told
from ytray.engine.batch.model import Eta
from ytray.errors import InvalidArguments

# Found with the simulated batches of tests/engine/test_plan.py.
_WAITS = 0.7  # of an item's own way, that it waits for slots which other queues are not faster than
_WAY_OFF = 0.35  # standard deviation of an item's own way, as a share
_OFF = 0.10  # share of the time left that the method is off by beside
_COUNTS_OFF = 0.5  # standard deviation of how many steps an item needs, as a share: nobody measures it
LONGEST_DEADLINE = 10 * 365 * 86400.0  # seconds
_MOST_SLOTS = 10_000  # of a node
_MOST_USD = 100_000  # an hour of a node
_MOST_AT_ONCE = 2000  # items of one batch in the making at once (feeder.py)

# The node types of cluster.yaml. Where both have slots of a queue, steps that ask for a card go to the one with cards.
TYPES: dict[str, tuple[str, ...]] = {
    "cpu": ("default", "generation", "batch"),
    "media": ("media",),
    "gpu": ("media",),
}
_WITH_CARDS = "gpu"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class NodeType(_Told):
    """A type of node: its slots by queue, and what an hour of it costs in US dollars; None: nobody said."""

    name: str
    slots: dict[str, int]
    usd_per_hour: float | None = None


class QueueNeed(_Told):
    """What a queue has left to do: seconds of one slot, and the slots to be in time (None: no number of them is).

    `fewest` may be enough if all goes well, `likely` is as likely enough as not, `slots` is nine times in ten.
    """

    queue: str
    node_type: str
    steps: float
    work_seconds: float
    fewest: int | None
    likely: int | None
    slots: int | None


class NodeNeed(_Told):
    """How many nodes of a type; the words are those of `QueueNeed`. `cost_usd` is of `nodes` for the time they need."""

    node_type: str
    slots: dict[str, int]
    fewest: int | None
    likely: int | None
    nodes: int | None
    cost_usd: float | None


class Plan(_Told):
    """What a batch needs to be done `deadline_seconds` from now.

    `measured_items` and `measured_steps` are what it is based on; with none `nodes` is empty. `in_time` says whether
    nodes can make it so nine times in ten; where they cannot, `bottleneck` says what stands in the way, and the nodes
    are those beyond which more would not help (none for a deadline that is shorter than one item). `item_seconds` is an
    item's own way without any waiting, `eta` when the batch is done with the planned nodes. Money is in US dollars:
    what the nodes cost, and what is still to be paid to providers.
    """

    task_name: str
    deadline_seconds: float
    items_left: int
    items_done: int
    measured_items: int
    measured_steps: int
    item_seconds: float | None
    in_time: bool
    bottleneck: str | None
    queues: list[QueueNeed]
    nodes: list[NodeNeed]
    eta: Eta | None
    nodes_usd: float | None
    left_to_pay_usd: float | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Limit:
    """What lets items through no faster than one in so many seconds, however many nodes there are."""

    what: str
    seconds_per_item: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan is asked for.

    Args:
        deadline: seconds from now.
        slots: of a node, by queue ("media") or by type and queue ("gpu.media"), over what is there by default.
        prices: US dollars an hour, by node type.
    """

    deadline: float
    slots: Mapping[str, int] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)


def asked(deadline: float | datetime, slots: Iterable[str] = (), prices: Iterable[str] = ()) -> Asked:
    """What people ask for: a deadline in seconds from now or as a time; slots as "media=4", prices as "media=0.25".

    Raises InvalidArguments.
    """
    if isinstance(deadline, datetime):
        deadline = (deadline - datetime.now(UTC)).total_seconds()
    if not 0 < deadline <= LONGEST_DEADLINE:
        raise InvalidArguments("the deadline is in the past or ten years away: say when in between it is to be done")
    numbers = {name: int(number) for name, number in _pairs(slots, "slots", "media=4", _MOST_SLOTS, whole=True)}
    return Asked(deadline, numbers, dict(_pairs(prices, "price", "media=0.25", _MOST_USD, whole=False)))


def _pairs(given: Iterable[str], what: str, example: str, most: float, *, whole: bool) -> Iterator[tuple[str, float]]:
    for pair in given:
        name, _, number = pair.partition("=")
        try:
            value = float(number)
            if not 0 <= value <= most or (whole and value != int(value)):
                raise ValueError
        except ValueError:
            raise InvalidArguments(f"{what}: {pair[:100]!r} is not as {example}") from None
        yield name.strip(), value


@dataclass(frozen=True, slots=True)
class Batch:
    """What is known of the batch, or of the one to be.

    Args:
        concurrency: items in the making at once, at most; None for as many as there may be.
        path: seconds of an item's own way, as finished items took it; None: it is guessed from its steps.
        carded: tasks whose steps ask for a card.
        limits: what else holds it back.
        left_to_pay: US dollars.
    """

    task_name: str
    pace: Pace
    concurrency: int | None = None
    path: float | None = None
    carded: frozenset[str] = frozenset()
    limits: Sequence[Limit] = ()
    left_to_pay: float | None = None


@dataclass(frozen=True, slots=True)
class _Load:
    """The work of one queue that nodes of one type do."""

    queue: str
    node_type: str
    kinds: list[Kind]
    measured: int  # items

    @property
    def steps(self) -> float:
        return sum(kind.left for kind in self.kinds)

    @property
    def seconds(self) -> float:
        return sum(kind.left * kind.mean for kind in self.kinds)

    @property
    def off(self) -> float:
        """Standard deviation of that."""
        return math.sqrt(sum(self._variance(kind) for kind in self.kinds))

    def _variance(self, kind: Kind) -> float:
        steps = self.measured * max(kind.per_item, 1e-9)
        of_the_mean = kind.left**2 * kind.deviation**2 / steps
        of_the_counts = (kind.left * kind.mean * _COUNTS_OFF) ** 2 / self.measured
        return kind.left * kind.deviation**2 + of_the_mean + of_the_counts


def node_types(
    given: Mapping[str, int], prices: Mapping[str, float], usual: Mapping[str, int], cards: bool
) -> list[NodeType]:
    """The node types with their slots: `usual` by queue where `given` says nothing; gpu only if `cards`, or if asked.

    Raises InvalidArguments for a name that is none.
    """
    names = {*QUEUE_PRIORITIES, *(f"{name}.{queue}" for name, queues in TYPES.items() for queue in queues)}
    for name in given:
        if name not in names:
            raise InvalidArguments(
                f"slots: {name!r} is neither a queue nor TYPE.QUEUE; there are {', '.join(sorted(names))}"
            )
    for name in prices:
        if name not in TYPES:
            raise InvalidArguments(f"price: there is no node type {name!r}; there are {', '.join(TYPES)}")
    found = []
    for name, queues in TYPES.items():
        asked = any(key.startswith(f"{name}.") for key in given) or name in prices
        if name == _WITH_CARDS and not (cards or asked):
            continue
        slots = {queue: given.get(f"{name}.{queue}", given.get(queue, usual.get(queue, 0))) for queue in queues}
        found.append(NodeType(name=name, slots=slots, usd_per_hour=prices.get(name)))
    return found


def plan(batch: Batch, deadline: float, types: Sequence[NodeType]) -> Plan:
    """The nodes that the batch needs to be done in `deadline` seconds."""
    pace = batch.pace
    kinds = kinds_left(pace) if pace.completed or pace.items_before else []
    loads = _loads(kinds, types, batch)
    path = _path(batch, kinds)
    limits = _limits(batch, path)
    notes = _notes(batch, kinds, loads, types)
    slowest = max(limits, key=lambda limit: limit.seconds_per_item, default=None)
    least = 0.0 if slowest is None else pace.left * slowest.seconds_per_item
    bottleneck = _bottleneck(pace.left, path, slowest, least, deadline)
    if path > deadline:
        queues = []
    elif bottleneck is None:
        queues = [_queue_need(load, path, least, deadline) for load in loads]
    else:
        queues = [_most_useful(load, max(path, least)) for load in loads]
    if bottleneck is None and any(need.slots is None for need in queues):
        bottleneck = (
            f"one item alone takes about {path:,.0f} s of the {deadline:,.0f} s: so close to that no number of nodes "
            "is enough nine times in ten"
        )
    needed = {kind.task_name for kind in kinds if kind.left > 0}
    planned = {kind.task_name for load in loads for kind in load.kinds}
    counts = [_nodes(kind, queues) for kind in types]
    offered = {
        (kind.name, queue): number * nodes for kind, (_, _, nodes) in zip(types, counts, strict=True) if nodes
        for queue, number in kind.slots.items()
    }  # fmt: skip
    done = _done(loads, offered, path, least) if queues else None
    needs = [
        NodeNeed(
            node_type=kind.name, slots=kind.slots, fewest=fewest, likely=likely, nodes=nodes,
            cost_usd=_cost(kind, nodes, done),
        )
        for kind, (fewest, likely, nodes) in zip(types, counts, strict=True)
        if any(need.node_type == kind.name for need in queues)
    ]  # fmt: skip
    costs = [need.cost_usd for need in needs]
    return Plan(
        task_name=batch.task_name,
        deadline_seconds=deadline,
        items_left=pace.left,
        items_done=pace.completed,
        measured_items=pace.completed + pace.items_before,
        measured_steps=sum(stage.done for stage in (pace.earlier if pace.items_before else pace.stages)),
        item_seconds=path if kinds else None,
        in_time=not pace.left or bool(kinds and bottleneck is None and len(planned) == len(needed)),
        bottleneck=bottleneck if kinds and pace.left else None,
        queues=queues,
        nodes=needs,
        eta=done,
        nodes_usd=None if None in costs or not costs else round(sum(cost for cost in costs if cost is not None), 4),
        left_to_pay_usd=batch.left_to_pay,
        notes=notes,
    )


def _loads(kinds: Sequence[Kind], types: Sequence[NodeType], batch: Batch) -> list[_Load]:
    sorted_out: dict[tuple[str, str], list[Kind]] = {}
    for kind in kinds:
        serving = [one.name for one in types if one.slots.get(kind.queue)]
        if not serving or kind.left <= 0:
            continue
        wants_card = kind.task_name in batch.carded and _WITH_CARDS in serving
        name = _WITH_CARDS if wants_card else next((s for s in serving if s != _WITH_CARDS), serving[0])
        sorted_out.setdefault((kind.queue, name), []).append(kind)
    measured = max(1, batch.pace.completed + batch.pace.items_before)
    return [_Load(queue, name, some, measured) for (queue, name), some in sorted(sorted_out.items())]


def _path(batch: Batch, kinds: Sequence[Kind]) -> float:
    """An item's own way; where nobody has measured it, as if it did its steps one after the other."""
    return batch.path if batch.path is not None else sum(kind.per_item * kind.mean for kind in kinds)


def _limits(batch: Batch, path: float) -> list[Limit]:
    most = min(batch.concurrency or _MOST_AT_ONCE, _MOST_AT_ONCE)
    what = (
        f"the batch's concurrency of {most:,}"
        if most == batch.concurrency
        else f"that a batch has {most:,} items at once"
    )
    return [Limit(what, path / most), *batch.limits]


def _bottleneck(left: int, path: float, slowest: Limit | None, least: float, deadline: float) -> str | None:
    if not left:
        return None
    if path > deadline:
        return f"one item alone takes about {path:,.1f} s, longer than the {deadline:,.1f} s that there are"
    if slowest is not None and _whole(least, path) > deadline:
        return (
            f"{slowest.what} lets {left:,} items through in {_whole(least, path):,.0f} s at best, and there are "
            f"{deadline:,.0f} s; nodes do not help"
        )
    return None


def _notes(batch: Batch, kinds: Sequence[Kind], loads: Sequence[_Load], types: Sequence[NodeType]) -> list[str]:
    if not batch.pace.left:
        return ["nothing is left to do"]
    if not kinds:
        return [
            f"nothing is measured yet: no item of {batch.task_name} has completed; run a few items of it (20 say much) "
            "and ask again"
        ]
    notes = []
    measured = batch.pace.completed + batch.pace.items_before
    if measured < 20:
        notes.append(f"only {measured} item{'s have' if measured != 1 else ' has'} been measured: the range is wide")
    if batch.path is None:
        notes.append("an item's own way is not known: it is taken as if its steps ran one after the other")
    planned = {kind.task_name for load in loads for kind in load.kinds}
    notes += [
        f"no node type has slots of {kind.queue}, which {kind.task_name} needs: say how many, as in {kind.queue}=4"
        for kind in kinds
        if kind.left > 0 and kind.task_name not in planned
    ]
    unpriced = [
        one.name for one in types if one.usd_per_hour is None and any(load.node_type == one.name for load in loads)
    ]
    if unpriced and len(unpriced) < len(types) and any(one.usd_per_hour is not None for one in types):
        notes.append(f"no price was given for {', '.join(unpriced)}: the cost of the nodes is not told")
    return notes


def _whole(slowest: float, path: float) -> float:
    """The time of everything, where the slowest part of it takes so long by itself."""
    return slowest + path * (1 + _WAITS * slowest / (slowest + path)) if slowest else path


def _finish(load: _Load, slots: int, path: float, least: float) -> Eta:
    """When the batch would be done if this queue, with so many slots, were what it waits for."""
    seconds = _whole(max(load.seconds / slots, least), path)
    return told(seconds, math.hypot(load.off / slots, _OFF * seconds, _WAY_OFF * path), "")


def _queue_need(load: _Load, path: float, least: float, deadline: float) -> QueueNeed:
    def fewest(when: Callable[[Eta], float]) -> int | None:
        low, high = 1, max(1, math.ceil(load.steps))
        if when(_finish(load, high, path, least)) > deadline:
            return None
        while low < high:
            middle = (low + high) // 2
            if when(_finish(load, middle, path, least)) <= deadline:
                high = middle
            else:
                low = middle + 1
        return low

    return QueueNeed(
        queue=load.queue,
        node_type=load.node_type,
        steps=load.steps,
        work_seconds=load.seconds,
        fewest=fewest(lambda when: when.low_seconds),
        likely=fewest(lambda when: when.seconds),
        slots=fewest(lambda when: when.high_seconds),
    )


def _most_useful(load: _Load, soonest: float) -> QueueNeed:
    """The slots beyond which more would not help, where the batch cannot be done sooner."""
    slots = min(math.ceil(load.steps), max(1, math.ceil(load.seconds / soonest))) if soonest > 0 else 1
    return QueueNeed(
        queue=load.queue,
        node_type=load.node_type,
        steps=load.steps,
        work_seconds=load.seconds,
        fewest=slots,
        likely=slots,
        slots=slots,
    )


def _nodes(kind: NodeType, queues: Iterable[QueueNeed]) -> tuple[int | None, int | None, int | None]:
    own = [need for need in queues if need.node_type == kind.name]

    def most(slots: Callable[[QueueNeed], int | None]) -> int | None:
        wanted = [(slots(need), kind.slots[need.queue]) for need in own]
        counts = [None if number is None else math.ceil(number / each) for number, each in wanted]
        return None if None in counts else max((count for count in counts if count is not None), default=0)

    return most(lambda need: need.fewest), most(lambda need: need.likely), most(lambda need: need.slots)


def _done(loads: Sequence[_Load], offered: Mapping[tuple[str, str], int], path: float, least: float) -> Eta | None:
    if any((load.node_type, load.queue) not in offered for load in loads):
        return None
    slowest = max(loads, key=lambda load: load.seconds / offered[load.node_type, load.queue])
    found = _finish(slowest, offered[slowest.node_type, slowest.queue], path, least)
    return found.model_copy(update={"method": "work left by queue and planned slots, limits, and tail"})


def _cost(kind: NodeType, nodes: int | None, done: Eta | None) -> float | None:
    if kind.usd_per_hour is None or nodes is None or done is None:
        return None
    return nodes * kind.usd_per_hour * done.seconds / 3600
