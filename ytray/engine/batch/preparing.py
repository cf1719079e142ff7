"""From an input to a batch: rows are read, checked and put aside piece by piece, and become a batch by one commit.

Nothing of this needs memory for the whole input, and what is never committed expires by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha1, sha256
from typing import Any

from pydantic_core import from_json, to_json

from ytray.engine.base.canonical import canonical_json
from ytray.engine.base.cron import next_after
from ytray.engine.base.model import MICRO, time_of
from ytray.engine.base.webhook_targets import check_url
from ytray.engine.batch.costs import ITEM_COSTS
from ytray.engine.batch.ledger import Change, Ledger
from ytray.engine.batch.model import BadRow, BatchOptions, InvalidRows, ItemState, Prepared
from ytray.engine.batch.rows import Row, checked_rows
from ytray.engine.batch.sources import Format, Source
from ytray.engine.batch.stages import seconds_for, stages_of_task
from ytray.engine.jobs.job import new_job_id
from ytray.engine.jobs.task import Options, Task
from ytray.engine.state.ownership import check_arguments
from ytray.errors import InvalidArguments, PayloadTooLarge, SettingsError
from ytray.settings import settings

_PART = 500  # rows put aside in one move
_BAD_KEPT = 1000  # wrong rows that are listed one by one


@dataclass(slots=True)
class _Tally:
    accepted: int = 0
    bad_count: int = 0
    duplicates: int = 0
    known: int = 0
    likely: float = 0.0
    most: float = 0.0


class Preparation:
    """An input that was read and checked, and waits to become a batch: `commit` it or `drop` it.

    Args:
        owner: the job that waits for the batch; when it is cancelled, so is the batch.
        told: called with how many rows were read so far, now and then.

    Raises InvalidArguments when the source cannot be read at all, or the options do not fit; ForeignArtifact when a row
    names an artifact that no job of the user may read.
    """

    def __init__(
        self,
        ledger: Ledger,
        task: Task[..., Any],
        source: Source,
        options: BatchOptions,
        *,
        format: Format | None = None,
        batch_id: str | None = None,
        owner: str | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        check_options(options)
        self.batch_id = batch_id or f"b{new_job_id()}"
        self._ledger = ledger
        self._task = task
        self._options = options
        self._owner = owner
        self._bad: list[BadRow] = []
        chosen = [task.name, options.model_dump(mode="json", exclude={"idempotency_key"})]
        # What tells the batch from another with its idempotency key: by bytes, as before version 2, and canonical.
        self._digest, self._same = sha256(to_json(chosen)), sha256(canonical_json(chosen))
        self._tally = _Tally()
        try:
            self._read(checked_rows(source, task, options.user_id, format, secret=ledger.store.secret()), told)
        except BaseException:
            self.drop()
            raise
        tally, priced = self._tally, task.name in ITEM_COSTS
        self.prepared = Prepared(
            accepted=tally.accepted,
            bad=self._bad,
            bad_count=tally.bad_count,
            duplicates=tally.duplicates,
            known=tally.known,
            likely_usd=round(tally.likely, 4) if priced else None,
            most_usd=round(tally.most, 4) if priced else None,
            seconds=seconds_for(ledger, stages_of_task(ledger, task.name), tally.accepted - tally.known),
        )

    def _read(self, checked: Iterator[Row | list[BadRow]], told: Callable[[int], None]) -> None:
        part, waiting, seen = 0, list[Row](), 0
        for found in checked:
            seen += 1
            _check_number(seen)
            if isinstance(found, Row):
                waiting.append(found)
                if len(waiting) == _PART:
                    part += 1
                    self._stage(part, waiting)
                    waiting = []
                    told(seen)
            else:
                self._refuse(found)
        if waiting:
            self._stage(part + 1, waiting)
        told(seen)

    def _stage(self, part: int, rows: list[Row]) -> None:
        user, again = self._options.user_id or "", self._options.cron is not None
        check_arguments(self._ledger.store, user, [row.payload for row in rows])
        verdicts = self._ledger.stage(self.batch_id, part, user, self._task.name, rows, again=again)
        costs = ITEM_COSTS.get(self._task.name)
        for row, verdict in zip(rows, verdicts, strict=True):
            self._digest.update(row.before[1].encode())
            self._same.update(row.plain.encode())
            if verdict == "duplicate":
                self._tally.duplicates += 1
                self._refuse([BadRow(line=row.line, field="key", reason=_duplicate(row))])
            elif verdict.startswith("conflict"):
                job = verdict.removeprefix("conflict ")
                reason = (
                    f"the key {row.key!r} stands for another row, whose job is {job}; give this one a new key, or "
                    "resume that row's batch with this input"
                )
                self._refuse([BadRow(line=row.line, field="key", reason=reason)])
            else:
                self._tally.accepted += 1
                self._tally.known += verdict == "known"
                if costs is not None and verdict != "known":
                    likely, most = costs(from_json(row.payload))
                    self._tally.likely += likely
                    self._tally.most += most

    def _refuse(self, rows: list[BadRow]) -> None:
        self._tally.bad_count += 1
        self._bad += rows[: max(0, _BAD_KEPT - len(self._bad))]

    def commit(self, *, skip_invalid: bool = False) -> str:
        """Make the batch: all of the rows that are right; returns its id, or that of one with the same idempotency key.

        Raises InvalidRows when there are wrong ones that are not to be skipped, InvalidArguments when none is right,
        IdempotencyConflict.
        """
        if self.prepared.bad_count and not skip_invalid:
            self.drop()
            raise InvalidRows(self._bad, self.prepared.bad_count)
        if not self.prepared.accepted:
            self.drop()
            raise InvalidArguments("the input has no row that could be an item: there is nothing to do")
        task, options, now_ms = self._task, self._options, self._ledger.store.now_ms()
        queue = task.queue
        task.keep_code(self._ledger.store)
        fields: dict[str, str | bytes | int] = {
            "task": task.name,
            "queue": queue,
            "lane": task.lane or queue,
            "prio": options.priority,
            "head": task.spec_head(Options(metadata=options.metadata), self._ledger.store, None),
        }
        chosen = {
            "name": options.name,
            "user": options.user_id,
            "key": options.idempotency_key,
            "concurrency": options.concurrency,
            "cron": options.cron,
            "on_complete": options.on_complete,
            "on_failure": options.on_failure,
            "owner": self._owner,
        }
        fields |= {name: value for name, value in chosen.items() if value is not None}
        start = round(options.start_at.timestamp() * 1000) if options.start_at else 0
        if options.cron:
            start = round(next_after(options.cron, time_of(max(now_ms, start))).timestamp() * 1000)
        return self._ledger.commit(
            self.batch_id,
            options,
            self._digest.hexdigest()[:32],
            self._same.hexdigest()[:32],
            start_ms=start if start > now_ms else 0,
            budget=None if options.budget_usd is None else round(options.budget_usd * MICRO),
            fields=[part for pair in fields.items() for part in pair],
        )

    def drop(self) -> None:
        """Forget the input: nothing was submitted."""
        self._ledger.drop(self.batch_id)


class Comparison:
    """A batch's edited input against the batch, by row key: rows that were added, changed, or are no longer there.

    Reads all of the input first. Raises InvalidRows when any row is wrong; then nothing was changed.
    """

    def __init__(
        self,
        ledger: Ledger,
        task: Task[..., Any],
        batch: str,
        fields: dict[str, str],
        source: Source,
        format: Format | None,
    ) -> None:
        self._ledger = ledger
        self._batch = batch
        self._list = f"bw:{batch}:{new_job_id()}"
        self._salt, self._user = fields.get("salt", ""), fields.get("user")
        self._seen = bytearray(int(fields["total"]) // 8 + 1)
        self._new_keys = set[str]()
        self._bad: list[BadRow] = []
        self._bad_count, rows = 0, list[Row]()
        checked = checked_rows(source, task, fields.get("user"), format, secret=ledger.store.secret())
        for seen, found in enumerate(checked, 1):
            _check_number(seen)
            if isinstance(found, Row):
                rows.append(found)
                if len(rows) == _PART:
                    self._compare(rows)
                    rows = []
            else:
                self._refuse(found)
        self._compare(rows)
        if self._bad:
            ledger.redis.delete(ledger.key(self._list))
            raise InvalidRows(self._bad, self._bad_count)
        gone = [n for n in range(1, int(fields["total"]) + 1) if not self._seen[n // 8] >> n % 8 & 1]
        for start in range(0, len(gone), _PART):
            records = ledger.records(batch, gone[start : start + _PART])
            self._put([Change("remove", r.number, Row(r.line, r.key, False, r.job_id, b"")) for r in records])

    def _compare(self, rows: list[Row]) -> None:
        if not rows:
            return
        check_arguments(self._ledger.store, self._user, [row.payload for row in rows])
        rows, numbers = self._found(rows)
        known = {r.number: r for r in self._ledger.records(self._batch, [n for n in numbers if n is not None])}
        given_up = [number for number, record in known.items() if record.state is ItemState.DISCARDED]
        back = self._ledger.removed(self._batch, given_up)
        changes = []
        for row, number in zip(rows, numbers, strict=True):
            if row.key in self._new_keys if number is None else self._seen[number // 8] >> number % 8 & 1:
                self._refuse([BadRow(line=row.line, field="key", reason=_duplicate(row))])
                continue
            if number is None:
                self._new_keys.add(row.key)
                changes.append(Change("add", 0, row))
                continue
            self._seen[number // 8] |= 1 << number % 8
            # After a cancellation the job that stands for a row has a turn at the end of its id.
            ids = {job for own in (row.job_id, *row.earlier_ids) for job in (own, self._salted(own))}
            if known[number].job_id.partition("_")[0] not in ids or number in back:
                changes.append(Change("change", number, row))
        self._put(changes)

    def _found(self, rows: list[Row]) -> tuple[list[Row], list[int | None]]:
        """The rows under the keys that the batch has them by, and their numbers; None for one that it does not have."""
        earlier = [replace(row, key=row.before[0]) for row in rows]
        now = self._ledger.numbers_of(self._batch, [row.key for row in rows])
        before = self._ledger.numbers_of(self._batch, [row.key for row in earlier])
        found = zip(rows, now, earlier, before, strict=True)
        chosen = [(row, number) if number is not None or was is None else (old, was) for row, number, old, was in found]
        return [row for row, _ in chosen], [number for _, number in chosen]

    def _refuse(self, rows: list[BadRow]) -> None:
        self._bad_count += 1
        self._bad += rows[: max(0, _BAD_KEPT - len(self._bad))]

    def _salted(self, job_id: str) -> str:
        """The id that a row's job has in a batch which is one of many of the same rows (lua/batch_release.lua)."""
        return "i" + sha1(f"{job_id} {self._salt}".encode(), usedforsecurity=False).hexdigest()[:24]

    def _put(self, changes: list[Change]) -> None:
        if changes:
            self._ledger.put_changes(self._list, changes)

    def apply(self) -> tuple[int, int, int]:
        """Change the batch, all at once; returns how many rows were added, changed and removed."""
        return self._ledger.amend(self._batch, self._list)


def check_options(options: BatchOptions) -> None:
    """Raises InvalidArguments for a cron expression that is none, and for a webhook that could not be told."""
    if options.cron is not None:
        try:
            if len(options.cron.split()) != 5:
                raise ValueError("it has not five fields")
            next_after(options.cron, datetime.now(UTC))
        except ValueError as wrong:
            raise InvalidArguments(
                f"cron: {options.cron!r} is no cron expression (five fields, as in '0 6 * * *'): {wrong}"
            ) from None
    for name, url in (("on_complete", options.on_complete), ("on_failure", options.on_failure)):
        if url is not None:
            try:
                check_url(url, name)
            except SettingsError as refused:
                raise InvalidArguments(str(refused)) from None


def _check_number(rows: int) -> None:
    most = settings().batch_rows
    if rows > most:
        raise PayloadTooLarge(f"a batch has at most {most:,} rows (YTRAY_BATCH_ROWS): split the input into several")


def _duplicate(row: Row) -> str:
    if row.given:
        return f"an earlier row has the key {row.key!r}, too; give each row its own"
    return "an earlier row is the same; leave it out, or give both a key of their own"
