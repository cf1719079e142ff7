"""Stills of every kind: what is normal stays, what is not is converted, what is broken is named."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tests.studio.measure import Pixels, pixels
from ytray.errors import PermanentError
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.stills import normal_still


def _picture(width: int = 48, height: int = 32) -> Image.Image:
    """Colours that differ in every corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    parts = [columns * 255 // width, rows * 255 // height, 255 - columns * 255 // width]
    return Image.fromarray(np.dstack(parts).astype(np.uint8))


def _seen_by_ffmpeg(path: Path, size: tuple[int, int]) -> Pixels:
    command = [binary(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3)


def _apart(one: Pixels, other: Pixels) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).max())


@pytest.mark.parametrize(("form", "progressive"), [("PNG", False), ("JPEG", False), ("JPEG", True)])
def test_a_plain_picture_is_taken_as_it_is(form: str, progressive: bool, tmp_path: Path) -> None:
    file = tmp_path / "still"
    _picture().save(file, form, progressive=progressive)
    assert normal_still(file, tmp_path) == file
    assert [found.name for found in tmp_path.iterdir()] == ["still"]


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("JPEG", "L"), ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "CMYK")],
)
def test_other_kinds_become_the_same_picture_for_ffmpeg(form: str, mode: str, tmp_path: Path) -> None:
    file = tmp_path / "still"
    changed = _picture().convert(mode)
    changed.save(file, form)
    normal = normal_still(file, tmp_path)
    with Image.open(normal) as found:
        assert (found.format, found.mode) == ("PNG", "RGB")
    assert _apart(pixels(normal), np.asarray(changed.convert("RGB"))) <= (3 if form == "JPEG" else 0)
    assert _apart(_seen_by_ffmpeg(normal, (48, 32)), pixels(normal)) == 0


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_turned_picture_stands_upright(form: str, tmp_path: Path) -> None:
    file = tmp_path / "still"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    _picture().save(file, form, exif=exif)
    seen = pixels(normal_still(file, tmp_path))
    assert seen.shape == (48, 32, 3)
    assert _apart(seen, np.asarray(_picture().rotate(-90, expand=True))) <= (12 if form == "JPEG" else 0)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_transparent_becomes_black(form: str, tmp_path: Path) -> None:
    file = tmp_path / "still"
    clear = _picture().convert("RGBA")
    clear.putalpha(Image.fromarray(np.linspace(0, 255, 32).astype(np.uint8).reshape(32, 1).repeat(48, 1)))
    clear.save(file, form, lossless=True)
    seen = pixels(normal_still(file, tmp_path))
    assert seen[0].max() <= 3
    assert _apart(seen[-1:], np.asarray(_picture())[-1:]) <= 4


def test_a_palette_with_a_transparent_colour_becomes_black_there(tmp_path: Path) -> None:
    file = tmp_path / "still.png"
    flat = Image.new("P", (8, 8), 0)
    flat.putpalette([200, 10, 10, 10, 200, 10])
    flat.paste(1, (4, 0, 8, 8))
    flat.save(file, transparency=0)
    seen = pixels(normal_still(file, tmp_path))
    assert seen[0, 0].tolist() == [0, 0, 0]
    assert seen[0, 7].tolist() == [10, 200, 10]


@pytest.mark.parametrize("colours", [1, 3])
def test_sixteen_bits_keep_their_light(colours: int, tmp_path: Path) -> None:
    file = tmp_path / "still.png"
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 64).repeat(16, 0)
    cv2.imwrite(str(file), ramp if colours == 1 else np.dstack([ramp] * 3))
    normal = normal_still(file, tmp_path)
    assert normal != file
    assert _apart(pixels(normal)[..., 0], np.round(ramp / 257).astype(np.uint8)) <= 1


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_a_moving_picture_the_first_frame_is_taken(form: str, tmp_path: Path) -> None:
    file = tmp_path / "still"
    red, blue = Image.new("RGB", (16, 16), (220, 20, 20)), Image.new("RGB", (16, 16), (20, 20, 220))
    red.save(file, form, save_all=True, append_images=[blue], duration=100, lossless=True)
    seen = pixels(normal_still(file, tmp_path))
    assert seen[8, 8, 0] > 200
    assert seen[8, 8, 2] < 60


@pytest.mark.parametrize("space", ["sRGB", "XYZ"])
def test_a_profile_that_changes_nothing_or_is_not_for_such_a_picture_is_passed_over(
    space: Literal["sRGB", "XYZ"], tmp_path: Path
) -> None:
    file = tmp_path / "still.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(space))
    Image.new("RGB", (8, 8), (100, 100, 100)).save(file, icc_profile=profile.tobytes())
    assert normal_still(file, tmp_path) == file


