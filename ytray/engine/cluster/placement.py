"""Where a job is rather run: near its inputs, where artifacts are kept elsewhere than on a disk that all nodes share.

A node keeps what its jobs published or fetched in a cache of its own, so a job that takes such a file starts sooner
there. It is a wish: where that node has no room, any other will do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ytray.artifacts.store import root_of
from ytray.engine.cluster.nodes import workers_of
from ytray.engine.state.store import Claimed, Store
from ytray.settings import settings

_ALSO_CALLED = {"s3a": "s3", "gcs": "gs"}  # what artifacts' URIs begin with, whatever the setting does
_REMOTE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Nearness:
    """Finds the node that has most of a job's inputs: the one that ran the jobs which made them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        root = root_of(settings()).rstrip("/")
        for also, told in _ALSO_CALLED.items():
            root = re.sub(f"^{also}:", f"{told}:", root)
        self._root = root.encode() if _REMOTE.match(root) else None
        self._made_by = re.compile(re.escape(root).encode() + rb'/([A-Za-z0-9][A-Za-z0-9._-]*)/[0-9]+/[^"]')

    def of(self, jobs: Sequence[Claimed], serving: Mapping[str, str]) -> dict[str, str]:
        """By job, the id of the node to run it on; left out where it makes no difference.

        `serving` has the ids of the nodes that take work, by what the names of their workers begin with.
        """
        if self._root is None or len(serving) < 2:
            return {}
        makers = {job.job_id: self._made_by.findall(job.spec) for job in jobs if self._root in job.spec}
        asked = sorted({maker.decode() for found in makers.values() for maker in found})
        if not asked:
            return {}
        workers = workers_of(self._store, asked)
        near: dict[str, str] = {}
        for job_id, found in makers.items():
            words = Counter(workers.get(maker.decode(), "").partition(":")[0] for maker in found)
            places = [serving[word] for word, _ in words.most_common() if word in serving]
            if places:
                near[job_id] = places[0]
        return near
