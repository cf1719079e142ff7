"""A video's thumbnails: its best frame, cropped around what it shows, beside a title that is read at any size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ytray.errors import PermanentError
from ytray.studio.render import frames
from ytray.studio.render.frames import Pixels
from ytray.studio.render.probe import Probed, probe
from ytray.studio.render.subject import Box, Subject, faces, is_fading, score, subject_of
from ytray.studio.render.text.characters import clusters, is_unspaced, tongue_of
from ytray.studio.render.text.fonts import check_drawable
from ytray.studio.render.text.typesetting import draw, width

THUMBNAIL_LIMIT = 2 * 1024 * 1024  # bytes: what YouTube takes

_LOOKED_AT = 400  # pixels, the longer side of the frames that are compared
_CAPTIONLESS = {"upright": 0.64, "wide": 0.78}  # share of the height above the captions
_TRIED = 5  # best frames that are examined for a fade
_FACE = 1.0  # added to the score: as much as all else together
_CLOSEST = 1.6  # a picture is enlarged by so much at most to keep its subject clear of the title

_WHITE, _YELLOW, _INK = (255, 255, 255), (255, 214, 10), (12, 12, 18)
_GROUND = 0.05  # relative luminance at most behind the title: white on it has a contrast of 10, yellow of 7
_DEEPER = 1.6  # times as colourful as the picture
_AROUND_TITLE, _SOFT = 24, 280  # pixels around the title that the panel covers in full, and over which it runs out
_LINE = 1.16  # line height in font sizes
_REFERENCE = 100  # font size in which widths are measured
_NO_LINE_START = "、。，．・：；？！」』）】》〉’”)]}!?,.:;…ー々"


@dataclass(frozen=True)
class _Layout:
    """Where picture and title stand on a thumbnail; `clear` is the part of the picture that nothing covers."""

    size: tuple[int, int]
    picture: Box
    clear: Box
    title: Box
    largest: int
    smallest: int

    @property
    def stands(self) -> bool:
        """Whether it is higher than wide: then the title stands below the picture, else beside it."""
        return self.size[1] > self.size[0]

    @property
    def is_mirrored(self) -> bool:
        """Whether the title is on the right, as for scripts that are written from there."""
        return not self.stands and self.title.middle[0] > self.size[0] / 2


# The portrait title stands where grids that show 3:4 of a cover still show it.
_PORTRAIT = _Layout((1080, 1920), Box(0, 0, 1080, 1340), Box(40, 90, 1000, 1010), Box(72, 1160, 936, 540), 220, 72)


def _landscape(is_wide: bool, mirrored: bool) -> _Layout:
    share = 0.70 if is_wide else 0.62
    picture = Box(1280 * (1 - share), 0, 1280 * share, 720)
    clear, title = Box(660, 20, 600, 680), Box(56, 70, 610, 590)
    if mirrored:
        picture, clear, title = (
            Box(1280 - box.left - box.width, box.top, box.width, box.height) for box in (picture, clear, title)
        )
    return _Layout((1280, 720), picture, clear, title, 150, 52)


def thumbnails(source: Path, title: str, landscape: Path, portrait: Path, folder: Path) -> None:
    """Write two JPEG thumbnails under 2 MB with the title on the video's best frame: 1280×720 and 1080×1920 pixels.

    The best frame is sharp, well lit, colourful and not within a crossfade, one with a face if there is one; what lies
    where captions are drawn does not count. The crop keeps the face, else what stands out most, clear of the title.
    Files are put together in `folder`, and appear when they are complete.

    Raises PermanentError when no font can draw the title or the video cannot be read.
    """
    check_drawable(title)
    found = probe(source)
    if found.width is None or found.height is None:
        raise PermanentError(f"{source.name} has no pictures to make a thumbnail from")
    frame, subject = _best_frame(source, found)
    sides = _landscape(found.width > found.height, tongue_of(title).right_to_left), _PORTRAIT
    for layout, target in zip(sides, (landscape, portrait), strict=True):
        complete = folder / f"{target.name}.part"
        complete.write_bytes(_jpeg(_composed(frame, subject, title, layout)))
        complete.replace(target)


def _best_frame(source: Path, found: Probed) -> tuple[Image.Image, Subject]:
    """The best frame's part above the captions, in full size, and what it shows."""
    size = found.width or 2, found.height or 2
    small = _within(size, _LOOKED_AT)
    candidates = frames.overview(source, found, small)
    scores = [_score(_captionless(frame.pixels), frame.at / max(found.seconds, 0.1)) for frame in candidates]
    first = sorted(range(len(candidates)), key=lambda place: -scores[place])[:_TRIED]
    best = next((frame for frame in (candidates[place] for place in first) if not _fades(source, found, frame)), None)
    best = best or candidates[first[0]]
    subject = subject_of(_captionless(best.pixels))
    full = frames.frame_at(source, found, best.at, _within(size, 1920))
    return Image.fromarray(_captionless(full.pixels)), subject


