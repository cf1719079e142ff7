"""Sceneries of the offline painter: places and creatures. Each paints over a sky and returns it."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from ytray.studio.providers.canvas import Canvas, disc, lit, over, sun


def _ridge(canvas: Canvas, base: float, height: float, roughness: float) -> list[tuple[float, float]]:
    width, tall = canvas.size
    phases = [canvas.chance.uniform(0, 6.28) for _ in range(5)]
    points: list[tuple[float, float]] = []
    for step in range(121):
        x = step / 120
        swell = sum(
            math.sin(x * 6.28 * (0.7 + i * roughness) + phase) / (1 + i * 0.9) for i, phase in enumerate(phases)
        )
        points.append((x * width, (base - height * (0.5 + swell / 4)) * tall))
    return [*points, (width, tall), (0, tall)]


def mountains(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Ranges that fade into the distance, under a low sun."""
    image = sun(canvas, image, canvas.chance.uniform(0.3, 0.7), 0.36, 0.11)
    for depth in range(4):
        layer, draw = canvas.layer()
        draw.polygon(
            _ridge(canvas, 0.56 + depth * 0.12, 0.16, 0.9 + depth * 0.35), fill=canvas.mixed(2, 0, 0.25 + depth * 0.25)
        )
        image = over(image, layer, 1.2 if depth else 2.5)
    return image


