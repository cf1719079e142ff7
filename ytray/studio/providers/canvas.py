"""The offline painter's canvas: a size, a palette, a source of chance, and light and shade in layers."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Canvas:
    """Size in pixels, the palette (top, middle, bottom, light), and the picture's own source of chance."""

    size: tuple[int, int]
    palette: tuple[Colour, Colour, Colour, Colour]
    chance: random.Random

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a place given as shares of width and height."""
        return x * self.size[0], y * self.size[1]

    @property
    def unit(self) -> float:
        """A length that suits the picture's shorter side, in pixels."""
        return min(self.size)

    def mixed(self, first: int, second: int, share: float) -> Colour:
        """A colour between two of the palette."""
        a, b = self.palette[first], self.palette[second]
        return (_between(a[0], b[0], share), _between(a[1], b[1], share), _between(a[2], b[2], share))

    def layer(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """A clear layer to draw on."""
        image = Image.new("RGBA", self.size, (0, 0, 0, 0))
        return image, ImageDraw.Draw(image)


def _between(a: int, b: int, share: float) -> int:
    return round(a + (b - a) * share)


def over(image: Image.Image, layer: Image.Image, blur: float = 0) -> Image.Image:
    """The layer upon the image; `blur` softens the layer, in pixels."""
    if blur:
        # Blurred with its alpha multiplied in, else the clear pixels' black would show as a dark rim.
        layer = layer.convert("RGBa").filter(ImageFilter.GaussianBlur(blur)).convert("RGBA")
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def lit(image: Image.Image, layer: Image.Image, blur: float) -> Image.Image:
    """The image with the layer's light added; `blur` spreads the light, in pixels."""
    black = Image.new("RGB", image.size)
    black.paste(layer, mask=layer.getchannel("A"))
    return ImageChops.screen(image, black.filter(ImageFilter.GaussianBlur(blur)))


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: Colour, alpha: int = 255) -> None:
    """A filled circle around (x, y), in pixels."""
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, alpha))


def sun(canvas: Canvas, image: Image.Image, x: float, y: float, r: float) -> Image.Image:
    """A sun or moon with its glow; place and radius as shares."""
    cx, cy = canvas.at(x, y)
    radius = r * canvas.unit
    glow, draw = canvas.layer()
    disc(draw, cx, cy, radius * 1.9, canvas.palette[3], 120)
    image = lit(image, glow, radius * 0.7)
    body, draw = canvas.layer()
    disc(draw, cx, cy, radius, canvas.palette[3], 235)
    return over(image, body, 1.5)
