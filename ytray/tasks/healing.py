"""Which errors of the studio's own steps time may heal. They always do the same, so any other would come again."""

from __future__ import annotations

from ytray import RetryPolicy
from ytray.errors import DamagedArtifact, DiskFull, SystemUnavailable

# A network, a quota, a full disk, a store or a service that is away. (Of lost workers, Ray and the reaper take care.)
_PASSING = (ConnectionError, TimeoutError, DiskFull, DamagedArtifact, SystemUnavailable)
# Of the operating system's, those that say what a file is.
_OF_A_FILE = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
# Libraries of the network, whose errors have no base in common with these.
_OF_THE_NETWORK = frozenset("aiohttp botocore gcsfs google httpcore httpx ray redis requests s3fs urllib3".split())


def heals(error: BaseException) -> bool:
    """Whether time may heal an error of a step that always does the same."""
    if isinstance(error, _PASSING) or type(error).__module__.partition(".")[0] in _OF_THE_NETWORK:
        return True
    # Pillow raises OSErrors without a number, for damaged pictures.
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, _OF_A_FILE)


STEADY = RetryPolicy(heals=heals)
"""For tasks that measure, render or encode: what time cannot heal is given up after one more try."""
