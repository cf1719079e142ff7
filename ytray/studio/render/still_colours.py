"""The colours of stills: what a picture says of them, and how it is brought to sRGB of 8 bits."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms

from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.frames import DIMMED, to_light
from ytray.studio.render.probe import reading
from ytray.studio.render.work import work_folder

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_MOST_PROFILE = 4 * 1024 * 1024  # bytes
# Of ITU-T H.273: the numbers by which PNG, AVIF and colour profiles name primaries and transfer, and ffmpeg's names.
_PRIMARIES = {1: "bt709", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
_TRANSFERS = {1: "bt709", 6: "bt709", 8: "linear", 13: "iec61966-2-1", 14: "bt709", 15: "bt709"}
_HDR = {16: "smpte2084", 18: "arib-std-b67"}
_LOOKED_AT = 1 << 20  # bytes: what says the colours stands before the pixels
_LARGEST = 6560  # pixels: the longest side of HDR that is worked on, with 12 bytes a pixel; no video shows more
_PATCHES = bytes((0, 0, 0, 128, 128, 128, 255, 0, 0, 0, 255, 0, 0, 0, 255, 200, 120, 60))
_TIMEOUT = 120  # seconds


@dataclass(frozen=True)
class Coded:
    """Primaries and transfer, as ffmpeg names them, of a picture that has more light or colours than sRGB."""

    primaries: str
    transfer: str

    @property
    def is_hdr(self) -> bool:
        """Whether its light is coded as PQ or HLG."""
        return self.transfer in _HDR.values()


def coded(source: Path, image: Image.Image) -> Coded | None:
    """What a PNG (cICP), an AVIF or HEIC (nclx) or a colour profile (cicp) says by numbers; None: sRGB, or nothing."""
    with source.open("rb") as file:
        start = file.read(_LOOKED_AT)
    numbers = _numbers(start, image)
    if numbers is None:
        return None
    primaries, transfer = numbers
    if transfer in _HDR:
        return Coded(_PRIMARIES.get(primaries, "bt2020"), _HDR[transfer])
    if primaries in (0, 1, 2) or primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return None
    return Coded(_PRIMARIES[primaries], _TRANSFERS[transfer])


def _numbers(start: bytes, image: Image.Image) -> tuple[int, int] | None:
    if image.format == "PNG":
        at = 8
        while at + 12 <= len(start) and start[at + 4 : at + 8] != b"IDAT":
            if start[at + 4 : at + 8] == b"cICP":
                return start[at + 8], start[at + 9]
            at += 12 + int.from_bytes(start[at : at + 4], "big")
    if image.format == "AVIF" and (at := start.find(b"colrnclx")) >= 0:
        return int.from_bytes(start[at + 8 : at + 10], "big"), int.from_bytes(start[at + 10 : at + 12], "big")
    raw = image.info.get("icc_profile")
    numbers = image.info.get("nclx_profile")
    if isinstance(numbers, dict) and (raw is None or numbers["transfer_characteristics"] in _HDR):  # of a HEIC
        return numbers["color_primaries"], numbers["transfer_characteristics"]
    if isinstance(raw, bytes) and len(raw) > 132:
        for tag in range(132, 132 + 12 * min(100, int.from_bytes(raw[128:132], "big")), 12):
            if raw[tag : tag + 4] == b"cicp":
                value = raw[int.from_bytes(raw[tag + 4 : tag + 8], "big") :][:12]
                return (value[8], value[9]) if len(value) == 12 else None
    return None


def from_coded(source: Path, size: tuple[int, int], said: Coded) -> Image.Image:
    """A picture of `size` in sRGB: HDR is mapped as that of videos is. Raises ValueError when it cannot be decoded."""
    smaller = f"scale='min(iw,{_LARGEST})':'min(ih,{_LARGEST})':force_original_aspect_ratio=decrease"
    named = f"setparams=color_primaries={said.primaries}:color_trc={said.transfer}"
    mapped = to_light(said.transfer) + (f",{DIMMED}" if said.is_hdr else "")
    filters = f"{smaller},{named},{mapped},zscale=t=iec61966-2-1:m=gbr:r=pc:d=error_diffusion,format=gbrp"
    with work_folder() as folder:
        command = [binary(), "-hide_banner", "-nostdin", "-v", "error", "-noautorotate", *reading(source, folder)]
        command += ["-map", "0:v:0", "-vf", filters, "-frames:v", "1", "-c:v", "ppm", "-f", "image2pipe", "-"]
        done = foreign.run(command, folder=folder, timeout=_TIMEOUT)
    if done.returncode != 0 or not done.stdout:
        raise ValueError(done.stderr.decode(errors="replace").strip()[-300:] or "no picture")
    shown = Image.open(io.BytesIO(done.stdout)).convert("RGB")
    if size != shown.size and max(shown.size) < _LARGEST:  # of an AVIF in tiles ffmpeg reads the first
        raise ValueError(f"of its {size[0]}×{size[1]} pixels only {shown.width}×{shown.height} could be decoded")
    return shown


def is_srgb(image: Image.Image) -> bool:
    """Whether its profile leaves the colours as they would be without one."""
    profile = _profile(image)
    if profile is None:
        return True
    patches = Image.frombytes("RGB", (len(_PATCHES) // 3, 1), _PATCHES)
    shown = _converted(patches, profile)
    return shown is None or max(abs(a - b) for a, b in zip(shown.tobytes(), _PATCHES, strict=True)) <= 2


def in_srgb(image: Image.Image, source: Image.Image) -> Image.Image:
    """A picture in RGB by the colour profile that its source has; one that is not for such pictures is passed over."""
    plain = image.convert("RGB") if image.mode in ("1", "P") else image
    profile = _profile(source)
    if profile is None and plain.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    shown = _converted(plain, profile) if profile is not None else None
    return shown if shown is not None else plain.convert("RGB")


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image | None:
    if image.mode not in ("RGB", "CMYK", "L", "LAB"):
        return None
    try:
        return ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
    except ImageCms.PyCMSError:
        return None


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """Its colour profile; None when it has none, or one that cannot be read."""
    raw = image.info.get("icc_profile")
    if not isinstance(raw, bytes) or not 128 < len(raw) <= _MOST_PROFILE:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(raw))
    except (OSError, ImageCms.PyCMSError):
        return None
