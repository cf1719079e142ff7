"""What a finished file really holds, measured by decoding it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ytray.studio.render.ffmpeg import binary

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def _ffmpeg(*arguments: str) -> tuple[bytes, str]:
    done = subprocess.run([binary(), "-hide_banner", "-nostdin", *arguments], capture_output=True, check=True)
    return done.stdout, done.stderr.decode(errors="replace")


def frames(path: Path, per_second: float, width: int = 108, height: int = 192) -> Pixels:
    """Frames of a video, scaled: an array of (number, height, width, 3)."""
    filters = f"fps={per_second},scale={width}:{height}"
    raw, _ = _ffmpeg("-i", str(path), "-vf", filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width, 3)


def decoded_seconds(path: Path) -> float:
    """How long a video's pictures last when every frame is decoded, at 30 frames a second."""
    _, said = _ffmpeg("-i", str(path), "-map", "0:v", "-f", "null", "-")
    return int(re.findall(r"frame=\s*(\d+)", said)[-1]) / 30


def loudness(path: Path) -> tuple[float, float]:
    """Integrated loudness in LUFS, and true peak in dBTP."""
    _, said = _ffmpeg("-i", str(path), "-map", "0:a", "-af", "ebur128=peak=true", "-f", "null", "-")
    summary = said[said.rindex("Summary:") :]
    found = [re.search(pattern, summary) for pattern in (r"I:\s*(-?[\d.]+) LUFS", r"Peak:\s*(-?[\d.]+) dBFS")]
    integrated, peak = (float(match.group(1)) for match in found if match)
    return integrated, peak


def samples(path: Path, rate: int = 16_000) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """The sound of a file, mono."""
    raw, _ = _ffmpeg("-i", str(path), "-map", "0:a", "-f", "s16le", "-ac", "1", "-ar", str(rate), "-")
    return np.frombuffer(raw, dtype=np.int16)


def pixels(path: Path) -> Pixels:
    """A picture's pixels: an array of (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def solid(path: Path, size: tuple[int, int], colour: tuple[int, int, int] | str, content: Pixels | None = None) -> Path:
    """Write a picture of one colour, or of the pixels given."""
    image = Image.new("RGB", size, colour) if content is None else Image.fromarray(content)
    image.save(path)
    return path


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of two pictures, 0 to 1 (Wang and others, 2004; windows of 11 pixels, on luminance)."""

    def blurred(
        values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    a, b = (np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)).astype(np.float64) for picture in (one, other))
    mean_a, mean_b = blurred(a), blurred(b)
    variances = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
    shared = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    return float(likeness.mean())
