"""Lengths of time as people give them to a command."""

from __future__ import annotations

import re

from ytray.errors import InvalidArguments

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}  # seconds
_NUMBER = r"\d+(?:\.\d+)?"
_PART = rf"({_NUMBER})\s*([smhd])"


def seconds_of(given: str, option: str = "--deadline") -> float:
    """Seconds of 90, 90s, 1.5h or 1h30m, given as that option. Raises InvalidArguments."""
    text = given.strip().lower()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    if not re.fullmatch(rf"(?:{_PART}\s*)+", text):
        raise InvalidArguments(f"{option} {given!r} is no length of time such as 90s, 6h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
