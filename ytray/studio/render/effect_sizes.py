"""How large MoviePy's effects make a frame, told from their arguments: a frame is memory, and nothing shows so much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

_MOST_TIMES = 4  # the sides of the video
_MOST_AVERAGED = 60  # frames that are held at once


class AnEffect(Protocol):
    """An effect by its name and arguments."""

    name: str
    arguments: dict[str, Any]


def check_sizes(effects: Iterable[AnEffect], size: tuple[int, int]) -> None:
    """Raises ValueError when one of the effects, applied in their order, makes a frame far larger than the video."""
    width, height = float(size[0]), float(size[1])
    most = _MOST_TIMES * max(size)
    for effect in effects:
        width, height = _after(effect, width, height)
        if max(width, height) > most:
            raise ValueError(
                f"the effect {effect.name} makes a frame of {width:.0f}×{height:.0f} pixels, and the video has "
                f"{size[0]}×{size[1]}: at most {most} a side"
            )
        averaged = _number(effect.arguments, "n_frames") if effect.name == "SuperSample" else 0
        if averaged > _MOST_AVERAGED:
            raise ValueError(f"the effect SuperSample averages at most {_MOST_AVERAGED} frames, not {averaged:.0f}")


def _after(effect: AnEffect, width: float, height: float) -> tuple[float, float]:
    given = effect.arguments
    if effect.name == "Margin":
        around = 2 * _number(given, "margin_size")
        sides = [_number(given, side) for side in ("left", "right", "top", "bottom")]
        return width + max(around, sides[0] + sides[1]), height + max(around, sides[2] + sides[3])
    if effect.name == "Resize":
        return _resized(given, width, height)
    if effect.name == "Scroll":
        return max(width, _number(given, "w")), max(height, _number(given, "h"))
    if effect.name == "Rotate" and given.get("expand", True):
        return width + height, width + height  # more than its diagonal
    return width, height


def _resized(given: Mapping[str, Any], width: float, height: float) -> tuple[float, float]:
    wanted = given.get("new_size")
    if isinstance(wanted, (list, tuple)) and len(wanted) == 2:
        sides = dict(zip(("width", "height"), wanted, strict=True))
        wide, high = (_number(sides, side) for side in sides)
        return wide or width * high / height, high or height * wide / width
    if wanted is not None:
        factor = _number(given, "new_size")
        return width * factor, height * factor
    wide, high = _number(given, "width"), _number(given, "height")
    if wide and high:
        return wide, high
    factor = wide / width or high / height or 1.0
    return width * factor, height * factor


def _number(given: Mapping[str, Any], name: str) -> float:
    """A number among the arguments; 0 for what is none, of which MoviePy itself complains."""
    value = given.get(name)
    return abs(float(value)) if isinstance(value, (int, float)) else 0.0
