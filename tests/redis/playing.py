"""One small playing of everything on a bare store: every script is called, and jobs are left in every state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ytray.engine.base.model import JobState
from ytray.engine.batch.ledger import Change, Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.rows import Row
from ytray.engine.state import schema
from ytray.engine.state.link import SCRIPTS
from ytray.engine.state.store import Claimed, LaneRoom, Store, Submission
from ytray.engine.state.webhook_secrets import webhook_secret

SPEC = b'{"code":"x","args":{}}'
TTL = 3600
_CALLED_OTHERWISE = {"claim"}  # in a pipeline


class Playing(Store):
    """A store that remembers which scripts were called."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.called: set[str] = set(_CALLED_OTHERWISE)

    def call(self, script: str, *args: Any) -> Any:
        self.called.add(script)
        return super().call(script, *args)


def play(store: Playing) -> None:
    """Play everything, and check on the way that it does what it should."""
    schema.bring_up_to_date(store)
    store.call("schema", "free", schema.current(), "nobody", 1, 0)
    store.take_office("tracker", "e", TTL)
    _jobs(store)
    _flow(store)
    _batches(store)
    _money(store)
    _by_people(store)
    assert store.called == set(SCRIPTS), "scripts that were not played"


def claim(store: Store, most: int, lane: str = "default", worker: str = "") -> Sequence[Claimed]:
    holder = "flows" if worker else "tracker"
    (claimed,) = store.claim(holder, "e", 60_000, [LaneRoom(lane, 0, most)], worker=worker)
    return claimed


def submit(store: Store, *ids: str, lane: str = "default", **more: Any) -> None:
    store.submit([(job_id, SPEC) for job_id in ids], Submission("play", "default", lane, 4, user="u", **more))


def take(store: Store, number: int, lane: str = "default") -> list[tuple[str, int]]:
    jobs = [(job.job_id, job.fence) for job in claim(store, number, lane)]
    fences = store.start("w", 60_000, TTL, jobs)
    assert len(jobs) == number
    assert all(fences)
    assert store.start("w", 60_000, TTL, jobs) == fences, "a start that is repeated is no crash"
    return [(job_id, fence) for (job_id, _), fence in zip(jobs, fences, strict=True)]


def fail(store: Store, job: tuple[str, int], what: str, delay_ms: int = 0) -> None:
    assert store.fail(job, "w", what, f"E: {what}", "tb", delay_ms=delay_ms, duration_ms=5, result_ttl=TTL)


def _jobs(store: Playing) -> None:
    submit(store, "done", key="k", digest="d")
    (done,) = take(store, 1)
    store.note(done, "w", "progress", "50", "half")
    store.note(done, "w", "checkpoint", b'{"at":1}')
    undo = ("prepare", "digest", "undo", "default", "default", 4, SPEC)
    assert store.call("unit", *done, "w", *undo)
    assert store.beat("tracker", "w", 60_000, [done]) == []
    assert store.complete("w", TTL, [(*done, b'"result"', 5.0)]) == 0
    submit(store, "dead")
    fail(store, take(store, 1)[0], "dead")
    submit(store, "retrying")
    fail(store, take(store, 1)[0], "retry", 3_600_000)
    submit(store, "again")
    fail(store, take(store, 1)[0], "retry")
    assert store.promote(10)[0] == 1
    (again,) = take(store, 1)
    assert store.hand_back([again], "its node died", blame=True, result_ttl=TTL) == 1
    (again,) = take(store, 1)
    assert store.hand_over("w", [again], "its node is drained", TTL) == 1
    (waiting,) = claim(store, 1)
    store.beat("tracker", "", 1, [(waiting.job_id, waiting.fence)])
    while not store.reap("e", 10, TTL)[1]:
        pass
    submit(store, "delayed", delay_ms=3_600_000)
    submit(store, *(f"many-{n}" for n in range(30)))
    store.track("elsewhere", JobState.QUEUED, b"{}", TTL, ("theirs", "default", 4, "u", SPEC))
    assert store.admit("caller", 10) == 0
    assert [store.call("breaker", "shop", what, what, "refused", 60, 1, 60) for what in ("failed", "ok")] == [
        b"0.000"
    ] * 2
    assert webhook_secret(store, "u").secret == webhook_secret(store, "u").secret
    assert store.call("clock", 0, 0)[1] == b"0"
    store.call("clock", -1000, 1000)
    store.redis.set(store.key("code:d19e57"), b"pickled")
    assert store.call("keep_code", "j:done", "code:d19e57", "code:0") == 1
    assert store.call("migrate_names", "j:", "done", "dead") == 0


