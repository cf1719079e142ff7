"""The fonts of captions and titles: Roboto Bold (package font-roboto, Apache License 2.0), else what is installed.

Debian has the others in fonts-noto-core (most scripts), fonts-noto-cjk (Chinese, Japanese, Korean) and
fonts-noto-color-emoji. Nothing is looked for until a text has a character that Roboto lacks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import font_roboto
import numpy as np
from fontTools.ttLib import TTCollection, TTFont, TTLibError
from numpy.typing import NDArray
from PIL import features

from ytray.errors import PermanentError
from ytray.studio.render.digests import digest
from ytray.studio.render.text.characters import (
    Cjk,
    Tongue,
    cleaned,
    clusters,
    draws_nothing,
    is_east_asian,
    tongue_of,
    wants_colour,
)

BOLD = Path(font_roboto.font_directory) / "Roboto-Bold.ttf"
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_KINDS = (".ttf", ".otf", ".ttc")
_BOLD_WEIGHT, _NORMAL_WIDTH = 700, 5
_ITALIC = 1  # the bit of OS/2 fsSelection
_COLOUR_FAMILY = "Noto Color Emoji"  # its pictures (table CBDT) are the ones that Pillow can draw
_NAMED = 8  # characters in an error


@dataclass(frozen=True)
class Face:
    """One font: a file, and its place in it when the file holds several."""

    file: Path
    index: int
    family: str
    weight: int
    width: int
    italic: bool
    in_colour: bool


ROBOTO = Face(BOLD, 0, "Roboto", _BOLD_WEIGHT, _NORMAL_WIDTH, italic=False, in_colour=False)


def check_drawable(text: str) -> None:
    """Raise PermanentError, naming the characters, when no font here can draw all of `text`: never empty boxes."""
    cjk = tongue_of(text).cjk
    missing: dict[str, None] = {}
    others = False
    for cluster in clusters(cleaned(text)):
        face = face_of(cluster, cjk)
        others = others or face not in (ROBOTO, None)
        if face is None:
            alone = [char for char in cluster if not draws_nothing(char)]
            missing.update(dict.fromkeys([char for char in alone if face_of(char, cjk) is None] or alone))
    if missing:
        shown = " ".join(f"{_shown(char)}(U+{ord(char):04X})" for char in list(missing)[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        packages = sorted({package for char in missing if (package := _package(char))})
        install = f"install a font that has them (on Debian {', '.join(packages)}), " if packages else ""
        raise PermanentError(
            f"no font that is installed can draw {shown}{more}; {install}leave them out, or compose with captions=False"
        )
    if others and not features.check("raqm"):
        raise PermanentError(
            "text beyond Latin, Greek and Cyrillic cannot be set without the library FriBidi; install it (on Debian "
            "libfribidi0), or compose with captions=False"
        )


def fonts_of(text: str, tongue: Tongue | None = None) -> list[tuple[str, str]]:
    """The fonts that `text` is drawn with: the name of each, and its SHA-256; for the names of what is kept.

    `tongue` is that of the whole that the text is a part of, when it is one.
    """
    cjk = (tongue or tongue_of(text)).cjk
    faces = {face for cluster in clusters(cleaned(text)) if (face := face_of(cluster, cjk))}
    return sorted((f"{face.file.name}#{face.index}", digest(face.file)) for face in faces)


@lru_cache(maxsize=20_000)
def face_of(cluster: str, cjk: Cjk) -> Face | None:
    """The font that draws a cluster (a character with all that belongs to it), or None: a cluster is never divided.

    `cjk` says whose forms of Chinese characters are meant.
    """
    needed = [char for char in cluster if not draws_nothing(char)]
    if any(unicodedata.category(char) in ("Co", "Cs") for char in needed):
        # In the private area each font has pictures of its own: what one machine draws is not what another does.
        return None
    if not needed:
        return ROBOTO
    codes = [ord(char) for char in needed]
    emoji = wants_colour(cluster)
    if not emoji and _has(ROBOTO, codes):
        return ROBOTO
    if emoji:
        for face in _installed():
            if face.in_colour and _has(face, codes):
                return face
    base = needed[0]
    ranked = sorted(_installed(), key=lambda face: _rank(face, base, cjk))
    return next((face for face in (ROBOTO, *ranked) if _has(face, codes)), None)


def _rank(face: Face, char: str, cjk: Cjk) -> tuple[bool | int | str, ...]:
    """The lower the better: a family named after the script, sans, upright, bold; the rest for a firm order."""
    return (
        _foreign(face.family, char, cjk),
        "Sans" not in face.family,
        "Mono" in face.family,
        face.italic,
        abs(face.width - _NORMAL_WIDTH),
        abs(face.weight - _BOLD_WEIGHT),
        not face.family.startswith("Noto"),
        face.family,
        str(face.file),
        face.index,
    )


def _foreign(family: str, char: str, cjk: Cjk) -> int:
    """How far a family is from the script of a character: 0 is named after it, 1 is for any, 3 is another's."""
    noto, _, script = family.replace("Noto Sans", "Noto", 1).replace("Noto Serif", "Noto", 1).partition(" ")
    script = script.replace(" ", "").lower()
    if noto != "Noto" or not script:
        return 1
    if "cjk" in script:  # "Noto Sans Mono CJK JP" as well
        eastern = is_east_asian(char) or unicodedata.name(char, "").startswith(("HANGUL", "HALFWIDTH", "CJK"))
        return (0 if script.endswith(cjk.lower()) else 1) if eastern else 3
    # The names of characters begin with that of their script: DEVANAGARI LETTER KA.
    return 0 if unicodedata.name(char, "").replace(" ", "").lower().startswith(script) else 2


