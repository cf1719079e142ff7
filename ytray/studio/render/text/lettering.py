"""Captions as pictures: a transparent box that is laid over the video, and the frames at which it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter
from pydantic import JsonValue

from ytray.studio.model import CaptionStyle
from ytray.studio.platforms import PRESETS, Platform
from ytray.studio.render.text.captions import Caption
from ytray.studio.render.text.characters import Tongue, cleaned, draws_nothing, tongue_of
from ytray.studio.render.text.fonts import fonts_of
from ytray.studio.render.text.phrases import break_cost
from ytray.studio.render.text.typesetting import Line
from ytray.studio.render.timeline import FRAMES_PER_SECOND

_LOOKS = 1  # raised when the same captions come out different from what they were
_Colour = tuple[int, int, int]
_Shape = tuple[float, float, float, float]  # left, top, right, bottom

_WHITE, _WARM, _INK = (255, 255, 255), (255, 214, 60), (16, 13, 20)
_OTHER_SHAPE_BOTTOM = 0.09
_SAME_SHAPE = 0.1  # how far apart the logarithms of two shapes may be: 4:5 and 1:1 are 0.22 apart
_SHRINK = 0.96
_LINE_PITCH = 1.17  # of the size, from baseline to baseline
_ASCENT, _DESCENT = (
    0.78,
    0.22,
)  # of the size: what Roboto's letters need, so that lines stand alike with and without them
_UNEVEN = 8.0  # how bad lines of unequal width are, as their difference grows to the whole room
_LONELY = 3.0  # how bad a line of one word is; both against the costs of breaks in phrases.py


@dataclass(frozen=True)
class Lettering:
    """What is drawn over a stretch of video: pictures in one box, and the frame from which each is shown.

    Args:
        left, top, width, height: the box in the video, in pixels, all even.
        pictures: RGBA with straight alpha, each (height, width, 4); blank where nothing is shown.
        starts: the frame of the stretch from which each is shown; the first is 0.
    """

    left: int
    top: int
    width: int
    height: int
    pictures: list[NDArray[np.uint8]]
    starts: list[int]


@dataclass(frozen=True)
class _Plate:
    """A rounded rectangle behind text: its colour and opacity, and by how much it is larger, in sizes of the font."""

    colour: _Colour
    opacity: float
    beside: float
    above: float
    radius: float


@dataclass(frozen=True)
class _Look:
    """A style. Lengths are in sizes of the font, sizes of the font in shorter sides of the video."""

    tall: float = 0.082
    wide: float = 0.066
    lit: _Colour | None = None
    outline: float = 0.0
    shadow_drop: float = 0.0
    shadow_blur: float = 0.0
    shadow: float = 0.0  # opacity
    spacing: float = 0.0
    box: _Plate | None = None
    pill: _Plate | None = None


_STYLES: dict[CaptionStyle, _Look] = {
    "highlight": _Look(lit=_WARM, outline=0.075, shadow_drop=0.05, shadow_blur=0.08, shadow=0.75),
    "boxed": _Look(lit=_WARM, box=_Plate(_INK, 0.72, beside=0.34, above=0.2, radius=0.3)),
    "pill": _Look(
        lit=_WHITE,
        outline=0.07,
        shadow_drop=0.04,
        shadow_blur=0.07,
        shadow=0.6,
        spacing=0.12,
        pill=_Plate((108, 60, 244), 1.0, beside=0.17, above=0.09, radius=0.26),
    ),
    "clean": _Look(tall=0.055, wide=0.055, outline=0.035, shadow_drop=0.03, shadow_blur=0.06, shadow=0.9),
}


def safe_box(size: tuple[int, int], platform: Platform) -> tuple[float, float, float, float]:
    """Where captions may stand in a video of that size: left, top, right, bottom in pixels.

    Tall videos (9:16) are shown under the platform's buttons and texts, and so are videos of the shape that the
    platform is made for. Any other is shown in a frame with those around it, and needs but a margin at its bottom.
    """
    width, height = size
    preset = PRESETS[platform]
    own = abs(math.log(width / height / (preset.size[0] / preset.size[1]))) < _SAME_SHAPE
    bottom = preset.safe.bottom if own or height > 1.5 * width else _OTHER_SHAPE_BOTTOM
    return width * preset.safe.left, height * preset.safe.top, width * (1 - preset.safe.right), height * (1 - bottom)


def letter(
    captions: Sequence[Caption], frames: int, size: tuple[int, int], style: CaptionStyle, platform: Platform
) -> Lettering | None:
    """Draw captions for a stretch of `frames` frames of a video of `size`; None when there is nothing to draw.

    Their times are in seconds from the stretch's first frame; a word is lit from the frame at which it is spoken.
    """
    changes = _changes(captions, frames, style)
    shown = sorted({place for _, place, _ in changes if place >= 0})
    blocks = {place: _Block(captions[place], size, _STYLES[style], platform) for place in shown}
    if not blocks:
        return None
    left = min(block.left for block in blocks.values()) // 2 * 2
    top = min(block.top for block in blocks.values()) // 2 * 2
    width = -(-(max(block.right for block in blocks.values()) - left) // 2) * 2
    height = -(-(max(block.bottom for block in blocks.values()) - top) // 2) * 2
    drawn: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for _, place, lit in changes:
        if (place, lit) not in drawn:
            picture = np.zeros((height, width, 4), np.uint8)
            if place >= 0:
                block = blocks[place]
                rows, columns = slice(block.top - top, block.bottom - top), slice(block.left - left, block.right - left)
                picture[rows, columns] = block.picture(lit)
            drawn[place, lit] = picture
    pictures = [drawn[place, lit] for _, place, lit in changes]
    return Lettering(left, top, width, height, pictures, [frame for frame, _, _ in changes])


def lettering_key(
    captions: Sequence[Caption], frames: int, size: tuple[int, int], style: CaptionStyle, platform: Platform
) -> JsonValue:
    """All that decides what `letter` draws, without drawing it: the same key, the same pictures."""
    changes = _changes(captions, frames, style)
    shown = sorted({place for _, place, _ in changes if place >= 0})
    if not shown:
        return None
    texts: list[JsonValue] = []
    fonts: set[tuple[str, str]] = set()
    for place in shown:
        caption = captions[place]
        tongue = _tongue(caption)
        texts.append([*caption.parts, tongue.cjk, tongue.right_to_left])
        fonts.update(fonts_of(caption.text, tongue))
    numbers = {place: number for number, place in enumerate(shown)}
    return [
        _LOOKS,
        [[frame, numbers.get(place, -1), lit] for frame, place, lit in changes],
        texts,
        [list(font) for font in sorted(fonts)],
        list(size),
        style,
        list(safe_box(size, platform)),
    ]


def _changes(captions: Sequence[Caption], frames: int, style: CaptionStyle) -> list[tuple[int, int, int]]:
    """What is shown from which frame on: (frame, place of the caption or -1, place of the lit word or -1)."""
    changes = {0: (-1, -1)}
    for place, caption in enumerate(captions):
        first, after = _frame(caption.start), _frame(caption.end)
        if after <= first or all(map(draws_nothing, caption.text)):
            continue
        karaoke = _STYLES[style].lit is not None
        changes[max(0, first)] = (place, 0 if karaoke else -1)
        for number, word in enumerate(caption.words if karaoke else ()):
            if number and _frame(word.start) < after:
                changes[max(0, first, _frame(word.start))] = (place, number)
        changes[max(0, after)] = (-1, -1)
    found: list[tuple[int, int, int]] = []
    for frame, change in sorted(changes.items()):
        if frame < frames and (not found or found[-1][1:] != change):
            found.append((frame, *change))
    return found


def _frame(seconds: float) -> int:
    """The first frame at or after a moment; a thousandth of a frame is forgiven to the sums of times."""
    return math.ceil(seconds * FRAMES_PER_SECOND - 1e-3)


def _tongue(caption: Caption) -> Tongue:
    return caption.tongue or tongue_of(caption.text)


@dataclass(frozen=True)
class _Placed:
    """A line in the video: where its left end and its baseline are, and which words it has."""

    line: Line
    x: float
    baseline: float
    words: range


class _Block:
    """A caption that is set: its lines in their places, and its ink, from which each of its pictures is made.

    `left`, `top`, `right` and `bottom` are the room that its pictures take in the video, in pixels.
    """

    def __init__(self, caption: Caption, size: tuple[int, int], look: _Look, platform: Platform) -> None:
        self._look = look
        safe = safe_box(size, platform)
        self._size, lines = _set(caption, size, look, _room(size, safe))
        self._around = math.ceil(_beyond(look) * self._size)
        self._place(lines, size, safe)
        self._draw()

    def _place(self, lines: list[tuple[Line, range]], size: tuple[int, int], safe: _Shape) -> None:
        """Stand the lines above the safe area's bottom, in the middle of the video."""
        reaches = [_reach(line, self._size) for line, _ in lines]
        pitch = _LINE_PITCH * self._size
        for (_, below), (above, _) in pairwise(reaches):
            pitch = max(pitch, above + below + 0.06 * self._size)
        baseline = math.floor(safe[3]) - self._around - reaches[-1][1]
        self._lines: list[_Placed] = []
        for number, (line, words) in enumerate(lines):
            y = round(baseline - pitch * (len(lines) - 1 - number))
            self._lines.append(_Placed(line, round((size[0] - line.width) / 2), y, words))
        widest = max(line.width for line, _ in lines)
        self.left = max(math.ceil(safe[0]), math.floor((size[0] - widest) / 2) - self._around)
        self.right = min(math.floor(safe[2]), math.ceil((size[0] + widest) / 2) + self._around)
        self.top = max(math.ceil(safe[1]), math.floor(self._lines[0].baseline - reaches[0][0]) - self._around)
        self.bottom = math.floor(safe[3])
        self._ink_box = (
            (size[0] - widest) / 2 - self.left,
            self._lines[0].baseline - reaches[0][0] - self.top,
            (size[0] + widest) / 2 - self.left,
            self._lines[-1].baseline + reaches[-1][1] - self.top,
        )

    def _draw(self) -> None:
        """Draw the ink of each word, the emoji, what lies below the words, and the caption with no word lit."""
        look = self._look
        room = (self.right - self.left, self.bottom - self.top)
        self._emoji = Image.new("RGBA", room)
        outline, ink = Image.new("L", room), Image.new("L", room)
        self._words: dict[int, tuple[Image.Image, _Shape]] = {}
        self._nearest = math.inf  # pixels between two words of a line, 0 in scripts without spaces
        for placed in self._lines:
            x, y = placed.x - self.left, placed.baseline - self.top
            placed.line.draw_emoji(self._emoji, x, y)
            if look.outline:
                placed.line.draw_ink(outline, x, y, stroke=look.outline * self._size)
            above, below = _reach(placed.line, self._size)
            spans = sorted(span for span in placed.line.spans if span)
            self._nearest = min([self._nearest, *(after[0] - before[1] for before, after in pairwise(spans))])
            for place, word in enumerate(placed.words):
                if span := placed.line.spans[place]:
                    mask = Image.new("L", room)
                    placed.line.draw_ink(mask, x, y, {place})
                    ink = ImageChops.lighter(ink, mask)
                    self._words[word] = mask, (x + span[0], y - above, x + span[1], y + below)
        self._ink = ink
        self._below = self._ground(outline)
        self._plain = self._below.copy()
        self._plain.alpha_composite(_layer(_WHITE, ink))
        self._plain.alpha_composite(self._emoji)

    def _ground(self, outline: Image.Image) -> Image.Image:
        """What lies below the words: the box, the shadow, the outline."""
        look, image = self._look, Image.new("RGBA", outline.size)
        if look.box:
            _lay(image, look.box, self._ink_box, self._size)
        if look.shadow:
            casting = ImageChops.lighter(outline, self._emoji.getchannel("A"))
            dropped = ImageChops.offset(casting, 0, round(look.shadow_drop * self._size))
            soft = dropped.filter(ImageFilter.GaussianBlur(look.shadow_blur * self._size))
            image.alpha_composite(_layer(_INK, soft.point(_scale(look.shadow))))
        image.alpha_composite(_layer(_INK, outline))
        return image

    def picture(self, lit: int) -> NDArray[np.uint8]:
        """The caption with a word lit, or with none at -1: (height, width, 4)."""
        if lit not in self._words:
            return np.asarray(self._plain)
        mask, word = self._words[lit]
        # Only the word's own room is drawn anew. A pill reaches further than an outline, and covers the word's.
        area = (
            max(0, math.floor(word[0]) - self._around),
            max(0, math.floor(word[1]) - self._around),
            min(mask.width, math.ceil(word[2]) + self._around),
            min(mask.height, math.ceil(word[3]) + self._around),
        )
        patch = self._below.crop(area)
        if self._look.pill:
            shape = (word[0] - area[0], word[1] - area[1], word[2] - area[0], word[3] - area[1])
            # Between words without spaces it ends where they do, or it would cover the neighbours' outlines.
            beside = max(0.0, min(self._look.pill.beside, self._nearest / 2 / self._size))
            _lay(patch, replace(self._look.pill, beside=beside), shape, self._size)
        colours = Image.new("RGB", patch.size, _WHITE)
        colours.paste(self._look.lit or _WHITE, mask=mask.crop(area).point(_ANY))
        patch.alpha_composite(_layer(colours, self._ink.crop(area)))
        patch.alpha_composite(self._emoji.crop(area))
        image = self._plain.copy()
        image.paste(patch, area)
        return np.asarray(image)


