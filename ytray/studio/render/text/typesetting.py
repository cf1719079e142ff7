"""One line of text: its width and its ink, with a font for each of its scripts, in the order in which it is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, features

from ytray.studio.render.text import bidi
from ytray.studio.render.text.characters import Tongue, cleaned, clusters, tongue_of
from ytray.studio.render.text.fonts import ROBOTO, Face, face_of

_EMOJI_SIZE = 109  # pixels to the em: the only size in Noto Color Emoji
_Colour = tuple[int, int, int]


@dataclass(frozen=True)
class _Run:
    """Neighbouring characters of one part that have a font and a direction in common."""

    part: int
    level: int
    face: Face
    text: str
    advance: float

    @property
    def blank(self) -> bool:
        return self.text.isspace()


class Line:
    """A line of `parts`, texts in the order in which they are read, at a font size in pixels.

    Parts are drawn one by one, so that each can have a colour of its own. `spacing` is added to each space, in pixels.
    `width` is the line's, `spans` has the left and right end of each part without its spaces, or None for one without
    ink. Characters that no font has are left out: `fonts.check_drawable` tells of them.
    """

    def __init__(self, parts: Sequence[str], size: int, tongue: Tongue, spacing: float = 0.0) -> None:
        self._size = size
        runs = _runs(parts, size, tongue, spacing)
        self._placed: list[tuple[float, _Run]] = []
        self.width = 0.0
        for place in bidi.visual_order([run.level for run in runs]):
            self._placed.append((self.width, runs[place]))
            self.width += runs[place].advance
        self.spans = [self._span(part) for part in range(len(parts))]

    def _span(self, part: int) -> tuple[float, float] | None:
        inked = [(left, left + run.advance) for left, run in self._placed if run.part == part and not run.blank]
        return (min(left for left, _ in inked), max(right for _, right in inked)) if inked else None

    @property
    def reach(self) -> tuple[float, float]:
        """How far the ink reaches above and below the baseline, in pixels."""
        above = below = 0.0
        for _, run in self._placed:
            if run.face.in_colour:
                picture, rise = _emoji(run.text, self._size)
                above, below = max(above, rise), max(below, picture.height - rise)
            elif not run.blank:
                font = _font(run.face, self._size)
                _, top, _, bottom = font.getbbox(run.text, anchor="ls", direction=_direction(run.level))
                above, below = max(above, -top), max(below, bottom)
        return above, below

    def draw_ink(
        self, mask: Image.Image, x: float, baseline: float, parts: Collection[int] | None = None, stroke: float = 0.0
    ) -> None:
        """Draw letters on `mask`, an image of mode L: those of some `parts`, or of all; `stroke` is how much bolder."""
        pen = ImageDraw.Draw(mask)
        for left, run in self._placed:
            if not run.blank and not run.face.in_colour and (parts is None or run.part in parts):
                pen.text(
                    (x + left, baseline),
                    run.text,
                    fill=255,
                    font=_font(run.face, self._size),
                    anchor="ls",
                    direction=_direction(run.level),
                    stroke_width=stroke,
                )

    def draw_emoji(self, image: Image.Image, x: float, baseline: float, parts: Collection[int] | None = None) -> None:
        """Lay the emoji of some `parts`, or of all, over `image`, which has mode RGBA."""
        for left, run in self._placed:
            if run.face.in_colour and (parts is None or run.part in parts):
                picture, rise = _emoji(run.text, self._size)
                _overlay(image, picture, (round(x + left), round(baseline - rise)))


def width(text: str, size: int) -> float:
    """The width of a text in one line, in pixels."""
    return Line([text], size, tongue_of(text)).width


def draw(
    image: Image.Image,
    xy: tuple[float, float],
    text: str,
    size: int,
    fill: _Colour,
    stroke_width: int,
    stroke_fill: _Colour,
) -> None:
    """Draw a text in one line on `image` (mode RGB); `xy` is the left end of the line at its font's full height."""
    line = Line([text], size, tongue_of(text))
    baseline = xy[1] + _font(ROBOTO, size).getmetrics()[0]
    # Only the line's own room is drawn: an em above and below is enough for every script.
    left, top = int(xy[0]) - size, int(baseline) - 2 * size
    room = (int(line.width) + 2 * size, 3 * size)
    for colour, stroke in ((stroke_fill, stroke_width), (fill, 0)):
        mask = Image.new("L", room)
        line.draw_ink(mask, xy[0] - left, baseline - top, stroke=stroke)
        image.paste(colour, (left, top), mask)
    emoji = Image.new("RGBA", room)
    line.draw_emoji(emoji, xy[0] - left, baseline - top)
    image.paste(emoji, (left, top), emoji)


def _runs(parts: Sequence[str], size: int, tongue: Tongue, spacing: float) -> list[_Run]:
    texts = [cleaned(part) for part in parts]
    levels = bidi.levels("".join(texts), tongue.right_to_left)
    pieces: list[tuple[int, int, Face, str]] = []
    at = 0
    for part, text in enumerate(texts):
        for cluster in clusters(text):
            face, level = face_of(cluster, tongue.cjk), levels[at]
            at += len(cluster)
            if face is None:
                continue
            last = pieces[-1] if pieces else None
            # An emoji is always by itself: side by side, two could come out as one, and they are drawn as pictures.
            if last and last[:3] == (part, level, face) and not face.in_colour and _alike(last[3], cluster):
                pieces[-1] = (part, level, face, last[3] + cluster)
            else:
                pieces.append((part, level, face, cluster))
    return [_Run(*piece, _advance(*piece[1:], size, spacing)) for piece in pieces]


def _alike(text: str, cluster: str) -> bool:
    return text.isspace() == cluster.isspace()


def _advance(level: int, face: Face, text: str, size: int, spacing: float) -> float:
    if text.isspace():
        # The ideographic space is as wide as a character; the others are as wide as Roboto's.
        return sum(size if char == "\u3000" else _font(ROBOTO, size).getlength(" ") + spacing for char in text)
    if face.in_colour:
        return _font(face, _EMOJI_SIZE).getlength(text, direction=_direction(0)) * size / _EMOJI_SIZE
    return _font(face, size).getlength(text, direction=_direction(level))


@cache
def _direction(level: int) -> Literal["ltr", "rtl"] | None:
    """The direction to shape a run in; None without the library that could, when there is but plain Latin."""
    if not features.check("raqm"):
        return None
    return "rtl" if level % 2 else "ltr"


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face.file, size, index=face.index)


@lru_cache(maxsize=256)
def _emoji(text: str, size: int) -> tuple[Image.Image, float]:
    """An emoji's picture at a font size, and how far it rises above the baseline."""
    font = _font(next(face for face in [face_of(text, "SC")] if face), _EMOJI_SIZE)
    left, top, right, bottom = font.getbbox(text, anchor="ls", direction=_direction(0))
    picture = Image.new("RGBA", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(picture).text(
        (-left, -top), text, font=font, anchor="ls", direction=_direction(0), embedded_color=True
    )
    scale = size / _EMOJI_SIZE
    smaller = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Scaled with the colours multiplied by their cover; otherwise an edge of the empty ground's black would show.
    return picture.convert("RGBa").resize(smaller, Image.Resampling.LANCZOS).convert("RGBA"), -top * scale


def _overlay(image: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """`picture` over `image`; what reaches beyond it to the left or above is cut off."""
    cut = (max(0, -at[0]), max(0, -at[1]))
    if cut[0] < picture.width and cut[1] < picture.height and at[0] < image.width and at[1] < image.height:
        image.alpha_composite(picture, (max(0, at[0]), max(0, at[1])), cut)
