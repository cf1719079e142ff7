"""Deleting what is old, kind by kind: batches, ended jobs with their files, and files that nobody needs any more.

What a job that has not ended may be using stays: its own files, and what its content names until it was not used for
YTRAY_KEPT_TTL. Files under names of your own in the store are yours to delete. Results expire by themselves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, get_args

from ytray.artifacts import BOUGHT, TAKEN_IN, ArtifactStore, StoredFile
from ytray.engine.base.model import ENDED, QUEUE_PRIORITIES, JobState
from ytray.engine.jobs.unit import folders_that_count
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store
from ytray.settings import settings

Kind = Literal["batches", "jobs", "attempts", "kept", "assets", "partial"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PAGE = 500  # jobs, or owners of files
_RENDERED = re.compile(r"[a-z]+-[0-9a-f]{40}")  # scenes and sounds, named by all that went into them
_DAY = 86400.0  # seconds: no attempt and no upload that is older is still at work


@dataclass(frozen=True, slots=True)
class Removed:
    """How much of one kind a clean-up deleted: things, and bytes of their files."""

    count: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up deleted, or in a dry run would: jobs, batches, and how much of each kind that was asked for."""

    job_ids: tuple[str, ...] = ()
    batch_ids: tuple[str, ...] = ()
    kinds: Mapping[Kind, Removed] = field(default_factory=dict)

    @property
    def jobs_removed(self) -> int:
        """How many jobs went."""
        return len(self.job_ids)


def cleanup(*, dry_run: bool = False, kinds: Collection[Kind] | None = None) -> Cleaned:
    """Delete what has been kept long enough, of these kinds or of all.

    - batches: ended more than YTRAY_BATCH_TTL seconds ago.
    - jobs: ended more than YTRAY_HISTORY_TTL seconds ago, with histories, results and files. Kept all the same: jobs in
      the dead-letter queue, and the steps of a flow and the items of a batch that is still there.
    - attempts: files of attempts that did not commit, after a day; of jobs that are gone, after YTRAY_HISTORY_TTL.
    - kept: rendered scenes and sounds, and files taken in by their content, not used for YTRAY_KEPT_TTL seconds.
    - assets: what was bought, once the spend journal no longer has its call (YTRAY_JOURNAL_TTL).
    - partial: files that were begun more than a day ago and never finished.
    """
    where, files, asked = store(), ArtifactStore(), set(kinds or KINDS)
    batch_ids = _clean_batches(dry_run) if "batches" in asked else ()
    job_ids = _forget_jobs(where, dry_run) if "jobs" in asked else ()
    counts = dict.fromkeys((kind for kind in KINDS if kind in asked), 0)
    sizes = dict(counts)
    for kind, ids in (("batches", batch_ids), ("jobs", job_ids)):
        if kind in counts:
            counts[kind] = len(ids)
    for file, kind in _Files(where, files, asked, job_ids, dry_run).due():
        counts[kind] += kind != "jobs"
        sizes[kind] += file.size
        if not dry_run:
            files.discard(file)
    return Cleaned(job_ids, batch_ids, {kind: Removed(counts[kind], sizes[kind]) for kind in counts})


def _clean_batches(dry_run: bool) -> tuple[str, ...]:
    from ytray.engine.batch.batches import batches

    return tuple(batches.cleanup(store().now_ms() - settings().batch_ttl * 1000, dry_run=dry_run))


def _forget_jobs(where: Store, dry_run: bool) -> tuple[str, ...]:
    before_ms = where.now_ms() - settings().history_ttl * 1000
    gone: list[str] = []
    for queue in QUEUE_PRIORITIES:
        for state in sorted(ENDED):
            kept = 0
            while True:
                # A job ended after it was created, so none that is newer than the limit can be due.
                ids = where.redis.zrangebyscore(
                    where.key(f"in:{queue}:{state}"), "-inf", before_ms, start=kept, num=_PAGE
                )
                page = [job_id.decode(errors="replace") for job_id in ids if isinstance(job_id, bytes)]
                if not page:
                    break
                removed = where.forget(page, before_ms, dry_run=dry_run)
                gone.extend(removed)
                kept += len(page) if dry_run else len(page) - len(removed)
    return tuple(gone)


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose files are looked at: a job, whose folder `counts`, or a name that stands for a content."""

    is_gone: bool
    state: JobState | None
    counts: str | None
    has_call: bool


class _Files:
    """The files of a store that a clean-up is to delete."""

    def __init__(
        self, where: Store, files: ArtifactStore, asked: set[Kind], job_ids: Collection[str], dry_run: bool
    ) -> None:
        self._where, self._files, self._asked = where, files, asked
        self._gone, self._dry_run = set(job_ids), dry_run
        self._now = time.time()

    def due(self) -> Iterator[tuple[StoredFile, Kind]]:
        """Each of them, and what it is. Folders that the caller empties meanwhile go too."""
        found = self._listed() if self._asked - {"batches"} else iter(())
        while page := list(islice(found, _PAGE)):
            for (name, files), owner in zip(page, self._owners([name for name, _ in page]), strict=True):
                for file in files:
                    kind = self._kind(file, owner)
                    if kind in self._asked:
                        yield file, kind
                if not self._dry_run:
                    self._files.prune(name, self._now + 60 if owner.is_gone else self._now - _DAY)

    def _listed(self) -> Iterator[tuple[str, list[StoredFile]]]:
        """Whose files may be due: those of the whole store, or only those of the jobs that have just gone."""
        if self._asked & {"attempts", "kept", "assets", "partial"}:
            return self._files.by_owner()
        return ((job_id, self._files.files(job_id)) for job_id in sorted(self._gone))

    def _owners(self, names: Sequence[str]) -> Iterator[_Owner]:
        states, counting = self._where.states(names), folders_that_count(self._where, names)
        pipe = self._where.redis.pipeline(transaction=False)
        for name in names:
            pipe.exists(self._where.key(f"s:{name.removeprefix(BOUGHT)}"))
        for name, state, counts, has_call in zip(names, states, counting, pipe.execute(), strict=True):
            # A job may have been submitted anew under the id of one that has just been forgotten.
            is_gone = name in self._gone and (self._dry_run or state is None)
            yield _Owner(is_gone, state, counts, bool(has_call))

    def _kind(self, file: StoredFile, owner: _Owner) -> Kind | None:
        """What kind of old file it is; None for one that stays."""
        limits = settings()
        age = 0.0 if file.modified is None else self._now - file.modified
        if owner.is_gone:
            return "jobs"
        if file.is_partial:
            return "partial" if age > _DAY else None
        if file.is_of_attempt and owner.state is None:
            return "attempts" if age > max(_DAY, limits.history_ttl) else None
        if file.is_of_attempt and owner.state is not None:
            did_not_count = owner.state.has_ended and file.folder != owner.counts
            return "attempts" if did_not_count and age > _DAY else None
        if file.owner.startswith(BOUGHT):
            return "assets" if age > limits.journal_ttl and not owner.has_call else None
        if file.owner.startswith(TAKEN_IN) or _is_rendered(file):
            return "kept" if age > limits.kept_ttl else None
        return None


def _is_rendered(file: StoredFile) -> bool:
    return _RENDERED.fullmatch(file.owner) is not None and file.name.partition(".")[0] == file.owner