_ANY = [0, *[255] * 255]  # every pixel that has any ink, wholly


def _beyond(look: _Look) -> float:
    """How far a style draws beyond the letters, in sizes of the font. A blur is over at 2.5 of its deviations."""
    plates = [plate for plate in (look.box, look.pill) if plate]
    shadow = look.outline + look.shadow_drop + 2.5 * look.shadow_blur if look.shadow else 0.0
    return max([shadow, *(max(plate.beside, plate.above) for plate in plates)])


def _room(size: tuple[int, int], safe: _Shape) -> float:
    """How wide a line may be, with what is drawn around it, when it stands in the middle of the video."""
    return 2 * min(size[0] / 2 - safe[0], safe[2] - size[0] / 2) - 4  # pixels of rounding


def _set(caption: Caption, size: tuple[int, int], look: _Look, room: float) -> tuple[int, list[tuple[Line, range]]]:
    """A caption in at most two lines, as large as the style has it or as fits: the size of its font, and the lines."""
    parts, tongue = [cleaned(part) for part in caption.parts], _tongue(caption)
    points = max(8, round(min(size) * (look.tall if size[1] >= size[0] else look.wide)))
    while True:
        fitting = room - 2 * _beyond(look) * points
        measured = Line(parts, points, tongue, look.spacing * points)
        lines = (
            [(measured, range(len(parts)))]
            if measured.width <= fitting
            else _parted(parts, points, tongue, look, fitting)
        )
        if lines or points == 1:
            return points, lines or [(measured, range(len(parts)))]
        points = max(1, min(points - 1, round(points * _SHRINK)))


