"""A process of a node that fetches artifacts again and again; says `wrong` when one is not what it should be."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ytray.artifacts import ArtifactStore


def main() -> None:
    """`TIMES URI…`: each artifact is its own name, many times over."""
    store, times, uris = ArtifactStore(), int(sys.argv[1]), sys.argv[2:]
    for _ in range(times):
        for uri in uris:
            with tempfile.TemporaryDirectory(prefix="ytray-test-") as folder:
                content = store.fetch(uri, Path(folder)).read_bytes()
                name = uri.rpartition("/")[2].encode()
                if set(content) != set(name) or len(content) != 300_000:
                    print("wrong")
    print("done")


if __name__ == "__main__":
    main()
