"""What a frame shows, and how good it is to show: faces, what stands out, detail, light, colour, fades."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ytray.studio.render.frames import Pixels

_ALIKE, _FADING = 0.3, 10.0  # a fade's middle is this near to the mean of its ends, which lie so many levels apart
_OPENING = 1.15  # the first scene shows what the video is about
_DARKEST, _BRIGHTEST = 20.0, 236.0  # mean levels: black and burnt frames

_detecting = threading.Lock()  # a cascade keeps what it is at in itself
_LEAST_FACE = 0.1  # of the frame's shorter side


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return self.left + self.width / 2, self.top + self.height / 2

    def holds(self, other: Box) -> bool:
        """Whether `other` lies in it."""
        return (
            self.left <= other.left + 0.5
            and self.top <= other.top + 0.5
            and self.left + self.width >= other.left + other.width - 0.5
            and self.top + self.height >= other.top + other.height - 0.5
        )

    def ints(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, rounded."""
        left, top = round(self.left), round(self.top)
        return left, top, left + round(self.width), top + round(self.height)


@dataclass(frozen=True)
class Subject:
    """What a frame is about: its box in shares of the picture's sides, and whether it is a face."""

    box: Box
    is_face: bool


def score(pixels: Pixels, at: float) -> float:
    """How good a frame is to show, faces aside; `at` is its place in the video, from 0 to 1.

    Detail is the variance of the Laplacian; colourfulness is after Hasler and Süsstrunk (2003).
    """
    grey = _grey(pixels)
    mean = float(grey.mean())
    if not _DARKEST < mean < _BRIGHTEST:
        return 0.0
    detail = min(1.0, float(np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var())) / 7)
    exposed = float(((grey > 12) & (grey < 244)).mean())
    contrast = min(1.0, float(grey.std()) / 60)
    red, green, blue = (pixels[..., channel].astype(np.float32) for channel in range(3))
    across, along = red - green, (red + green) / 2 - blue
    spread = np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean())
    colour = min(1.0, float(spread) / 90)
    opening = _OPENING if at < 0.1 else 1.0
    return float(detail * (0.4 + 0.6 * exposed) * (0.5 + 0.5 * contrast) * (0.7 + 0.3 * colour) * opening)


def is_fading(before: Pixels, middle: Pixels, after: Pixels) -> bool:
    """Whether the middle frame is a mixture of its neighbours: then it lies much nearer to their mean than to them."""
    first, between, last = (each.astype(np.float32) for each in (before, middle, after))
    apart = float(np.abs(first - last).mean())
    if apart < _FADING:
        return False
    # Over the whole of a fade, the best mixing share says what lies between; movement is no mixture at any share.
    way = last - first
    share = float(((between - first) * way).sum() / max(1.0, float((way * way).sum())))
    rest = float(np.abs(between - first - share * way).mean())
    return 0.08 < share < 0.92 and rest < _ALIKE * apart


@cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"haarcascade_{name}.xml"))


def faces(pixels: Pixels) -> list[Box]:
    """Faces in a picture, the largest first: frontal ones that two detectors agree on, else profiles.

    One Haar cascade alone also finds faces in drawn pictures, in leaves and in windows.
    """
    grey = _grey(pixels)
    even = np.asarray(cv2.equalizeHist(grey), np.uint8)
    with _detecting:
        found = _agreed(("frontalface_alt2", even), ("frontalface_default", even))
        if not found:
            # The cascade knows one side of a head only.
            width = grey.shape[1]
            found = _agreed(("profileface", even), ("profileface", grey))
            turned = _agreed(("profileface", even[:, ::-1]), ("profileface", grey[:, ::-1]))
            found += [Box(width - box.left - box.width, box.top, box.width, box.height) for box in turned]
    return sorted(found, key=lambda box: -box.width)


def _look(name: str, picture: NDArray[np.uint8]) -> list[Box]:
    least = max(24, round(min(picture.shape) * _LEAST_FACE))
    neighbours = 8 if name == "profileface" else 5
    hits = _cascade(name).detectMultiScale(np.ascontiguousarray(picture), 1.2, neighbours, minSize=(least, least))
    return [Box(*(float(side) for side in hit)) for hit in hits]


def _agreed(first: tuple[str, NDArray[np.uint8]], second: tuple[str, NDArray[np.uint8]]) -> list[Box]:
    """What two looks both find; there is no second where the first finds nothing, as in most frames."""
    found = _look(*first)
    others = _look(*second) if found else []
    return [box for box in found if any(_overlap(box, other) > 0.4 for other in others)]


def _grey(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    common = max(0.0, across) * max(0.0, down)
    return common / (one.width * one.height + other.width * other.height - common)


def subject_of(pixels: Pixels) -> Subject:
    """What a picture is about: its largest face with some room, else where it stands out most."""
    height, width = pixels.shape[:2]
    found = faces(pixels)
    if found:
        face = found[0]
        room = 0.35  # of the face, on each side: hair and chin
        left, top = max(0.0, face.left - room * face.width), max(0.0, face.top - room * face.height)
        right = min(float(width), face.left + (1 + room) * face.width)
        bottom = min(float(height), face.top + (1 + room) * face.height)
        return Subject(Box(left / width, top / height, (right - left) / width, (bottom - top) / height), is_face=True)
    return Subject(_standing_out(pixels), is_face=False)


def _standing_out(pixels: Pixels) -> Box:
    """The box of most of the saliency: spectral residual (Hou and Zhang, 2007), together with colour contrast."""
    side = 64
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    lab = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (5, 5), 0).astype(np.float32)
    unlike = np.linalg.norm(lab - np.median(lab, axis=(0, 1)), axis=2)
    spectrum = np.fft.fft2(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32))
    log = np.log1p(np.abs(spectrum)).astype(np.float32)
    residual = log - cv2.blur(log, (3, 3))
    surprise = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    surprise = cv2.GaussianBlur(surprise.astype(np.float32), (9, 9), 2.5)
    middle = np.hanning(side + 2)[1:-1]
    mass = (surprise / surprise.max() + unlike / max(1e-6, float(unlike.max()))) * (0.35 + np.outer(middle, middle))
    mass[mass < np.percentile(mass, 70)] = 0
    bounds = []
    for axis in (1, 0):
        share = np.cumsum(mass.sum(axis=1 - axis)) / max(1e-9, float(mass.sum()))
        bounds.append((int(np.searchsorted(share, 0.12)) / side, (int(np.searchsorted(share, 0.88)) + 1) / side))
    (left, right), (top, bottom) = bounds
    return Box(left, top, min(1.0, right) - left, min(1.0, bottom) - top)
