"""Colours of stills and clips of every kind, measured in the finished film: three bands, within a few levels."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.studio.measure import frames
from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.timeline import Timeline

Colours = NDArray[np.float64]  # three rows of red, green and blue

SIZE = (160, 284)
# Light from 0 to 1 in BT.709, where 1 is white: no more of it than the mapping of HDR leaves as it is.
LIGHT = np.array([[0.45, 0.02, 0.02], [0.03, 0.40, 0.05], [0.22, 0.22, 0.22]])
_CLOSE = 5  # levels of 255, in the film: 8 bits, 4:2:0, encoded
_FROM_709 = {
    "bt709": np.eye(3),
    "bt2020": np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]),
    "p3": np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]]),
}


def _srgb(light: Colours) -> Colours:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def _video(light: Colours) -> Colours:
    """By the curve of screens of television (BT.1886), on whose light HDR is mapped."""
    return np.maximum(light, 0) ** (1 / 2.4)


def _pq(light: Colours) -> Colours:
    power = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg(light: Colours) -> Colours:
    """The signal of a screen's light, whose peak is 1000 cd/m²: BT.2100, with its system gamma of 1.2 on luminance."""
    screen = light * 0.203
    luminance = screen @ np.array([0.2627, 0.6780, 0.0593])
    scene = screen * (luminance ** (1 / 1.2 - 1))[:, None]
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright), np.float64)


def _wide(primaries: str, curve: Callable[[Colours], Colours]) -> Colours:
    """The signal, 0 to 1, of `LIGHT` by other primaries and another curve."""
    return curve(LIGHT @ _FROM_709[primaries].T)


