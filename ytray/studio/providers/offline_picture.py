"""Pictures drawn with Pillow: a sky of layered colour, a motif that fits the words, and grain. No model is asked."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ytray.studio.model import Scene
from ytray.studio.providers.canvas import Canvas, Colour
from ytray.studio.providers.motifs import MOTIFS, motif_for

# Top, middle and bottom of the sky, then the light. Chosen by mood; a scene's seed picks one of each list.
_PALETTES: dict[str, list[tuple[Colour, Colour, Colour, Colour]]] = {
    "calm": [
        ((18, 38, 74), (48, 104, 142), (148, 196, 196), (255, 244, 214)),
        ((24, 44, 60), (52, 112, 116), (170, 210, 178), (250, 252, 224)),
    ],
    "bright": [
        ((44, 34, 112), (196, 78, 136), (255, 178, 108), (255, 240, 190)),
        ((22, 62, 120), (70, 150, 204), (250, 214, 150), (255, 250, 220)),
    ],
    "warm": [
        ((58, 20, 52), (176, 60, 62), (250, 160, 80), (255, 226, 160)),
        ((50, 26, 30), (150, 74, 46), (238, 180, 104), (255, 236, 190)),
    ],
    "dark": [
        ((8, 10, 28), (34, 28, 76), (98, 54, 120), (214, 190, 255)),
        ((6, 14, 24), (16, 48, 66), (38, 104, 112), (190, 246, 236)),
    ],
    "wild": [
        ((18, 10, 60), (120, 30, 130), (250, 84, 110), (255, 214, 120)),
        ((10, 30, 70), (20, 110, 140), (130, 214, 120), (250, 255, 190)),
    ],
}


class OfflineImage:
    """The offline painter."""

    name = "offline"

    def draw(self, scene: Scene, seed: str, size: tuple[int, int], into: Path) -> None:
        """Write a JPEG of `size` pixels; the same scene and seed give the same picture."""
        chance = random.Random(hashlib.sha256(f"{seed}\0{scene.subject}\0{scene.narration}".encode()).digest())
        palette = chance.choice(_PALETTES[scene.mood])
        canvas = Canvas(size, palette, chance)
        image = _sky(size, palette, chance)
        paint: Callable[[Canvas, Image.Image], Image.Image] = MOTIFS[motif_for(scene.subject, chance)]
        image = paint(canvas, image)
        image = _finish(image, chance)
        image.save(into, "JPEG", quality=93, subsampling=0)


def _sky(size: tuple[int, int], palette: tuple[Colour, Colour, Colour, Colour], chance: random.Random) -> Image.Image:
    width, height = size
    top, middle, bottom, light = (np.array(colour, dtype=np.float32) for colour in palette)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    bend = 0.06 * np.sin(x * math.pi * chance.uniform(1.2, 2.6) + chance.uniform(0, 6.28))
    t = np.clip(y + bend, 0, 1)[..., None]
    upper, lower = np.clip(t / 0.55, 0, 1), np.clip((t - 0.55) / 0.45, 0, 1)
    sky = top * (1 - upper) + middle * upper
    sky = sky * (1 - lower) + bottom * lower
    cx, cy = chance.uniform(0.25, 0.75), chance.uniform(0.3, 0.5)
    distance = np.sqrt(((x - cx) * width / height) ** 2 + (y - cy) ** 2)
    glow = np.exp(-((distance / 0.34) ** 2))[..., None] * 0.55
    sky = sky * (1 - glow) + light * glow
    return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))


def _finish(image: Image.Image, chance: random.Random) -> Image.Image:
    """Grain, so that gradients do not band in the encoder, and a vignette, so that captions keep the eye."""
    width, height = image.size
    noise = np.random.default_rng(chance.getrandbits(32)).normal(0, 3.2, (height, width, 1)).astype(np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    vignette = (1 - 0.34 * np.clip(x**2 * 0.7 + y**2 * 0.8, 0, 1.4) ** 1.4)[..., None]
    pixels = np.asarray(image, dtype=np.float32) * vignette + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
