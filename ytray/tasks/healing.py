"""Which errors of the studio's own steps time may heal. They always do the same, so any other would come again."""

from __future__ import annotations

from ytray import RetryPolicy
from ytray.errors import DamagedArtifact, DiskFull, SystemUnavailable

# A network, a quota, a full disk, a store or a service that is away. (Of lost workers, Ray and the reaper take care.)
_PASSING = (OSError, TimeoutError, DiskFull, DamagedArtifact, SystemUnavailable)
# Libraries of the network, whose errors have no base in common with these.
_OF_THE_NETWORK = frozenset("aiohttp botocore gcsfs google httpcore httpx ray redis s3fs".split())


def heals(error: BaseException) -> bool:
    """Whether time may heal an error of a step that always does the same."""
    return isinstance(error, _PASSING) or type(error).__module__.partition(".")[0] in _OF_THE_NETWORK


STEADY = RetryPolicy(heals=heals)
"""For tasks that measure, render or encode: what time cannot heal is given up after one more try."""
