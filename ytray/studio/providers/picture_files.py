"""Pictures as files, whatever size and kind they came in."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ytray.errors import PermanentError


def fitted(source: Path, size: tuple[int, int], into: Path) -> None:
    """Write the picture `source` as a JPEG of `size` pixels (width, height), cut at two edges where its shape differs.

    Raises PermanentError when it is no picture.
    """
    try:
        with Image.open(source) as picture:
            ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS).save(into, "JPEG", quality=92)
    except (UnidentifiedImageError, OSError) as wrong:
        raise PermanentError(f"what came is no picture that can be read: {wrong.strerror or 'it is damaged'}") from None