def _has(face: Face, codes: Iterable[int]) -> bool:
    characters = _characters(face)
    places = np.searchsorted(characters, list(codes))
    return bool((characters.take(places, mode="clip") == list(codes)).all())


@cache
def _characters(face: Face) -> NDArray[np.uint32]:
    """All that a font has, sorted: as sets, those of the Chinese fonts alone would take a hundred megabytes."""
    with TTFont(face.file, fontNumber=face.index, lazy=True) as font:
        return np.array(sorted(font.getBestCmap() or ()) or [0], np.uint32)


@cache
def _installed() -> tuple[Face, ...]:
    """Every font below the usual folders; one that cannot be read is passed over."""
    files: list[Path] = []
    for folder in _FOLDERS:
        files += sorted(
            file for file in Path(folder).expanduser().rglob("*") if file.suffix.lower() in _KINDS and file.is_file()
        )
    return tuple(face for file in files for face in _faces(file))


def _faces(file: Path) -> Iterator[Face]:
    try:
        with TTCollection(file, lazy=True) if file.suffix.lower() == ".ttc" else TTFont(file, lazy=True) as opened:
            for index, font in enumerate(opened.fonts if isinstance(opened, TTCollection) else [opened]):
                if face := _face(file, index, font):
                    yield face
    except (OSError, TTLibError, KeyError, ValueError, AssertionError):
        return


def _face(file: Path, index: int, font: TTFont) -> Face | None:
    family = str(font["name"].getBestFamilyName())
    in_colour = family == _COLOUR_FAMILY and "CBDT" in font
    if not in_colour and (
        "CBDT" in font or "sbix" in font or "COLR" in font or not ({"glyf", "CFF "} & set(font.keys()))
    ):
        return None
    style = font["OS/2"]
    return Face(
        file, index, family, style.usWeightClass, style.usWidthClass, bool(style.fsSelection & _ITALIC), in_colour
    )


def _shown(char: str) -> str:
    """A character before its code, where it has a form at all."""
    return f"{char} " if unicodedata.category(char)[0] not in "CM" else ""


def _package(char: str) -> str | None:
    """The Debian package that has most of a character's script."""
    if unicodedata.category(char)[0] == "C":
        return None
    if wants_colour(char):
        return "fonts-noto-color-emoji"
    if is_east_asian(char) or unicodedata.name(char, "").startswith(("HANGUL", "HALFWIDTH")):
        return "fonts-noto-cjk"
    return "fonts-noto-core"
