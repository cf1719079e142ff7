"""Stills that users hand in: checked in full, and made into what ffmpeg and every player read alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ytray.errors import PermanentError
from ytray.studio.render.digests import digest
from ytray.studio.render.files import check_file
from ytray.studio.render.still_colours import Coded, coded, from_coded, in_srgb, is_srgb
from ytray.studio.render.work import work_folder

MOST_PIXELS = 100_000_000  # three bytes each once decoded
MOST_SIDE = 16_384  # pixels: what ffmpeg's scaler and encoders go up to
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def normal_still(source: Path, folder: Path) -> Path:
    """A still that shows the same everywhere: `source` itself where it does already, else a PNG in `folder`.

    Already normal are an upright JPEG of 8 bits in colour (baseline or progressive) and a PNG of 8 bits in RGB without
    transparency. All else is converted: turned upright (EXIF), its first frame taken (GIF, WebP), put on black where it
    is transparent, and brought from CMYK, palettes, grey, 16 bits, HDR or another colour space to sRGB of 8 bits.

    Raises PermanentError, naming the file: it is missing, empty, cut off, damaged, no picture, larger than 16,384
    pixels a side or 100 megapixels.
    """
    with _loaded(source) as (image, said, is_normal):
        if is_normal:
            return source
        shown = image if said is None else _from_coded(source, image, said)
        normal = _flat(_upright(shown, _orientation(image)))
    target = folder / f"still-{digest(source)[:32]}.png"
    normal.save(target, "PNG", compress_level=1, icc_profile=None)
    return target


def check_still(source: Path) -> str | None:
    """Raises as `normal_still` does, without making anything. Returns the format by Pillow's name."""
    with _loaded(source) as (image, _, _):
        return image.format


@contextmanager
def _loaded(source: Path) -> Iterator[tuple[Image.Image, Coded | None, bool]]:
    """A picture that could be read to its end, how its colours are coded, and whether it is normal.

    A normal one is as small as can be.
    """
    check_file(source, "picture")
    with _opened(source) as image:
        _check_size(source, image)
        try:
            said = coded(source, image)
            is_normal = said is None and _is_normal(image) and not _is_sixteen_bits(source)
            if is_normal:
                image.draft(None, (1, 1))  # a JPEG is then read as small as can be, which is four times as fast
            image.load()  # all of it: the headers of a cut picture are whole
            yield image, said, is_normal
        except Exception as error:  # whatever a decoder stumbles over, it will again
            told = " ".join(str(error).split())
            raise PermanentError(f"{source.name} is damaged or cut off: {told}; save or send it again") from error


def _is_heic(source: Path) -> bool:
    """Whether it is a photo as phones take them: in HEVC, however it is called."""
    with source.open("rb") as file:
        start = file.read(64)
    brands = start[8 : min(64, int.from_bytes(start[:4], "big"))]
    is_avif = b"avif" in brands or b"avis" in brands
    return start[4:8] == b"ftyp" and start[8:12] in _HEIC and not is_avif


def _opened(source: Path) -> Image.Image:
    is_heic = _is_heic(source)
    if is_heic:
        from pi_heif import register_heif_opener  # not loaded for other pictures

        register_heif_opener()
    try:
        return Image.open(source, formats=("HEIF",) if is_heic else _FORMATS)
    except Image.DecompressionBombError as error:
        raise PermanentError(f"{source.name} is too large: more than {MOST_PIXELS // 1_000_000} megapixels") from error
    except UnidentifiedImageError as error:
        if is_heic:  # where something of it is missing, its headers are refused already
            raise PermanentError(f"{source.name} is a damaged or cut off HEIC; save or send it again") from error
        known = ", ".join((*_FORMATS, "HEIC"))
        raise PermanentError(f"{source.name} is no picture that can be read; give one in {known}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PermanentError(f"{source.name} is no picture that can be read: {error}; save or send it again") from error


def _check_size(source: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        raise PermanentError(
            f"{source.name} is too large: {width}×{height} pixels; at most {MOST_SIDE} a side and "
            f"{MOST_PIXELS // 1_000_000} megapixels are taken"
        )


def _is_normal(image: Image.Image) -> bool:
    return (
        image.format in ("JPEG", "PNG")
        and image.mode == "RGB"
        and "transparency" not in image.info
        and _orientation(image) == 1
        and getattr(image, "n_frames", 1) == 1
        and is_srgb(image)
    )


def _is_sixteen_bits(source: Path) -> bool:
    """Whether it is a PNG of 16 bits a colour; Pillow reads it as one of 8."""
    with source.open("rb") as file:
        start = file.read(25)
    return start.startswith(b"\x89PNG") and start[24:] == b"\x10"  # the depth's place in the first chunk


def _orientation(image: Image.Image) -> int:
    """How it has to be turned, 1 to 8, by its EXIF; 1, not at all, where that cannot be read.

    Nothing else of the EXIF is looked at, so nothing else that is wrong with it matters.
    """
    try:
        told = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's parser raises whatever malformed bytes lead it to
        return 1
    return told if isinstance(told, int) and told in _TURNS else 1


def _from_coded(source: Path, image: Image.Image, said: Coded) -> Image.Image:
    if image.format == "HEIF":
        with work_folder() as folder:
            shown = from_coded(_as_ppm(source, folder), image.size, said)
    else:
        shown = from_coded(source, image.size, said)
    if image.has_transparency_data:
        shown.putalpha(image.convert("RGBA").getchannel("A").resize(shown.size))
    return shown


def _as_ppm(source: Path, folder: Path) -> Path:
    """A HEIC picture with all its bits, as ffmpeg reads it wholly: of one in tiles, as phones write them, too."""
    from pi_heif import open_heif

    found = open_heif(source, convert_hdr_to_8bit=False, bgr_mode=False)
    values = np.asarray(found)[..., :3]
    with (folder / "still.ppm").open("wb") as file:
        file.write(b"P6\n%d %d\n%d\n" % (*found.size, np.iinfo(values.dtype).max))
        file.write(values.astype(values.dtype.newbyteorder(">")).tobytes())
    return folder / "still.ppm"


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS[orientation]
    return image if turn is None else image.transpose(turn)


def _flat(image: Image.Image) -> Image.Image:
    """In sRGB, 8 bits, on black."""
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        black = Image.new("RGBA", shown.size, (0, 0, 0, 255))
        return in_srgb(Image.alpha_composite(black, shown).convert("RGB"), image)
    return in_srgb(image, image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """From 16 or 32 bits of grey: scaled by what the format can hold, not by what the picture does hold."""
    if image.mode == "F":
        return image.point(lambda value: value * 255).convert("L")
    return image.convert("I").point(lambda value: value / 257).convert("L")
