"""The table of legal moves: the same in Python, in Lua and in the drawing, and never left by the scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ytray import InvalidTransition, JobState, UnknownJob, YtrayError
from ytray.engine.base.model import LEGAL_MOVES
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.system import redis_server

DRAWING = Path(__file__).parents[2] / "docs" / "state_machine.md"


def test_the_drawing_shows_the_codes_table() -> None:
    drawn = re.findall(r"^    ([A-Z]+) --> ([A-Z]+)$", DRAWING.read_text(), re.MULTILINE)
    assert {(a, b) for a, b in drawn} == {(a.value, b.value) for a, to in LEGAL_MOVES.items() for b in to}


def test_luas_table_is_pythons() -> None:
    prelude = (files("ytray.engine.state") / "lua" / "prelude.lua").read_text()
    table = prelude.partition("local LEGAL = {\n")[2].partition("\n}\n")[0]
    rows = re.findall(r"^  ([A-Z]+) = \{(.*)\},", table, re.M)
    found = {name: set(re.findall(r"([A-Z]+) = true", moves)) for name, moves in rows}
    assert found == {a.value: {b.value for b in to} for a, to in LEGAL_MOVES.items()}


@pytest.mark.parametrize("source", [state for state in JobState if state is not JobState.PENDING])
@pytest.mark.parametrize("to", list(JobState))
def test_an_outside_job_moves_only_as_the_table_allows(bare_moves: Store, source: JobState, to: JobState) -> None:
    job_id = f"{source}-{to}"
    create = ("outside", "default", 4, "", b"{}")
    bare_moves.track(job_id, JobState.QUEUED, b"{}", 60, create)
    for step in _path_to(source):
        bare_moves.track(job_id, step, b"{}", 60)
    before = bare_moves.history(job_id)
    if to in LEGAL_MOVES[source]:
        bare_moves.track(job_id, to, b"{}", 60)
        assert bare_moves.state(job_id) is to
    else:
        with pytest.raises(InvalidTransition, match=f"is {source} and cannot become {to}"):
            bare_moves.track(job_id, to, b"{}", 60)
        assert bare_moves.state(job_id) is source
        assert bare_moves.history(job_id) == before


def _path_to(state: JobState) -> list[JobState]:
    return {
        JobState.QUEUED: [],
        JobState.EXECUTING: [JobState.EXECUTING],
        JobState.COMPLETED: [JobState.EXECUTING, JobState.COMPLETED],
        JobState.FAILED: [JobState.EXECUTING, JobState.FAILED],
        JobState.RETRYING: [JobState.EXECUTING, JobState.FAILED, JobState.RETRYING],
        JobState.CANCELLED: [JobState.CANCELLED],
    }[state]


@pytest.fixture(scope="module")
def bare_moves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("redis")
    url, _ = redis_server.ensure(folder)
    yield Store(url, "ytray")
    redis_server.stop(folder)


WORKER = "w1"
ACTIONS = st.lists(
    st.sampled_from(
        [
            "claim",
            "start",
            "start elsewhere",
            "complete",
            "complete stale",
            "retry",
            "defer",
            "dead",
            "cancel",
            "hand back",
            "blame",
            "reap",
            "promote",
            "replay",
            "remove",
            "take office",
            "progress",
            "beat",
        ]
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, jobs=st.integers(1, 3), delayed=st.booleans())
def test_no_sequence_of_moves_breaks_a_jobs_life(
    bare_moves: Store, actions: list[str], jobs: int, delayed: bool
) -> None:
    walk = _Walk(bare_moves, jobs, delayed)
    for action in actions:
        walk.do(action)
        walk.check()


class _Walk:
    """Some jobs, and whatever a client, a tracker and workers could do to them in any order."""

    def __init__(self, store: Store, jobs: int, delayed: bool) -> None:
        store.redis.flushall()
        self.store = store
        self.ids = [f"job{number}" for number in range(jobs)]
        self.fences: dict[str, int] = {}
        self.commits: dict[str, int] = dict.fromkeys(self.ids, 0)
        store.take_office("tracker", "e", 60)
        what = Submission("noop", "media", "media", 4, delay_ms=1 if delayed else 0)
        store.submit([(job_id, b'{"code":"x","args":{}}') for job_id in self.ids], what)

    def do(self, action: str) -> None:
        store, some = self.store, [(job_id, self.fences.get(job_id, 0)) for job_id in self.ids]
        match action:
            case "claim":
                (claimed,) = store.claim("tracker", "e", 60_000, [LaneRoom("media", 2, 2)], short_tasks=["noop"])
                self.fences.update({job.job_id: job.fence for job in claimed})
            case "start" | "start elsewhere":
                worker = WORKER if action == "start" else "w2"
                for job in some:
                    fence = store.start(worker, 60_000, 60, [job])[0]
                    if fence:
                        self.fences[job[0]] = fence
            case "complete" | "complete stale":
                for job_id, fence in some:
                    offset = 0 if action == "complete" else -1
                    was = store.state(job_id)
                    store.complete(WORKER, 60, [(job_id, fence + offset, b"1", 5.0)])
                    if was is not JobState.COMPLETED and store.state(job_id) is JobState.COMPLETED:
                        assert action == "complete"
                        self.commits[job_id] += 1
            case "retry" | "defer" | "dead":
                store.fail(some[0], WORKER, action, "E: no", "tb", delay_ms=1, duration_ms=5, result_ttl=60)
            case "hand back" | "blame":
                store.hand_back(some, "test", blame=action == "blame", result_ttl=60)
            case "reap":
                store.redis.zadd(store.key("leases:tracker"), {some[0][0]: 1}, xx=True)
                store.reap("e", 10, 60)
            case "promote":
                for job_id in self.ids:
                    store.redis.zadd(store.key("due"), {job_id: 1}, xx=True)
                store.promote(10)
            case "take office":
                store.take_office("tracker", "e", 60)
            case "progress":
                store.note(some[0], WORKER, "progress", "50", "half")
            case "beat":
                store.beat("tracker", WORKER, 60_000, some)
            case _:
                self._by_people(action)

    def _by_people(self, action: str) -> None:
        try:
            if action == "cancel":
                self.store.cancel(self.ids[0], "test", 60)
            else:
                self.store.settle_dead_letter(self.ids[0], "retry" if action == "replay" else "remove")
        except (InvalidTransition, UnknownJob):
            pass
        except YtrayError as broken:
            pytest.fail(f"{action}: {broken}")

    def check(self) -> None:
        store = self.store
        for job_id in self.ids:
            state = store.state(job_id)
            chain = store.history(job_id)
            assert all(step.to_state in LEGAL_MOVES[step.from_state] for step in chain)
            assert all(a.to_state is b.from_state for a, b in pairwise(chain))
            assert (chain[-1].to_state if chain else JobState.PENDING) is state
            listed = [s for s in JobState if store.redis.zscore(store.key(f"in:media:{s}"), job_id) is not None]
            assert listed == [state]
            assert (store.redis.zscore(store.key("ready:media"), job_id) is not None) == (state is JobState.QUEUED)
            assert (store.redis.zscore(store.key("leases:tracker"), job_id) is not None) == (
                state is JobState.EXECUTING
            )
            waits = state in (JobState.PENDING, JobState.RETRYING)
            assert (store.redis.zscore(store.key("due"), job_id) is not None) == waits
            assert self.commits[job_id] <= 1
            assert (store.result(job_id) is not None) == (state is JobState.COMPLETED)
