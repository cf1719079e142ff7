"""The font of captions and titles: Roboto, from the package font-roboto (Apache License 2.0)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import font_roboto
from fontTools.ttLib import TTFont

from ytray.errors import PermanentError

CAPTION_FAMILY = "Roboto"
BOLD = Path(font_roboto.font_directory) / "Roboto-Bold.ttf"


@cache
def _drawable() -> frozenset[int]:
    with TTFont(BOLD, lazy=True) as font:
        return frozenset(font.getBestCmap())


def check_drawable(text: str) -> None:
    """Raise PermanentError, naming the characters, when the font cannot draw all of `text`: never empty boxes."""
    missing = sorted({char for char in text if not char.isspace() and ord(char) not in _drawable()})
    if missing:
        shown = " ".join(f"{char} (U+{ord(char):04X})" for char in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise PermanentError(
            f"the caption font {BOLD.stem} cannot draw {shown}{more}; leave these out, or compose with captions=False"
        )