def waves(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Water in broad bands, with the light lying on it."""
    image = sun(canvas, image, canvas.chance.uniform(0.35, 0.65), 0.38, 0.13)
    width, height = canvas.size
    for band in range(9):
        layer, draw = canvas.layer()
        base = 0.5 + band * 0.062
        phase, swing = canvas.chance.uniform(0, 6.28), 0.008 + band * 0.0028
        crest = [
            (x / 80 * width, (base + swing * math.sin(x / 80 * 6.28 * (2.4 - band * 0.14) + phase)) * height)
            for x in range(81)
        ]
        draw.polygon([*crest, (width, height), (0, height)], fill=(*canvas.mixed(1, 0, band / 9), 235))
        draw.line(crest, fill=(*canvas.palette[3], 120 - band * 9), width=max(2, int(canvas.unit * 0.004)))
        image = over(image, layer, 0.8)
    return image


def city(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A skyline at dusk with lit windows."""
    image = sun(canvas, image, canvas.chance.uniform(0.25, 0.75), 0.4, 0.12)
    width, height = canvas.size
    for depth in range(3):
        layer, draw = canvas.layer()
        x = -0.05
        tone = canvas.mixed(1, 0, 0.45 + depth * 0.27)
        while x < 1.05:
            wide = canvas.chance.uniform(0.07, 0.15)
            top = 0.62 - canvas.chance.uniform(0, 0.22) + depth * 0.1
            draw.rectangle((x * width, top * height, (x + wide) * width, height), fill=tone)
            if depth:
                _windows(canvas, draw, (x, top, wide))
            x += wide + canvas.chance.uniform(0, 0.012)
        image = over(image, layer, 1.6 if depth == 0 else 0.6)
    return image


def _windows(canvas: Canvas, draw: ImageDraw.ImageDraw, house: tuple[float, float, float]) -> None:
    x, top, wide = house
    width, height = canvas.size
    pane = canvas.unit * 0.013
    row = top * height + pane * 2
    while row < height:
        column = x * width + pane * 1.3
        while column < (x + wide) * width - pane * 1.6:
            if canvas.chance.random() < 0.33:
                draw.rectangle((column, row, column + pane, row + pane * 1.3), fill=(*canvas.palette[3], 205))
            column += pane * 2.3
        row += pane * 3.1


def cosmos(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Stars, a large planet with its shade, and the rings around it."""
    layer, draw = canvas.layer()
    for _ in range(420):
        x, y = canvas.at(canvas.chance.random(), canvas.chance.random())
        r = canvas.chance.choice((0.8, 1.1, 1.6, 2.6)) * canvas.unit / 900
        disc(draw, x, y, r, canvas.palette[3], canvas.chance.randint(90, 255))
    image = over(image, layer)
    cx, cy = canvas.at(canvas.chance.uniform(0.38, 0.62), canvas.chance.uniform(0.36, 0.46))
    r = canvas.unit * 0.27
    glow, draw = canvas.layer()
    disc(draw, cx, cy, r * 1.25, canvas.palette[2], 200)
    image = lit(image, glow, r * 0.35)
    ball, draw = canvas.layer()
    for step in range(60):
        share = step / 59
        disc(draw, cx + r * 0.3 * share, cy - r * 0.3 * share, r * (1 - share * 0.72), canvas.mixed(0, 2, share))
    image = over(image, ball, 2)
    ring = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(ring)
    for step in range(5):
        w, h = r * (1.5 + step * 0.09), r * (0.36 + step * 0.025)
        draw.arc(
            (cx - w, cy - h, cx + w, cy + h), 8, 172, fill=(*canvas.palette[3], 210 - step * 34), width=int(r * 0.035)
        )
    return over(image, ring.rotate(-16, center=(cx, cy), resample=Image.Resampling.BICUBIC), 0.7)


def steam(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A cup on a table, steam rising."""
    width, height = canvas.size
    layer, draw = canvas.layer()
    draw.rectangle((0, height * 0.7, width, height), fill=canvas.mixed(1, 0, 0.55))
    image = over(image, layer, 1)
    cx, base = canvas.at(0.5, 0.74)
    cup, draw = canvas.layer()
    w, h = canvas.unit * 0.27, canvas.unit * 0.36
    tone, shade = canvas.palette[3], canvas.mixed(3, 1, 0.35)
    draw.ellipse((cx - w * 1.55, base - h * 0.1, cx + w * 1.55, base + h * 0.2), fill=shade)
    draw.ellipse((cx + w * 0.62, base - h * 0.82, cx + w * 1.5, base - h * 0.18), outline=tone, width=int(w * 0.17))
    draw.polygon([(cx - w, base - h), (cx + w, base - h), (cx + w * 0.66, base), (cx - w * 0.66, base)], fill=tone)
    draw.ellipse((cx - w * 0.66, base - h * 0.09, cx + w * 0.66, base + h * 0.1), fill=tone)
    draw.ellipse((cx - w, base - h * 1.13, cx + w, base - h * 0.87), fill=shade)
    draw.ellipse((cx - w * 0.88, base - h * 1.09, cx + w * 0.88, base - h * 0.9), fill=canvas.mixed(0, 1, 0.2))
    image = over(image, cup, 0.9)
    mist, draw = canvas.layer()
    for strand in range(4):
        start = cx + (strand - 1.5) * w * 0.42
        phase = canvas.chance.uniform(0, 6.28)
        points = [
            (start + math.sin(i / 9 + phase) * w * (0.08 + i / 260), base - h * 1.05 - i * height * 0.0058)
            for i in range(60)
        ]
        draw.line(points, fill=(*canvas.palette[3], 120), width=int(w * 0.13), joint="curve")
    return over(image, mist, w * 0.09)


def leaves(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A tree against the light, with loose leaves in the air."""
    image = sun(canvas, image, 0.5, 0.36, 0.2)
    layer, draw = canvas.layer()
    draw.polygon(_ridge(canvas, 0.86, 0.08, 0.5), fill=canvas.mixed(1, 0, 0.8))
    x, y = canvas.at(0.5, 0.84)
    _branch(canvas, draw, (x, y), -math.pi / 2, canvas.size[1] * 0.15, canvas.unit * 0.045)
    for _ in range(60):
        fx, fy = canvas.at(canvas.chance.random(), canvas.chance.uniform(0.1, 0.9))
        disc(draw, fx, fy, canvas.unit * canvas.chance.uniform(0.003, 0.008), canvas.palette[3], 170)
    return over(image, layer, 0.7)


def _branch(
    canvas: Canvas, draw: ImageDraw.ImageDraw, start: tuple[float, float], angle: float, length: float, width: float
) -> None:
    end = (start[0] + math.cos(angle) * length, start[1] + math.sin(angle) * length)
    draw.line([start, end], fill=canvas.mixed(0, 1, 0.12), width=max(2, int(width)))
    if width < canvas.unit * 0.006:
        for _ in range(7):
            x, y = (place + canvas.chance.gauss(0, length * 0.45) for place in end)
            tone = canvas.mixed(2, 3, canvas.chance.random() * 0.7)
            disc(draw, x, y, canvas.unit * canvas.chance.uniform(0.008, 0.02), tone, 205)
        return
    for turn in (-0.44, 0.1, 0.5):
        bend = turn + canvas.chance.uniform(-0.16, 0.16)
        _branch(canvas, draw, end, angle + bend, length * canvas.chance.uniform(0.64, 0.8), width * 0.6)


def hearts(canvas: Canvas, image: Image.Image) -> Image.Image:
    """One large heart, and small ones that rise from it."""
    cx, cy = canvas.at(0.5, 0.42)
    glow, draw = canvas.layer()
    draw.polygon(_heart(cx, cy, canvas.unit * 0.33), fill=(*canvas.palette[2], 220))
    image = lit(image, glow, canvas.unit * 0.07)
    layer, draw = canvas.layer()
    draw.polygon(_heart(cx, cy, canvas.unit * 0.29), fill=canvas.mixed(2, 3, 0.5))
    draw.polygon(
        _heart(cx - canvas.unit * 0.02, cy - canvas.unit * 0.025, canvas.unit * 0.22), fill=canvas.mixed(2, 3, 0.72)
    )
    for _ in range(18):
        x, y = canvas.at(canvas.chance.uniform(0.08, 0.92), canvas.chance.uniform(0.1, 0.9))
        size = canvas.unit * canvas.chance.uniform(0.012, 0.035)
        draw.polygon(_heart(x, y, size), fill=(*canvas.palette[3], canvas.chance.randint(90, 190)))
    return over(image, layer, 1)


def _heart(cx: float, cy: float, r: float) -> list[tuple[float, float]]:
    # The usual parametric heart, x = 16 sin³ t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.
    turns = [i / 120 * 6.2832 for i in range(120)]
    return [
        (
            cx + r * math.sin(t) ** 3,
            cy - r / 16 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
        )
        for t in turns
    ]


def circuits(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Traces of light between nodes, around a core."""
    layer, draw = canvas.layer()
    grid = canvas.unit / 13
    cx, cy = canvas.at(0.5, 0.42)
    for _ in range(46):
        angle = canvas.chance.choice([i * math.pi / 4 for i in range(8)])
        x, y = cx + math.cos(angle) * grid * 1.6, cy + math.sin(angle) * grid * 1.6
        path = [(x, y)]
        for _ in range(canvas.chance.randint(2, 6)):
            angle += canvas.chance.choice((-math.pi / 4, 0, math.pi / 4))
            step = grid * canvas.chance.uniform(0.8, 2.4)
            x, y = x + math.cos(angle) * step, y + math.sin(angle) * step
            path.append((x, y))
        draw.line(path, fill=(*canvas.palette[3], 150), width=max(2, int(canvas.unit * 0.004)))
        disc(draw, x, y, canvas.unit * 0.011, canvas.palette[3], 235)
    image = lit(image, layer, canvas.unit * 0.012)
    image = over(image, layer, 0.6)
    core, draw = canvas.layer()
    half = grid * 1.5
    draw.rounded_rectangle(
        (cx - half, cy - half, cx + half, cy + half),
        half * 0.2,
        fill=canvas.mixed(0, 1, 0.2),
        outline=(*canvas.palette[3], 255),
        width=max(3, int(canvas.unit * 0.007)),
    )
    disc(draw, cx, cy, half * 0.42, canvas.palette[3], 230)
    return over(image, core, 0.8)


def cat(canvas: Canvas, image: Image.Image) -> Image.Image:
    """A cat's silhouette on a sill, before a large moon."""
    image = sun(canvas, image, 0.5, 0.4, 0.3)
    layer, draw = canvas.layer()
    dark = canvas.mixed(0, 1, 0.08)
    u = canvas.unit
    cx, floor = canvas.at(0.5, 0.72)
    draw.rectangle((0, floor, canvas.size[0], canvas.size[1]), fill=dark)
    draw.ellipse((cx - u * 0.17, floor - u * 0.44, cx + u * 0.17, floor + u * 0.12), fill=dark)
    draw.ellipse((cx - u * 0.2, floor - u * 0.2, cx + u * 0.2, floor + u * 0.14), fill=dark)
    draw.ellipse((cx - u * 0.125, floor - u * 0.62, cx + u * 0.125, floor - u * 0.39), fill=dark)
    for side in (-1, 1):
        draw.polygon(
            [
                (cx + side * u * 0.122, floor - u * 0.53),
                (cx + side * u * 0.108, floor - u * 0.7),
                (cx + side * u * 0.02, floor - u * 0.6),
            ],
            fill=dark,
        )
        disc(draw, cx + side * u * 0.048, floor - u * 0.515, u * 0.017, canvas.palette[3])
        draw.ellipse(
            (cx + side * u * 0.048 - u * 0.005, floor - u * 0.53, cx + side * u * 0.048 + u * 0.005, floor - u * 0.5),
            fill=dark,
        )
    tail = [
        (cx + u * (0.14 + 0.17 * math.sin(i / 12)), floor - u * 0.02 - u * 0.0135 * i + u * 0.05 * math.sin(i / 5))
        for i in range(28)
    ]
    draw.line(tail, fill=dark, width=int(u * 0.042), joint="curve")
    disc(draw, *tail[-1], u * 0.021, dark)
    return over(image, layer, 0.9)


def rings(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Translucent circles that overlap: the motif for words that have none of their own."""
    cx, cy = canvas.at(0.5, 0.42)
    for step in range(7):
        layer, draw = canvas.layer()
        angle = step / 7 * 6.28 + canvas.chance.uniform(-0.3, 0.3)
        reach = canvas.unit * canvas.chance.uniform(0.06, 0.2)
        x, y = cx + math.cos(angle) * reach, cy + math.sin(angle) * reach
        r = canvas.unit * canvas.chance.uniform(0.16, 0.33)
        disc(draw, x, y, r, canvas.mixed(2, 3, step / 7), 70)
        draw.ellipse(
            (x - r, y - r, x + r, y + r), outline=(*canvas.palette[3], 110), width=max(2, int(canvas.unit * 0.003))
        )
        image = over(image, layer, 0.7)
    layer, draw = canvas.layer()
    for _ in range(70):
        x, y = canvas.at(canvas.chance.random(), canvas.chance.random())
        disc(
            draw,
            x,
            y,
            canvas.unit * canvas.chance.uniform(0.002, 0.006),
            canvas.palette[3],
            canvas.chance.randint(60, 190),
        )
    return over(image, layer, 0.5)
