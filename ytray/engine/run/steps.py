"""The place of each step of a flow: by its task and its order, so that a flow that runs again finds what it had done.

A flow's code runs in branches: its own, and one for each asyncio task that it starts (by `gather`, a TaskGroup,
`create_task`). A branch is known by where it was started, and in it a step by being the n-th of its task. So steps have
the same places in every run, however the branches take turns.

A flow that runs again first looks for a step with the same arguments, wherever it stood: its code may have changed, or
an older version may have named it. Where there is none, the place decides: arguments that differ from run to run (a
timestamp, a set) do no work twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

from pydantic_core import from_json

from ytray.engine.base import logs
from ytray.engine.base.model import JobState
from ytray.engine.state.store import Store
from ytray.errors import PermanentError

MOST_LIVING = 2_000  # steps of a flow that have not ended
_TURN = re.compile(r"_\d+$")  # of a flow that was cancelled and taken up again, and of its steps

_log = logs.get("ytray.flows")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A step that an earlier run submitted."""

    id: str
    task: str
    digest: bytes


class Steps:
    """The steps of one run of a flow. Threads of the flow may submit steps, too."""

    def __init__(self, flow_id: str, recorded: list[Recorded] | None = None) -> None:
        self._base = _TURN.sub("", flow_id)  # a flow that was taken up again ("…_2") finds the steps that it had
        self._recorded = {step.id: step for step in recorded or ()}
        self._alike: dict[tuple[str, bytes], list[str]] = {}
        for step in recorded or ():
            self._alike.setdefault((step.task, step.digest), []).append(step.id)
        self._taken: set[str] = set()
        self._living: set[str] = set()
        self._lock = threading.Lock()
        self._is_told = False
        self._root = Branch(self, "")
        self.branches: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def enter(self) -> None:
        """This coroutine is the flow's own branch."""
        _branch.set(self._root)

    def id_of(self, task: str, payload: bytes) -> str:
        """The id of the next step: one that an earlier run submitted, or a new one."""
        branch = _branch.get(None)
        if branch is None or branch.steps is not self:
            branch = self._root
        with self._lock:
            place = f"{self._base}.{sha256(branch.next_place(task).encode()).hexdigest()[:16]}"
            found = self._find(place, task, payload) if self._recorded else place
            self._taken.add(found)
            return found

    def make_room(self, number: int, states: Callable[[list[str]], list[JobState | None]]) -> None:
        """Raises PermanentError when the flow would have more steps that have not ended than it may."""
        with self._lock:
            if len(self._living) + number <= MOST_LIVING:
                return
            ids = sorted(self._living)
            ended = {step for step, state in zip(ids, states(ids), strict=True) if state is None or state.has_ended}
            self._living -= ended
            if len(self._living) + number > MOST_LIVING:
                raise PermanentError(
                    f"a flow has at most {MOST_LIVING:,} steps that have not ended, and these would be "
                    f"{len(self._living) + number:,}: await some before others are submitted, or make a batch of them"
                )

    def submitted(self, steps: Iterable[str]) -> None:
        """These steps are there, and have not ended as far as is known."""
        with self._lock:
            self._living.update(steps)

    def ended(self, step: str) -> None:
        """This step, or another job that the flow awaited, has ended."""
        with self._lock:
            self._living.discard(step)

    def _find(self, place: str, task: str, payload: bytes) -> str:
        digest = digest_of(payload)
        alike = [step for step in self._alike.get((task, digest), ()) if step not in self._taken]
        if alike:
            return place if place in alike else alike[0]
        if place in self._recorded and place not in self._taken:
            if not self._is_told:
                self._is_told = True
                _log.warning(
                    "this run gives a step other arguments than the run before; what it gave then counts",
                    step=place,
                    step_task=task,
                )
            return place
        number, fresh = 1, place
        while fresh in self._recorded or fresh in self._taken:
            number += 1
            fresh = f"{place}-{number}"
        return fresh


class Branch:
    """Code of a flow that runs in one sequence."""

    __slots__ = ("_begun", "_path", "_seen", "steps")

    def __init__(self, steps: Steps, path: str) -> None:
        self.steps = steps
        self._path = path
        self._begun = 0
        self._seen: dict[str, int] = {}

    def next_branch(self) -> Branch:
        """The branch that is started next from here."""
        self._begun += 1
        return Branch(self.steps, f"{self._path}/{self._begun}")

    def next_place(self, task: str) -> str:
        """Where the next step of that task stands."""
        self._seen[task] = number = self._seen.get(task, 0) + 1
        return f"{self._path}\0{task}\0{number}"


_branch: ContextVar[Branch] = ContextVar("ytray_branch")


def start_branch(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: Context | None = None,
    **more: Any,
) -> asyncio.Task[Any]:
    """The task factory of a loop that runs flows: what a flow starts is a branch of it."""
    inherited = _branch.get(None) if context is None else context.get(_branch)
    if inherited is None:
        return asyncio.Task(cast("Coroutine[Any, Any, Any]", coroutine), loop=loop, context=context, **more)
    if context is None:
        context = copy_context()
        context.run(_branch.set, inherited.next_branch())
    made = asyncio.Task(cast("Coroutine[Any, Any, Any]", coroutine), loop=loop, context=context, **more)
    inherited.steps.branches.add(made)
    return made


def digest_of(payload: bytes) -> bytes:
    """A digest of arguments that does not depend on the order of their names."""
    return sha256(json.dumps(from_json(payload), sort_keys=True).encode()).digest()


def may_have_run(flow_id: str, fence: int) -> bool:
    """Whether there may be steps of an earlier run of the flow."""
    return fence > 1 or _TURN.search(flow_id) is not None


def recorded_steps(where: Store, flow_id: str) -> list[Recorded]:
    """What earlier runs of a flow submitted, oldest first; also before it was cancelled and taken up again."""
    base = _TURN.sub("", flow_id)
    turn = int(flow_id.removeprefix(f"{base}_")) if flow_id != base else 1
    pipe = where.redis.pipeline(transaction=False)
    for name in [base, *(f"{base}_{number}" for number in range(2, turn + 1))]:
        pipe.smembers(where.key(f"k:{name}"))
    ids = sorted({step.decode() for steps in pipe.execute() for step in steps})
    pipe = where.redis.pipeline(transaction=False)
    for step in ids:
        pipe.hmget(where.key(f"j:{step}"), ["created", "task", "spec"])
    found: dict[str, tuple[int, int, Recorded]] = {}
    for step, (created, task, spec) in zip(ids, pipe.execute(), strict=True):
        own = _TURN.sub("", step)
        if None not in (created, task, spec) and own not in found:
            digest = sha256(json.dumps(from_json(spec)["args"], sort_keys=True).encode()).digest()
            found[own] = (int(created), len(own), Recorded(own, task.decode(), digest))
    return [step for _, _, step in sorted(found.values(), key=lambda row: (row[0], row[1], row[2].id))]
