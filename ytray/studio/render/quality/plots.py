"""Plots over the time of a video as inline SVG; all of the same width, so that they can stand below each other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 1000, 52, 12, 8, 24  # units of the drawing
_GAP = 1.2  # between bars that follow each other
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between marks
_MOST_MARKS = 14


class Plot:
    """A drawing that is filled step by step. Times in seconds, values between the two ends of `values`.

    Args:
        seconds: the length of the time axis.
        height: of the plotted area, in units of a drawing that is 1000 wide.
        values: the value at the bottom and the one at the top.
    """

    def __init__(self, seconds: float, height: float, values: tuple[float, float]) -> None:
        self._seconds, self._height, self._values = max(seconds, 0.001), height, values
        self._drawn: list[str] = []

    def across(self, at: float) -> float:
        """Where a time is, from the left."""
        return _LEFT + min(1.0, max(0.0, at / self._seconds)) * (_WIDTH - _LEFT - _RIGHT)

    def _down(self, value: float) -> float:
        low, high = self._values
        return _TOP + (1 - min(1.0, max(0.0, (value - low) / (high - low)))) * self._height

    def bar(self, start: float, end: float, low: float, high: float, kind: str) -> None:
        """A box from `start` to `end`, between two values."""
        top, bottom = sorted((self._down(low), self._down(high)))
        left = self.across(start)
        self._box(kind, left, top, max(1.0, self.across(end) - left - _GAP), bottom - top)

    def band(self, low: float, high: float) -> None:
        """A range of values that is wanted, over the whole time."""
        top = self._down(high)
        self._box("band", _LEFT, top, _WIDTH - _LEFT - _RIGHT, self._down(low) - top)

    def levels(self, values: Sequence[float]) -> None:
        """Lines at values, with their numbers."""
        for value in values:
            self._across_at(value, "grid")
            self.beside(value, f"{value:g}".replace("-", "−"))

    def limit(self, value: float) -> None:
        """A line that should not be passed."""
        self._across_at(value, "limit")

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points (time, value)."""
        if len(points) > 1:
            places = " ".join(f"{self.across(at):.1f},{self._down(value):.1f}" for at, value in points)
            self._add(f'<polyline class="{kind}" points="{places}"/>')

    def dot(self, at: float, value: float) -> None:
        """A point."""
        self._add(f'<circle class="dot" cx="{self.across(at):.1f}" cy="{self._down(value):.1f}" r="4"/>')

    def upright(self, at: float, low: float, high: float, kind: str) -> None:
        """A line at a time, between two values."""
        x = f"{self.across(at) - _GAP / 2:.1f}"
        self._add(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{self._down(low):.1f}" y2="{self._down(high):.1f}"/>')

    def label(self, at: float, value: float, text: str, kind: str) -> None:
        """A word in the middle of a place."""
        self._add(
            f'<text class="{kind}" x="{self.across(at):.1f}" y="{self._down(value) + 4:.1f}" text-anchor="middle">'
            f"{escape(text)}</text>"
        )

    def beside(self, value: float, text: str) -> None:
        """A word in the margin."""
        self._add(f'<text x="{_LEFT - 8}" y="{self._down(value) + 4:.1f}" text-anchor="end">{escape(text)}</text>')

    def drawn(self, title: str) -> str:
        """The SVG element; `title` is what a screen reader says."""
        height = _TOP + self._height + _BOTTOM
        body = "".join([*self._marks(), *self._drawn])
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img">'
            f"<title>{escape(title)}</title>{body}</svg>"
        )

    def _add(self, element: str) -> None:
        self._drawn.append(element)

    def _box(self, kind: str, left: float, top: float, width: float, height: float) -> None:
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self._add(f'<rect class="{kind}" {place} rx="2"/>')

    def _across_at(self, value: float, kind: str) -> None:
        y = f"{self._down(value):.1f}"
        self._add(f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')

    def _marks(self) -> list[str]:
        """The time axis."""
        step = next((step for step in _STEPS if self._seconds / step <= _MOST_MARKS), self._seconds)
        bottom = _TOP + self._height
        found = []
        for number in range(int(self._seconds / step + 1e-6) + 1):
            x = self.across(number * step)
            found.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom:g}"/>')
            anchor = "end" if x > _WIDTH - _RIGHT - 16 else "middle"
            text = _clock(number * step)
            found.append(f'<text x="{x:.1f}" y="{bottom + 17:g}" text-anchor="{anchor}">{text}</text>')
        return [*found, f'<line class="edge" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom:g}" y2="{bottom:g}"/>']


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
