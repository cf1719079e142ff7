"""Imported by the session's workers (YTRAY_IMPORTS): what they make has a quarter of the width and of the height.

A video is drawn, encoded and measured many times as fast so, and takes all the same steps. Tests of what depends on the
size call the studio themselves; tests/artifacts and `make demo` make whole videos of full size.
"""

from __future__ import annotations

import sys

from ytray.studio.model import SIZES

_SMALLER = 4


def smaller() -> dict[str, tuple[int, int]]:
    """The sizes by aspect."""
    return {aspect: (width // _SMALLER, height // _SMALLER) for aspect, (width, height) in SIZES.items()}


if "pytest" not in sys.modules:  # whose process imports what YTRAY_IMPORTS names, too, once somebody asks for all tasks
    SIZES.update(smaller())