def test_the_same_still_gives_the_same_bytes_under_the_same_name(tmp_path: Path) -> None:
    file = tmp_path / "still.png"
    _picture().convert("L").save(file)
    first = normal_still(file, tmp_path)
    content = first.read_bytes()
    assert normal_still(file, tmp_path) == first
    assert first.read_bytes() == content


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_picture_is_named(form: str, share: float, tmp_path: Path) -> None:
    whole, cut = io.BytesIO(), tmp_path / "cut.pic"
    _picture(200, 150).save(whole, form)
    cut.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
    with pytest.raises(PermanentError, match=r"cut\.pic is (damaged or cut off|no picture)"):
        normal_still(cut, tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"Dear all, this is no picture.", "no picture that can be read; give one in JPEG"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "damaged or cut off HEIC"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "no picture|damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(content)
    with pytest.raises(PermanentError, match=rf"bad\.jpg .*({why})"):
        normal_still(file, tmp_path)


def _heic(file: Path, picture: Image.Image, **how: object) -> Path:
    """A photo as phones write it."""
    pillow_heif.from_pillow(picture).save(file, quality=95, chroma=444, **how)
    return file


def test_a_phones_heic_is_shown_upright_whatever_it_is_called(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the phone was held upright
    file = _heic(tmp_path / "IMG_0001.JPG", _picture(), exif=exif.tobytes())
    assert _apart(pixels(normal_still(file, tmp_path)), np.asarray(_picture().rotate(-90, expand=True))) <= 16


def test_a_heic_of_more_light_than_a_screen_shows_is_mapped_as_a_png_of_the_same(tmp_path: Path) -> None:
    grey = np.full((32, 48, 3), round(0.58 * 65535), "<u2")  # PQ: 203 candelas, the white of a page
    file = tmp_path / "hdr.heic"
    hdr = {"matrix_coefficients": 9, "color_primaries": 9, "transfer_characteristics": 16}
    pillow_heif.from_bytes("RGB;16", (48, 32), grey.tobytes()).save(file, quality=-1, **hdr)
    png = tmp_path / "hdr.png"
    cv2.imwrite(str(png), grey.astype(np.uint16))
    whole = png.read_bytes()
    chunk = b"cICP" + bytes((9, 16, 0, 1))
    png.write_bytes(whole[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:])
    expected, found = pixels(normal_still(png, tmp_path)), pixels(normal_still(file, tmp_path))
    assert expected.mean() > 160
    assert _apart(found, expected) <= 3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_heic_is_named(share: float, tmp_path: Path) -> None:
    whole = _heic(tmp_path / "whole.heic", _picture()).read_bytes()
    cut = tmp_path / "cut.heic"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PermanentError, match=r"cut\.heic is (a )?damaged or cut off.*send it again"):
        normal_still(cut, tmp_path)


def test_an_avif_is_told_from_a_heic_by_all_that_it_says_to_be(tmp_path: Path) -> None:
    written = io.BytesIO()
    _picture().save(written, "AVIF", quality=95)
    file = tmp_path / "still.avif"
    file.write_bytes(written.getvalue().replace(b"ftypavif", b"ftypmif1", 1))
    assert b"avif" in file.read_bytes()[16:40]
    assert _apart(pixels(normal_still(file, tmp_path)), np.asarray(_picture())) <= 24


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"none\.jpg is not there"):
        normal_still(tmp_path / "none.jpg", tmp_path)
    with pytest.raises(PermanentError, match="it is a"):
        normal_still(tmp_path, tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_000, 16), (10_400, 10_400), (16_000, 16_000)])
def test_a_picture_that_would_fill_the_memory_is_refused_unread(size: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    Image.new("1", size).save(file)
    with pytest.raises(PermanentError, match=r"bomb\.png is too large"):
        normal_still(file, tmp_path)


# An entry of an EXIF directory as editors leave it behind: tag, type, value of four bytes.
_ODD_ENTRIES = {
    "a resolution that is a text": (0x011A, 2, b"72\0\0"),
    "a width below zero": (0x0100, 8, b"\xff\xff\0\0"),
    "a name that is a number": (0x0131, 11, b"\0\0\xf0@"),
    "a unit of undefined bytes": (0x0128, 7, b"\2\0\0\0"),
    "an address of a directory outside": (0x8769, 4, b"\xff\xff\xff\x7f"),
}


def _with_exif(photo: bytes, *entries: tuple[int, int, bytes], orientation: int) -> bytes:
    listed = sorted([(0x0112, 3, struct.pack("<HH", orientation, 0)), *entries])
    directory = b"".join(struct.pack("<HHI", tag, kind, 1) + value for tag, kind, value in listed)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(listed)) + directory + bytes(4)
    return photo[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + photo[2:]


@pytest.mark.parametrize("odd", _ODD_ENTRIES)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photo_is_turned_whatever_else_its_exif_holds(orientation: int, odd: str, tmp_path: Path) -> None:
    written = io.BytesIO()
    _picture().save(written, "JPEG", quality=100, subsampling=0)
    file = tmp_path / "photo.jpg"
    file.write_bytes(_with_exif(written.getvalue(), _ODD_ENTRIES[odd], orientation=orientation))
    upright = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]  # quarter turns to the left
    assert _apart(pixels(normal_still(file, tmp_path)), np.rot90(np.asarray(_picture()), upright)) <= 12


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation: int, tmp_path: Path) -> None:
    written = io.BytesIO()
    _picture().save(written, "JPEG")
    file = tmp_path / "photo.jpg"
    file.write_bytes(_with_exif(written.getvalue(), orientation=orientation))
    assert normal_still(file, tmp_path) == file
