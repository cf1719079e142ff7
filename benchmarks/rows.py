"""A row of the figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measure: what, the figure with its unit, what it is compared with, the ratio, and the target."""

    what: str
    figure: str
    against: str
    ratio: str
    target: str
    met: bool