def _score(pixels: Pixels, at: float) -> float:
    good = score(pixels, at)
    return good + _FACE if good > 0 and faces(pixels) else good


def _fades(source: Path, found: Probed, frame: frames.Frame) -> bool:
    height, width = frame.pixels.shape[:2]
    return is_fading(*(_captionless(near.pixels) for near in frames.around(source, found, frame.at, (width, height))))


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    share = min(1.0, longest / max(size))
    return max(2, round(size[0] * share)), max(2, round(size[1] * share))


def _captionless(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[: max(1, round(height * _CAPTIONLESS["wide" if width > height else "upright"]))]


def window(room: tuple[int, int], picture: Box, clear: Box, subject: Box) -> Box:
    """What part of a frame of `room` pixels fills `picture`, so that `subject` (in the frame) lies in `clear`.

    The widest such part; where there is none, the one that brings their middles nearest to each other.
    """
    best: tuple[float, Box] | None = None
    fit = min(room[0] / picture.width, room[1] / picture.height)
    for closer in np.arange(1.0, _CLOSEST + 0.01, 0.1):
        scale = fit / float(closer)  # frame pixels for each of the thumbnail
        wide, high = picture.width * scale, picture.height * scale
        wanted = clear.middle[0] - picture.left, clear.middle[1] - picture.top
        left = min(max(0.0, subject.middle[0] - wanted[0] * scale), room[0] - wide)
        top = min(max(0.0, subject.middle[1] - wanted[1] * scale), room[1] - high)
        free = Box(
            left + (clear.left - picture.left) * scale,
            top + (clear.top - picture.top) * scale,
            clear.width * scale,
            clear.height * scale,
        )
        if free.holds(subject):
            return Box(left, top, wide, high)
        aside = abs(free.middle[0] - subject.middle[0]) / wide + abs(free.middle[1] - subject.middle[1]) / high
        if best is None or aside < best[0] - 0.02:
            best = aside, Box(left, top, wide, high)
    assert best is not None
    return best[1]


def _composed(frame: Image.Image, subject: Subject, title: str, layout: _Layout) -> Image.Image:
    at, text = subject.box, _placed(title, layout)
    box = Box(at.left * frame.width, at.top * frame.height, at.width * frame.width, at.height * frame.height)
    seen = window(frame.size, layout.picture, layout.clear, box)
    left, top, right, bottom = layout.picture.ints()
    # By rounding, it may begin a little before the frame, or end behind it.
    ends = min(frame.width, seen.left + seen.width), min(frame.height, seen.top + seen.height)
    part = max(0.0, seen.left), max(0.0, seen.top), *ends
    picture = frame.resize((right - left, bottom - top), Image.Resampling.LANCZOS, part)
    panel = _panel(picture, layout.size)
    image = panel.copy()
    image.paste(picture, (left, top))
    image.paste(panel, (0, 0), _panel_mask(layout, text.box))
    _write(image, text)
    return image


def _panel(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A ground for the title, in the picture's own colour, so dark that white and yellow stand out from all of it."""
    little = np.asarray(picture.resize((32, 32), Image.Resampling.BOX), np.float32)
    vivid = (little.max(axis=2) - little.min(axis=2) + 1.0) ** 2  # greys say nothing of a colour
    colour = (little * vivid[..., None]).sum(axis=(0, 1)) / vivid.sum()
    grey = colour.mean()
    deep = np.clip(grey + (colour - grey) * _DEEPER, 4, 255)
    shades = [deep * (light / float(luminance(deep))) ** (1 / 2.4) for light in (_GROUND, _GROUND / 2.5)]
    share = np.linspace(0, 1, size[1], dtype=np.float32)[:, None, None]
    rows = np.clip(shades[0] * (1 - share) + shades[1] * share, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).copy())


def _panel_mask(layout: _Layout, text: Box) -> Image.Image:
    """Where the panel covers the picture: behind the title in full, and running out away from it."""
    width, height = layout.size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    seen = layout.picture
    if layout.stands:
        away = min(text.top - _AROUND_TITLE, seen.top + seen.height) - rows
    elif layout.is_mirrored:
        away = min(text.left - _AROUND_TITLE, seen.left + seen.width) - columns
    else:
        away = columns - max(text.left + text.width + _AROUND_TITLE, seen.left)
    near = np.clip(1 - away / _SOFT, 0, 1)
    return Image.fromarray((near * near * (3 - 2 * near) * 255).round().astype(np.uint8))


def luminance(pixels: NDArray[np.float32] | Pixels) -> NDArray[np.float32]:
    """Relative luminance of sRGB pixels, 0 to 1, after WCAG 2.2."""
    part = np.asarray(pixels, np.float32) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return (linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)).astype(np.float32)


@dataclass(frozen=True)
class _Placed:
    """A title in lines at a font size, and the left ends of the lines; `box` is what it covers. In pixels."""

    lines: tuple[str, ...]
    size: int
    lefts: tuple[float, ...]
    box: Box
    from_right: bool