def _banded(signal: Colours, most: int, kind: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    rows = np.repeat(np.round(signal * most).astype(kind), -(-SIZE[1] // 3), axis=0)[: SIZE[1]]
    return np.repeat(rows[:, None], SIZE[0], axis=1)


def _png(file: Path, signal: Colours, primaries: int, transfer: int) -> Path:
    """A PNG of 16 bits that says its colours in a cICP chunk, which Pillow does not write."""
    pixels = _banded(signal, 65535, np.uint16).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0)), (b"cICP", bytes((primaries, transfer, 0, 1)))]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    told = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(told))
    return file


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def _display_p3(*more: tuple[bytes, bytes]) -> bytes:
    """A colour profile of Display P3's primaries and a gamma of 2.2; `more` tags are added."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 3) + b"P3\0" + bytes(81)
    tags = [(b"desc", text), (b"wtpt", b"XYZ " + bytes(4) + _fixed(0.9642, 1.0, 0.8249))]
    columns = {b"r": (0.51512, 0.24120, -0.00105), b"g": (0.29198, 0.69225, 0.04189), b"b": (0.15710, 0.06657, 0.78407)}
    for name, column in columns.items():
        tags += [(name + b"XYZ", b"XYZ " + bytes(4) + _fixed(*column)), (name + b"TRC", curve)]
    tags += more
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + len(table) - 4 + len(data), b"test", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + data


def _saved(file: Path, signal: Colours, mode: str = "RGB", **options: Any) -> Path:
    shown = Image.fromarray(_banded(signal, 255, np.uint8).astype(np.uint8))
    (shown.quantize(8) if mode == "P" else shown.convert(mode)).save(file, **options)
    return file


def _stills(folder: Path) -> dict[str, Path]:
    p3 = _wide("p3", lambda light: np.maximum(light, 0) ** (1 / 2.2))
    profile = _display_p3()
    grey, srgb = np.tile(LIGHT[2:], (3, 1)), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = {
        "a PNG of BT.2020 and PQ": _png(folder / "pq.png", _wide("bt2020", _pq), 9, 16),
        "a PNG of BT.2020 and HLG": _png(folder / "hlg.png", _wide("bt2020", _hlg), 9, 18),
        "a PNG of Display P3, told by numbers": _png(folder / "cicp.png", _wide("p3", _srgb), 12, 13),
        "a PNG of 16 bits, told to be sRGB": _png(folder / "srgb.png", _srgb(LIGHT), 1, 13),
        "a PNG of Display P3, told by a profile": _saved(folder / "p3.png", p3, icc_profile=profile),
        "a JPEG of Display P3": _saved(folder / "p3.jpg", p3, icc_profile=profile, quality=98, subsampling=0),
        "a palette of Display P3": _saved(folder / "palette.png", p3, "P", icc_profile=profile),
        "a JPEG of inks": _saved(folder / "cmyk.jpg", _srgb(LIGHT), "CMYK", quality=98),
        "an AVIF": _saved(folder / "still.avif", _srgb(LIGHT), quality=95),
        "grey with a profile": _saved(folder / "grey.png", _srgb(grey), "L", icc_profile=srgb),
    }
    hdr = _display_p3((b"cicp", b"cicp" + bytes(4) + bytes((9, 16, 0, 1))))
    made["a PNG whose profile says PQ"] = _saved(folder / "adobe.png", _wide("bt2020", _pq), icc_profile=hdr)
    av1, tags = "-c:v libaom-av1 -still-picture 1 -crf 6", ("bt2020", "smpte2084", "bt2020nc")
    pq = _encoded(folder / "pq.avif", _wide("bt2020", _pq), "bt2020nc", "yuv444p10le", av1, tags)
    return {**made, "an AVIF of PQ": pq}


Tags = tuple[str, str, str]  # primaries, transfer and matrix, as ffmpeg names them


def _encoded(file: Path, signal: Colours, matrix: str, pixels: str, options: str, tags: Tags | None) -> Path:
    """A picture, or half a second of it, by ffmpeg; nothing is said of the colours but by the tags."""
    raw = _banded(signal, 65535, np.uint16).tobytes()
    size, count = f"{SIZE[0]}x{SIZE[1]}", 1 if file.suffix == ".avif" else 15
    command = [binary(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", size, "-i", "-"]
    said = ("unknown", "unknown", "unknown") if tags is None else tags
    scale = f"loop={count - 1}:1,scale=out_color_matrix={matrix}:out_range=tv,format={pixels},"
    scale += "setparams=color_primaries={}:color_trc={}:colorspace={}".format(*said)
    subprocess.run([*command, "-vf", scale, *options.split(), str(file)], input=raw, check=True)
    return file


_X265 = "-c:v libx265 -preset ultrafast -crf 4 -x265-params log-level=error"
_X264 = "-c:v libx264 -preset ultrafast -crf 4"


def _clips(folder: Path) -> dict[str, Path]:
    def made(name: str, signal: Colours, matrix: str, encoder: str, *tags: str) -> Path:
        pixels = "yuv420p10le" if encoder == _X265 else "yuv420p"
        said = (tags[0], tags[1], tags[2]) if tags else None
        return _encoded(folder / name, signal, matrix, pixels, encoder, said)

    pq, wide = _wide("bt2020", _pq), _wide("bt2020", _video)
    return {
        "PQ of 10 bits": made("pq.mp4", pq, "bt2020nc", _X265, "bt2020", "smpte2084", "bt2020nc"),
        "HLG of 10 bits": made(
            "hlg.mov", _wide("bt2020", _hlg), "bt2020nc", _X265, "bt2020", "arib-std-b67", "bt2020nc"
        ),
        "PQ that says no matrix": made("half.mkv", pq, "bt2020nc", _X265, "bt2020", "smpte2084", "unknown"),
        "BT.2020 without HDR": made("2020.mp4", wide, "bt2020nc", _X265, "bt2020", "bt2020-10", "bt2020nc"),
        "Display P3": made("p3.mp4", _wide("p3", _video), "bt709", _X264, "smpte432", "bt709", "bt709"),
        "standard definition that says nothing": made("sd.avi", _video(LIGHT), "smpte170m", "-c:v mpeg4 -q:v 1"),
    }


def _measured(folder: Path, scenes: list[dict[str, object]]) -> list[Colours]:
    """The three colours of each scene in the film."""
    still = [{"seconds": 0.2, "motion": "none", **scene} for scene in scenes]
    timeline = Timeline.model_validate({"width": SIZE[0], "height": SIZE[1], "captions": False, "scenes": still})
    compose(timeline, folder / "film.mp4")
    shown = frames(folder / "film.mp4", 30, *SIZE).astype(np.float64)[3::6]
    assert len(shown) == len(scenes)
    middles = [SIZE[1] * (2 * band + 1) // 6 for band in range(3)]
    return [np.array([picture[at - 10 : at + 10, 40:120].mean(axis=(0, 1)) for at in middles]) for picture in shown]


def test_stills_of_every_colour_space_show_their_colours_in_the_film(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    stills = _stills(tmp_path)
    found = _measured(tmp_path, [{"picture": str(file)} for file in stills.values()])
    for name, colours in zip(stills, found, strict=True):
        wanted = _srgb(LIGHT[[2, 2, 2]] if "grey" in name else LIGHT) * 255
        assert np.abs(colours - wanted).max() <= _CLOSE, (name, colours, wanted)


def test_clips_of_every_colour_space_show_their_colours_in_the_film(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    clips = _clips(tmp_path)
    found = _measured(tmp_path, [{"clip": str(file)} for file in clips.values()])
    for name, colours in zip(clips, found, strict=True):
        assert np.abs(colours - _video(LIGHT) * 255).max() <= _CLOSE, (name, colours)


def test_stills_of_odd_pixels_are_rendered_and_checked(home: Path, tmp_path: Path) -> None:
    """A checker must not stumble over what it checks: also light that is no number."""
    assert home.is_dir()
    grey = np.linspace(0, 65535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE[1], SIZE[0])
    light = (grey / 65535).astype(np.float32)
    light[:50], light[50:60], light[60:70] = np.nan, np.inf, -np.inf
    palette = Image.new("P", SIZE)
    palette.putpalette([200, 10, 10, 10, 200, 10])
    made = {
        "one.png": Image.new("1", SIZE, 1),
        "palette.png": palette,
        "grey.png": Image.fromarray(grey),
        "grey.tif": Image.fromarray(grey),
        "light.tif": Image.fromarray(light),
        "whole.tif": Image.fromarray(grey.astype(np.int32) * 3),
        "lab.tif": Image.new("LAB", SIZE, (160, 128, 128)),
        "clear.png": Image.new("LA", SIZE, (90, 128)),
    }
    for name, image in made.items():
        if name == "palette.png":
            image.info["transparency"] = bytes((128, 255))
        image.save(tmp_path / name)
    scenes = [{"picture": str(tmp_path / name), "seconds": 0.6} for name in made]
    timeline = Timeline.model_validate({"width": SIZE[0], "height": SIZE[1], "captions": False, "scenes": scenes})
    compose(timeline, tmp_path / "film.mp4")
    checks = examine(tmp_path / "film.mp4", timeline).checks
    assert {check.name for check in checks} >= {"duration", "black", "frozen"}
    shown = frames(tmp_path / "film.mp4", 30, *SIZE)[9::18].mean(axis=(1, 2, 3))
    assert shown[0] > 250
    assert shown[2] == pytest.approx(shown[3], abs=2)
    assert shown[6] > 140
    assert shown[7] == pytest.approx(45, abs=3)