def _flow(store: Playing) -> None:
    store.take_office("flows", "e", TTL)
    store.submit([("flow", SPEC)], Submission("play_flow", "default", "~flow", 9, user="u"))
    ((flow),) = claim(store, 1, "~flow", "flows")
    submit(store, "flow.step", parent="flow")
    (step,) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])[0]
    assert store.complete("flows", TTL, [("flow", flow.fence, b"1", 1.0)]) == 0
    assert store.state("flow") is JobState.COMPLETED
    store.hand_back([(step.job_id, step.fence)], "not begun", blame=False, result_ttl=TTL)


def _rows(*names: str) -> list[Row]:
    return [
        Row(line, name, True, f"i{name}", json.dumps({"word": name}).encode()) for line, name in enumerate(names, 1)
    ]


def _batches(store: Playing) -> None:
    ledger = Ledger(store)
    fields = ("task", "play", "queue", "default", "lane", "batch-lane", "prio", 4, "head", '{"code":"x","args":')
    for name, cron in (("b1", None), ("b2", "0 0 1 1 *"), ("b3", None)):
        assert (
            ledger.stage(name, 1, "u", "play", _rows("r1", "r2", "r3"), again=bool(cron)) == ["ok"] * 3 or name != "b1"
        )
        ledger.commit(
            name, BatchOptions(user_id="u", cron=cron), "d", "d", start_ms=0, budget=5, fields=[*fields, "user", "u"]
        )
    assert ledger.release("b1", 2) == (2, 1)
    first, second = claim(store, 2, "batch-lane")
    store.start("w", 60_000, TTL, [(first.job_id, first.fence), (second.job_id, second.fence)])
    store.complete("w", TTL, [(first.job_id, first.fence, b"1", 1.0)])
    fail(store, (second.job_id, second.fence), "dead")
    ledger.put_changes("changes", [Change("remove", 3, _rows("r1", "r2", "r3")[2])])
    assert ledger.amend("b1", "changes") == (0, 0, 1)
    assert ledger.redo("b1", 1 << 50) == 1
    ledger.control("b1", "pause")
    assert ledger.fire("b2", "b4", "salt", 1 << 50, 1)
    ledger.control("b3", "cancel", "not wanted")
    assert ledger.to_stop("b3", 10) == []
    assert ledger.unwanted(10) == []
    assert not ledger.discard("b1", [2])
    assert ledger.forget("b3", 1 << 50, dry_run=True)


def _money(store: Playing) -> None:
    submit(store, "payer", lane="paying")
    (job,) = take(store, 1, "paying")
    about = ("a provider", "a model", "text", "about it", 0, "stop", "", 1, 60_000, TTL)
    assert store.call("spend_open", "call", *job, "w", "u", "2026-11", 1000, *about) == [b"GO"]
    assert store.call("spend_mark", "call", *job, "w", "sent", "")
    assert store.call("spend_close", "call", *job, "uncertain", 0, b"", b"", "nobody knows")
    assert store.call("spend_allow", "call") == b"uncertain"


def _by_people(store: Playing) -> None:
    submit(store, "unwanted")
    store.cancel("unwanted", "not wanted", TTL)
    submit(store, "replayed", lane="replaying")
    fail(store, take(store, 1, "replaying")[0], "dead")
    store.settle_dead_letter("replayed", "retry")
    store.pause("media", paused=True)
    assert store.forget(["unwanted"], 1 << 50, dry_run=True) == ["unwanted"]
    assert len(store.list_jobs(limit=10)[0]) == 10
    assert store.owners_and_sizes(["elsewhere", "nothing"]) == [("u", len(SPEC)), (None, 0)]
