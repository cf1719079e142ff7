"""Cron expressions, always in UTC: what is due, and what follows, also where the clock was set, or slept for days.

In UTC no hour is missing or comes twice, whatever the time zone of the machine does.
"""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter

_NAMED = "%Y%m%dT%H%M%S"


def next_after(cron: str, at: datetime) -> datetime:
    """The first due time after a moment."""
    following: datetime = _times(cron, at).get_next(datetime)
    return following


def latest_until(cron: str, at: datetime) -> datetime:
    """The last due time that has come at a moment."""
    earlier: datetime = _times(cron, at).get_prev(datetime)
    following = next_after(cron, earlier)
    return following if following <= at else earlier


def was_set_back(cron: str, fired: datetime, now: datetime) -> bool:
    """Whether so much of the time before the last firing lies ahead that the clock must have been set back.

    By less than from one due time to the next, it is waited out: nothing is fired twice for that.
    """
    return now < fired and fired - now >= next_after(cron, fired) - fired


def name_of(due: datetime, latest: datetime | None) -> str:
    """What names a due time. One that the clock shows again after `latest` was fired has another name."""
    again = f"-{latest:{_NAMED}}" if latest is not None and due <= latest else ""
    return f"{due:{_NAMED}}{again}"


def _times(cron: str, at: datetime) -> croniter:
    return croniter(cron, at.astimezone(UTC), second_at_beginning=True)