def _placed(title: str, layout: _Layout) -> _Placed:
    room = layout.title
    lines, size = typeset(title, room.width, room.height, layout.largest, layout.smallest)
    widths = [width(line, size) for line in lines]
    high = len(lines) * size * _LINE
    from_right = tongue_of(title).right_to_left
    lefts = tuple(room.left + room.width - wide if from_right else room.left for wide in widths)
    box = Box(min(lefts), room.top + (room.height - high) / 2, max(widths), high)
    return _Placed(tuple(lines), size, lefts, box, from_right)


def _write(image: Image.Image, text: _Placed) -> None:
    """Draw the title: its last line in yellow, and a bar above it that the eye starts at."""
    box, wide, high = text.box, text.size * 0.9, max(8.0, text.size / 10)
    left = box.left + box.width - wide if text.from_right else box.left
    bar = Box(left, box.top - high - text.size * 0.12, wide, high).ints()
    ImageDraw.Draw(image).rounded_rectangle(bar, high / 2, _YELLOW)
    for place, (line, left) in enumerate(zip(text.lines, text.lefts, strict=True)):
        colour = _YELLOW if 0 < place == len(text.lines) - 1 else _WHITE
        at = left, box.top + place * text.size * _LINE
        draw(image, at, line, text.size, colour, max(2, text.size // 18), _INK)


def typeset(title: str, room: float, high: float, largest: int, smallest: int) -> tuple[list[str], int]:
    """A title's lines and font size: as large as it fits into `room` × `high` pixels, lines about equally long.

    What does not fit in the smallest size is cut off with an ellipsis.
    """
    pieces = list(_pieces(title))
    widths = {text: width(text, _REFERENCE) / _REFERENCE for text, _ in pieces}
    widths[" "] = width(" ", _REFERENCE) / _REFERENCE
    for size in range(largest, smallest - 1, -4):
        lines = _wrapped(pieces, widths, room / size)
        if lines is not None and len(lines) * size * _LINE <= high and len(lines) <= _most_lines(size, largest):
            return _balanced(pieces, widths, room / size, lines), size
    short = [(part, spaced) for text, spaced in pieces for part, spaced in _parts(text, spaced, room / smallest)]
    for text, _ in short:
        widths.setdefault(text, width(text, _REFERENCE) / _REFERENCE)
    lines = _wrapped(short, widths, room / smallest) or []
    kept = max(1, int(high / (smallest * _LINE)))
    if len(lines) > kept:
        last = lines[kept - 1]
        while width(f"{last}…", smallest) > room and len(last) > 1:
            last = last[:-1].rstrip()
        lines = [*lines[: kept - 1], f"{last}…"]
    return lines, smallest


def _most_lines(size: int, largest: int) -> int:
    """Few lines of large letters; smaller ones may be more."""
    return 4 if size > 0.75 * largest else 5 if size > 0.5 * largest else 12


def _pieces(title: str) -> Iterator[tuple[str, bool]]:
    """What may stand on a line of its own, and whether a space comes before it: words, or characters of a script
    without spaces."""
    for word in title.split():
        spaced = True
        piece = ""
        for cluster in clusters(word):
            glued = not piece or cluster[0] in _NO_LINE_START or piece[-1] in "「『（【《〈“‘([{"
            if not glued and (is_unspaced(cluster[0]) or is_unspaced(piece[-1])):
                yield piece, spaced
                spaced, piece = False, ""
            piece += cluster
        yield piece, spaced


def _parts(text: str, spaced: bool, room: float) -> Iterator[tuple[str, bool]]:
    """A piece in parts that fit a line, `room` font sizes wide."""
    part = ""
    for cluster in clusters(text):
        if part and width(part + cluster, _REFERENCE) / _REFERENCE > room:
            yield part, spaced
            part, spaced = "", False
        part += cluster
    yield part, spaced


def _wrapped(pieces: list[tuple[str, bool]], widths: dict[str, float], room: float) -> list[str] | None:
    """Lines that fit `room` font sizes, or None when a single piece does not."""
    lines: list[str] = []
    used = 0.0
    for text, spaced in pieces:
        wide = widths[text]
        if wide > room:
            return None
        gap = widths[" "] if spaced else 0.0
        if lines and used + gap + wide <= room:
            lines[-1] += f"{' ' if spaced else ''}{text}"
            used += gap + wide
        else:
            lines.append(text)
            used = wide
    return lines


def _balanced(pieces: list[tuple[str, bool]], widths: dict[str, float], room: float, lines: list[str]) -> list[str]:
    """As many lines as `lines`, in the narrowest room that takes no more."""
    for share in np.arange(0.5, 1.0, 0.04):
        narrow = _wrapped(pieces, widths, room * float(share))
        if narrow is not None and len(narrow) == len(lines):
            return narrow
    return lines


def _jpeg(image: Image.Image) -> bytes:
    for quality in (92, 84, 74, 60):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() < THUMBNAIL_LIMIT:
            break
    return buffer.getvalue()