def _parted(parts: list[str], points: int, tongue: Tongue, look: _Look, room: float) -> list[tuple[Line, range]]:
    """The caption in two lines where it reads best and they are about as wide; none where they do not fit."""
    choices: list[tuple[float, int, list[tuple[Line, range]]]] = []
    for place in range(1, len(parts)):
        halves = [parts[:place], [parts[place].lstrip(), *parts[place + 1 :]]]
        upper, lower = (Line(half, points, tongue, look.spacing * points) for half in halves)
        if max(upper.width, lower.width) <= room:
            cost = break_cost(parts[place - 1].strip(), parts[place].strip())
            cost += _UNEVEN * abs(upper.width - lower.width) / room + _LONELY * (1 in (place, len(parts) - place))
            choices.append((cost, place, [(upper, range(place)), (lower, range(place, len(parts)))]))
    return min(choices, key=lambda choice: choice[:2])[2] if choices else []


def _reach(line: Line, size: int) -> tuple[float, float]:
    """How far a line's letters reach above and below its baseline, in pixels: Roboto's, or more in taller scripts."""
    above, below = line.reach
    return max(above, _ASCENT * size), max(below, _DESCENT * size)


def _layer(colours: _Colour | Image.Image, mask: Image.Image) -> Image.Image:
    layer = Image.new("RGB", mask.size, colours) if isinstance(colours, tuple) else colours
    layer = layer.convert("RGBA")
    layer.putalpha(mask)
    return layer


