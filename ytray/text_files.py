"""Texts that people write: read whatever their editor saved them as."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, or what its byte order mark says (Windows' editors write UTF-8 or UTF-16 with one).

    Raises ValueError, saying where, for what is no text: other bytes, a NUL, or a pipe or a device, which could be read
    without end; OSError.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file; save the text as one")
    raw = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as wrong:
        raise ValueError(f"byte {wrong.start + 1} is not {encoding.upper()}; save the file as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"line {line} has a NUL byte; save the file as UTF-8")
    return text
