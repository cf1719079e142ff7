"""`python -m benchmarks.simulated NODES JOBS [SECONDS]`: the scenario, as one JSON line."""

from __future__ import annotations

import json
import sys

from benchmarks.simulated.scenario import SLOTS, play, told

_DEMAND = 2000  # jobs a second that the slots could do: about what one tracker and a Redis on two cores can feed them


def main(nodes: int, jobs: int, mean: float | None) -> None:
    """Play the scenario and print what was measured."""
    seconds = max(1.0, nodes * sum(SLOTS.values()) / _DEMAND) if mean is None else mean
    print(json.dumps(told(play(nodes, jobs, seconds))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else None)
