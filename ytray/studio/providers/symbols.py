"""Symbols of the offline painter: single things that stand for a thought. Each paints over a sky and returns it."""

from __future__ import annotations

import math
from itertools import pairwise

from PIL import Image, ImageDraw

from ytray.studio.providers.canvas import Canvas, disc, lit, over

_CENTRE = (0.5, 0.4)  # above the captions


def clock(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A clock face, with earlier hours fading behind its hands."""
    cx, cy = canvas.at(*_CENTRE)
    r = canvas.unit * 0.31
    image = _halo(canvas, image, cx, cy, r * 1.2)
    layer, draw = canvas.layer()
    dark, light = canvas.mixed(0, 1, 0.15), canvas.palette[3]
    disc(draw, cx, cy, r, light)
    disc(draw, cx, cy, r * 0.9, canvas.mixed(0, 1, 0.35))
    for hour in range(12):
        turn = hour * math.pi / 6
        inner = 0.68 if hour % 3 == 0 else 0.76
        _ray(draw, (cx, cy), turn, (r * inner, r * 0.83), (*light, 255), r * (0.045 if hour % 3 == 0 else 0.025))
    hour_turn, minute_turn = canvas.chance.uniform(3.6, 5.2), canvas.chance.uniform(0.2, 1.3)
    for step in range(26):
        _ray(draw, (cx, cy), minute_turn - step * 0.045, (0, r * 0.66), (*light, 70 - step * 2), r * 0.012)
    _ray(draw, (cx, cy), hour_turn, (0, r * 0.44), (*light, 255), r * 0.065)
    _ray(draw, (cx, cy), minute_turn, (0, r * 0.68), (*light, 255), r * 0.04)
    disc(draw, cx, cy, r * 0.06, light)
    disc(draw, cx, cy, r * 0.025, dark)
    return over(image, layer, 1)


def bulb(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A light bulb that shines."""
    cx, cy = canvas.at(*_CENTRE)
    r = canvas.unit * 0.2
    light, shade = canvas.palette[3], canvas.mixed(0, 1, 0.2)
    image = _halo(canvas, image, cx, cy, r * 1.9)
    rays, draw = canvas.layer()
    for step in range(14):
        turn = step * math.tau / 14
        if abs(turn - math.pi) > 0.5:  # none through the socket
            reach = r * canvas.chance.uniform(1.75, 2.1)
            _ray(draw, (cx, cy), turn, (r * 1.4, reach), (*light, 190), r * 0.045)
    image = over(image, rays, 1)
    layer, draw = canvas.layer()
    disc(draw, cx, cy, r, light)
    draw.polygon([(cx - r * 0.76, cy + r * 0.65), (cx + r * 0.76, cy + r * 0.65), (cx + r * 0.42, cy + r * 1.35),
                  (cx - r * 0.42, cy + r * 1.35)], fill=light)  # fmt: skip
    filament = [(cx + r * (-0.36 + i * 0.09), cy + r * (0.1 + (0.22 if i % 2 else -0.12))) for i in range(9)]
    draw.line([(cx - r * 0.22, cy + r * 1.3), *filament, (cx + r * 0.22, cy + r * 1.3)],
              fill=canvas.mixed(2, 1, 0.3), width=int(r * 0.05), joint="curve")  # fmt: skip
    for row in range(3):
        top = cy + r * (1.36 + row * 0.17)
        half = r * (0.42 - row * 0.05)
        draw.rounded_rectangle((cx - half, top, cx + half, top + r * 0.14), r * 0.07, fill=shade)
    return over(image, layer, 1)


def book(canvas: Canvas, image: Image.Image) -> Image.Image:
    """An open book with sparks that rise from it."""
    cx, cy = canvas.at(0.5, 0.5)
    u = canvas.unit
    image = _halo(canvas, image, cx, cy - u * 0.18, u * 0.3)
    layer, draw = canvas.layer()
    cover, page, ink = canvas.mixed(0, 1, 0.25), canvas.palette[3], canvas.mixed(3, 1, 0.5)
    for side in (-1, 1):

        def at(x: float, y: float, side: int = side) -> tuple[float, float]:
            return cx + side * x * u, cy + (y - 0.05 * math.sin(min(1.0, x / 0.37) * math.pi)) * u

        top = [at(i / 20 * 0.37, -0.12) for i in range(21)]
        bottom = [at(i / 20 * 0.37, 0.17) for i in range(21)]
        edge = [(x, y + u * 0.045) for x, y in bottom]
        draw.polygon([(x + side * u * 0.02, y) for x, y in (*top, *reversed(edge))], fill=cover)
        draw.polygon([*top, *reversed(bottom)], fill=page)
        for row in range(6):
            end = 0.33 if row != 5 else 0.21
            points = [at(0.045 + i / 12 * (end - 0.045), -0.075 + row * 0.04) for i in range(13)]
            draw.line(points, fill=ink, width=max(2, int(u * 0.007)), joint="curve")
    draw.line([(cx, cy - u * 0.12), (cx, cy + u * 0.21)], fill=cover, width=max(2, int(u * 0.008)))
    image = over(image, layer, 1)
    sparks, draw = canvas.layer()
    for _ in range(46):
        rise = canvas.chance.random()
        x = cx + canvas.chance.gauss(0, u * (0.05 + 0.16 * rise))
        disc(
            draw,
            x,
            cy - u * (0.16 + rise * 0.55),
            u * canvas.chance.uniform(0.003, 0.011),
            page,
            round(235 - 150 * rise),
        )
    return over(lit(image, sparks, u * 0.012), sparks, 0.6)


def magnifier(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A magnifying glass over a field of dots, which are large and bright under it."""
    cx, cy = canvas.at(0.46, 0.38)
    u = canvas.unit
    r, light = u * 0.23, canvas.palette[3]
    field, draw = canvas.layer()
    step = u / 17
    dots = [((column + (row % 2) / 2) * step, row * step * 0.87)
            for row in range(int(canvas.size[1] / step / 0.87) + 2)
            for column in range(int(canvas.size[0] / step) + 2)]  # fmt: skip
    for x, y in dots:
        disc(draw, x, y, step * canvas.chance.uniform(0.07, 0.15), light, 75)
    image = _halo(canvas, over(image, field, 0.6), cx, cy, r)
    layer, draw = canvas.layer()
    start, end = ((cx + math.cos(0.8) * r * reach, cy + math.sin(0.8) * r * reach) for reach in (1.05, 2.25))
    draw.line([start, end], fill=canvas.mixed(0, 1, 0.1), width=int(r * 0.24))
    for x, y in (start, end):
        disc(draw, x, y, r * 0.12, canvas.mixed(0, 1, 0.1))
    disc(draw, cx, cy, r * 1.1, light)
    disc(draw, cx, cy, r, canvas.mixed(1, 2, 0.35))
    for x, y in dots:
        away = math.hypot(x - cx, y - cy)
        if away < r * 0.48:
            disc(
                draw, cx + (x - cx) * 1.9, cy + (y - cy) * 1.9, step * (0.52 - 0.3 * away / r), canvas.mixed(2, 3, 0.65)
            )
    draw.arc((cx - r * 0.82, cy - r * 0.82, cx + r * 0.82, cy + r * 0.82), 190, 250, fill=(255, 255, 255, 190),
             width=int(r * 0.06))  # fmt: skip
    return over(image, layer, 1)


def bubbles(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Speech bubbles, one answering the other."""
    u, light = canvas.unit, canvas.palette[3]
    image = _halo(canvas, image, *canvas.at(*_CENTRE), u * 0.3)
    for (x, y), (wide, high), side, tone in (
        ((0.42, 0.32), (0.31, 0.16), -1, canvas.mixed(2, 3, 0.35)),
        ((0.58, 0.5), (0.31, 0.16), 1, light),
    ):
        cx, cy = canvas.at(x, 0.4)
        cy += (y - 0.41) * u * 1.9
        w, h = wide * u, high * u
        layer, draw = canvas.layer()
        draw.rounded_rectangle((cx - w, cy - h, cx + w, cy + h), h * 0.62, fill=tone)
        foot = cx + side * w * 0.5
        draw.polygon([(foot - side * h * 0.45, cy + h * 0.9), (foot + side * h * 0.28, cy + h * 0.9),
                      (foot + side * h * 0.5, cy + h * 1.55)], fill=tone)  # fmt: skip
        for dot in (-1, 0, 1):
            disc(draw, cx + dot * w * 0.36, cy, h * 0.17, canvas.mixed(0, 1, 0.3))
        image = over(image, layer, 1)
    return image


def question(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A question mark made of light."""
    cx, cy = canvas.at(0.5, 0.34)
    u = canvas.unit
    r = u * 0.15
    bow = [(cx + r * math.cos(turn), cy + r * math.sin(turn)) for turn in (math.pi + i / 40 * 4.1 for i in range(41))]
    x, y = bow[-1]
    tail = [(x + (cx - x) * share**0.6, y + (cy + r * 1.9 - y) * share) for share in (i / 20 for i in range(21))]
    for width, alpha, blur in ((0.085, 120, 0.05), (0.07, 255, 0.0012)):
        layer, draw = canvas.layer()
        for px, py in _dense([*bow, *tail]):
            disc(draw, px, py, u * width / 2, canvas.palette[3], 255)
        disc(draw, cx, cy + r * 2.75, u * width * 0.62, canvas.palette[3], 255)
        layer.putalpha(layer.getchannel("A").point(lambda value, most=alpha: min(value, most)))
        image = lit(image, layer, u * blur) if blur > 0.01 else over(image, layer, u * blur)
    layer, draw = canvas.layer()
    for _ in range(60):
        px, py = canvas.at(canvas.chance.random(), canvas.chance.random())
        disc(draw, px, py, u * canvas.chance.uniform(0.002, 0.006), canvas.palette[3], canvas.chance.randint(60, 190))
    return over(image, layer, 0.5)


def chart(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Columns that grow, and a curve over them."""
    u, light = canvas.unit, canvas.palette[3]
    cx, floor = canvas.at(0.5, 0.56)
    tops: list[tuple[float, float]] = []
    layer, draw = canvas.layer()
    height = 0.1
    for column in range(7):
        height = max(0.07, height + canvas.chance.uniform(-0.035, 0.12))
        x = cx + (column - 3) * u * 0.115
        box = (x - u * 0.04, floor - height * u, x + u * 0.04, floor)
        draw.rounded_rectangle(box, u * 0.014, fill=canvas.mixed(1, 2, 0.25 + column * 0.11))
        tops.append((x, floor - height * u - u * 0.075))
    draw.line([(cx - u * 0.42, floor + u * 0.012), (cx + u * 0.42, floor + u * 0.012)], fill=(*light, 220),
              width=max(2, int(u * 0.006)))  # fmt: skip
    image = over(_halo(canvas, image, *tops[-1], u * 0.12), layer, 0.8)
    curve, draw = canvas.layer()
    draw.line(tops, fill=light, width=max(3, int(u * 0.011)), joint="curve")
    for x, y in tops:
        disc(draw, x, y, u * 0.016, light)
    return over(lit(image, curve, u * 0.02), curve, 0.6)


def music(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Notes on lines that swing."""
    u, light = canvas.unit, canvas.palette[3]
    width = canvas.size[0]
    _, middle = canvas.at(*_CENTRE)
    phase = canvas.chance.uniform(0, math.tau)

    def swing(x: float) -> float:
        return math.sin(x / width * 5 + phase) * u * 0.07

    layer, draw = canvas.layer()
    for row in range(-2, 3):
        points = [(i / 90 * width, middle + row * u * 0.07 + swing(i / 90 * width)) for i in range(91)]
        draw.line(points, fill=(*light, 150), width=max(2, int(u * 0.005)))
    image = over(image, layer, 0.7)
    notes, draw = canvas.layer()
    for place in range(5):
        x = width * (0.13 + place * 0.185)
        y = middle + swing(x) + canvas.chance.randint(-2, 2) * u * 0.035
        r = u * 0.042
        draw.ellipse((x - r * 1.2, y - r * 0.85, x + r * 1.2, y + r * 0.85), fill=light)
        stem = x + r * 1.05
        draw.line([(stem, y), (stem, y - r * 5.2)], fill=light, width=max(3, int(r * 0.3)))
        if place % 2:
            flag = [(stem, y - r * 5.2), (stem + r * 1.5, y - r * 3.8), (stem + r * 1.3, y - r * 2.4)]
            draw.line(flag, fill=light, width=max(3, int(r * 0.42)), joint="curve")
    return over(lit(image, notes, u * 0.03), notes, 0.8)


def _halo(canvas: Canvas, image: Image.Image, x: float, y: float, r: float) -> Image.Image:
    glow, draw = canvas.layer()
    disc(draw, x, y, r, canvas.mixed(2, 3, 0.5), 150)
    return lit(image, glow, r * 0.42)


def _ray(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    turn: float,
    reach: tuple[float, float],
    colour: tuple[int, ...],
    width: float,
) -> None:
    """A line away from a centre; `turn` is clockwise from the top, in radians."""
    x, y = math.sin(turn), -math.cos(turn)
    near, far = reach
    ends = [(centre[0] + x * near, centre[1] + y * near), (centre[0] + x * far, centre[1] + y * far)]
    draw.line(ends, fill=colour, width=max(2, int(width)))


def _dense(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points with others between them, so that discs set there join into one stroke."""
    return [(a[0] + (b[0] - a[0]) * i / 8, a[1] + (b[1] - a[1]) * i / 8) for a, b in pairwise(points) for i in range(8)]
