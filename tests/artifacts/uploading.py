"""A process of its own that publishes one file, or fetches one, and tells how much memory that took."""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

from ytray.artifacts import ArtifactStore


def main() -> None:
    """`publish FILE FOLDER NAME`, or `fetch URI`; prints by how many bytes the peak of the memory has grown."""
    store = ArtifactStore()
    with tempfile.TemporaryDirectory(prefix="ytray-test-") as folder:
        small = Path(folder, "small")
        small.write_bytes(b"x" * 1000)  # what any transfer needs, is loaded before
        store.fetch(store.publish(small, "warm-up", f"small-{Path(folder).name}"), Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        match sys.argv[1:]:
            case ["publish", file, to, name]:
                store.publish(Path(file), to, name)
            case ["fetch", uri]:
                store.fetch(uri, Path(folder))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


if __name__ == "__main__":
    main()
