"""Other formats of a finished video, and its thumbnails."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.fonts import BOLD, check_drawable
from ytray.studio.render.probe import probe

THUMBNAIL_LIMIT = 2 * 1024 * 1024  # bytes: what YouTube takes
_LONGEST_WORD = 40  # characters: what fits a line in the smallest size
_CANDIDATES = 8  # frames looked at for the thumbnail

_ENCODERS: dict[str, list[str]] = {
    "mp4": ["-c", "copy", "-movflags", "+faststart"],
    "mov": ["-c", "copy", "-movflags", "+faststart"],
    "webm": "-c:v libvpx-vp9 -crf 34 -b:v 0 -row-mt 1 -deadline good -cpu-used 5 -c:a libopus -b:a 128k".split(),
    "gif": ["-vf", "fps=12,scale=360:-2:flags=lanczos,split[a][b];[a]palettegen=max_colors=128[p];[b][p]paletteuse"],
    "m4a": ["-vn", "-c:a", "copy"],
    "mp3": ["-vn", "-c:a", "libmp3lame", "-q:a", "2"],
}


def export(source: Path, form: str, output: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write `source` in another format. Raises PermanentError for an unknown one or an unreadable file."""
    if form not in _ENCODERS:
        raise PermanentError(f"there is no export format {form!r}; there are {', '.join(_ENCODERS)}")
    seconds = probe(source).seconds
    arguments = ["-i", str(source.resolve()), *_ENCODERS[form]]
    ffmpeg.run(arguments, output, seconds=seconds, folder=output.parent, progress=progress)


def thumbnails(source: Path, title: str, landscape: Path, portrait: Path, folder: Path) -> None:
    """Write two JPEG thumbnails with the title on the video's best frame: 1280×720 and 1080×1920 pixels.

    Raises PermanentError when the font cannot draw the title or the video cannot be read.
    """
    check_drawable(title)
    frame = _best_frame(source, folder)
    _save(_titled(_filled(frame, (1280, 720)), title), landscape)
    _save(_titled(_filled(frame, (1080, 1920)), title), portrait)


def _best_frame(source: Path, folder: Path) -> Image.Image:
    """Of some frames over the video, the one with most detail that is neither dark nor burnt out."""
    seconds = probe(source).seconds
    best: tuple[float, Image.Image] | None = None
    for number in range(_CANDIDATES):
        still = folder / f"frame{number}.bmp"  # quick to write: it is read once
        at = seconds * (number + 0.5) / _CANDIDATES
        arguments = ["-ss", f"{at:.3f}", "-i", str(source.resolve()), "-frames:v", "1", "-update", "1"]
        ffmpeg.run(arguments, still, seconds=0, folder=folder)
        with Image.open(still) as opened:
            frame = opened.convert("RGB")
        grey = np.asarray(frame.convert("L"), dtype=np.float32)
        upper = grey[: int(grey.shape[0] * 0.6)]  # the captions are below, and are not what a thumbnail is chosen for
        detail = float(np.abs(np.diff(upper, axis=0)).mean() + np.abs(np.diff(upper, axis=1)).mean())
        exposure = 1 - abs(float(grey.mean()) - 118) / 138
        opening = 1.6 if number == 0 else 1.0  # the first scene shows what the video is about
        score = detail * exposure * opening
        if best is None or score > best[0]:
            best = (score, frame)
    if best is None:
        raise PermanentError(f"{source.name} has no frame to make a thumbnail from")
    return best[1]


def _filled(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The frame's captionless upper part, over a blurred copy of itself where the shapes differ."""
    width, height = size
    upper = frame.crop((0, 0, frame.width, round(frame.height * (0.62 if frame.height > frame.width else 0.78))))
    back = _covering(upper, size).filter(ImageFilter.GaussianBlur(width / 40))
    back = Image.blend(back, Image.new("RGB", size), 0.25)
    if width > height:
        front = upper.resize((round(height * upper.width / upper.height), height), Image.Resampling.LANCZOS)
        fade = Image.linear_gradient("L").rotate(90).resize((front.width // 4, height))
        mask = Image.new("L", front.size, 255)
        mask.paste(fade, (0, 0))
        back.paste(front, (width - front.width, 0), mask)
        return back
    return _covering(upper, size)


def _covering(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    scale = max(size[0] / image.width, size[1] / image.height)
    large = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    left, top = (large.width - size[0]) // 2, (large.height - size[1]) // 2
    return large.crop((left, top, left + size[0], top + size[1]))


def _titled(image: Image.Image, title: str) -> Image.Image:
    width, height = image.size
    title = " ".join(word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…" for word in title.split())
    room = width * (0.5 if width > height else 0.86)
    draw = ImageDraw.Draw(image)
    for size in range(round(width * 0.12), 20, -4):
        font = ImageFont.truetype(str(BOLD), size)
        lines = _wrapped(title, font, room)
        if lines is not None and len(lines) * size * 1.14 <= height * (0.62 if width > height else 0.28):
            break
    left = width * (0.05 if width > height else 0.07)
    top = (height - len(lines or ()) * size * 1.14) / 2 if width > height else height * 0.07
    for place, line in enumerate(lines or ()):
        draw.text(
            (left, top + place * size * 1.14),
            line,
            font=font,
            fill=(255, 255, 255),
            stroke_width=max(3, size // 14),
            stroke_fill=(14, 12, 24),
        )
    return image


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str] | None:
    """The text in lines that fit the room, or None when a single word does not."""
    lines: list[str] = []
    for word in text.split():
        if font.getlength(word) > room:
            return None
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _save(image: Image.Image, path: Path) -> None:
    for quality in (92, 84, 74, 60):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= THUMBNAIL_LIMIT:
            break
    path.write_bytes(buffer.getvalue())