def _lay(image: Image.Image, plate: _Plate, around: _Shape, size: int) -> None:
    """Lay a plate over `image` behind what stands in `around`."""
    left, top, right, bottom = around
    beside, above = plate.beside * size, plate.above * size
    cover = _rounded(image.size, (left - beside, top - above, right + beside, bottom + above), plate.radius * size)
    image.alpha_composite(_layer(plate.colour, cover.point(_scale(plate.opacity))))


def _scale(opacity: float) -> list[int]:
    return [round(level * opacity) for level in range(256)]


def _rounded(size: tuple[int, int], shape: _Shape, radius: float) -> Image.Image:
    """A rounded rectangle as a mask, with smooth edges: a pixel is covered by its distance from the rectangle."""
    left, top, right, bottom = shape
    radius = min(radius, (right - left) / 2, (bottom - top) / 2)
    x = np.abs(np.arange(size[0], dtype=np.float32) + 0.5 - (left + right) / 2) - (right - left) / 2 + radius
    y = np.abs(np.arange(size[1], dtype=np.float32) + 0.5 - (top + bottom) / 2) - (bottom - top) / 2 + radius
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside = np.minimum(np.maximum(x[None, :], y[:, None]), 0)
    cover = np.clip(radius - outside - inside + 0.5, 0, 1)
    return Image.fromarray(np.asarray(np.rint(cover * 255), np.uint8))
