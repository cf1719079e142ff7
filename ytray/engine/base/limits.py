"""Time limits of a job: which ones are in force when only one of the two is given."""

from __future__ import annotations

import math
from typing import TypeGuard

SOFT_TIME_LIMIT = 25 * 60.0  # seconds
TIME_LIMIT = 30 * 60.0  # seconds
_SOFT_SHARE = SOFT_TIME_LIMIT / TIME_LIMIT  # of the hard limit: what is left is for the task to tidy up


def check_limits(soft: object, hard: object) -> None:
    """Raise ValueError, in one sentence, unless each limit is None or seconds above 0, and soft is at most hard."""
    for name, limit in (("soft_time_limit", soft), ("time_limit", hard)):
        if limit is not None and not (_is_number(limit) and limit > 0):
            raise ValueError(f"{name} is in seconds, a number above 0, not {limit!r}")
    if _is_number(soft) and _is_number(hard) and soft > hard:
        raise ValueError(f"the soft time limit ({soft:g} s) must be at most the hard one ({hard:g} s)")


def limits_in_force(
    soft: float | None, hard: float | None, default_soft: float = SOFT_TIME_LIMIT, default_hard: float = TIME_LIMIT
) -> tuple[float, float]:
    """The soft and the hard limit in seconds, where None is not given: the other one follows the one that is.

    A hard limit below the soft default takes the soft one down with it, to five sixths of itself, which is how the
    defaults (25 and 30 minutes) stand to each other; a soft limit above the hard default takes the hard one up.
    """
    if soft is None:
        soft = default_soft if hard is None or default_soft <= hard else hard * _SOFT_SHARE
    if hard is None:
        hard = default_hard if soft <= default_hard else soft / _SOFT_SHARE
    return soft, hard


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
