"""What the files of a film are called where people keep them: by its title or prompt, in the letters of any script."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from ytray.studio.markup import plain_text

_LONGEST = 100  # bytes: with a number and the longest ending also where the file system encrypts names
_LONGEST_FILM = 48  # bytes: what is read at a glance
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # devices, on shares of Windows
_FILM_ITSELF = ("video", "captions")  # as the studio calls its files; others are told apart by their names


def plain_name(text: str, *, signs: str = "", longest: int = _LONGEST) -> str:
    """A file's name made of a text: its letters and figures of any script, `signs`, and dashes for everything else."""
    # Marks belong to the letters before them; without them Devanagari, Thai and Arabic could not be read.
    kept = "".join(
        char if char.isalnum() or unicodedata.category(char)[0] == "M" or char in signs else " "
        for char in unicodedata.normalize("NFC", text)
    )
    name = "-".join(kept.split()).encode()[:longest].decode(errors="ignore").strip("-.")
    return f"{name}-video" if _RESERVED.fullmatch(name) else name or "video"


def film_name(title: str) -> str:
    """The name of a film's files, without an ending."""
    return plain_name(plain_text(title).casefold(), longest=_LONGEST_FILM)


def title_of(result: Any) -> str | None:
    """The title of the film that a job made, by its result; None for what is no film."""
    script = result.get("script") if isinstance(result, dict) else None
    title = script.get("title") if isinstance(script, dict) else None
    return title if isinstance(title, str) and title else None


def file_name(title: str, name: str) -> str:
    """What a file of a film is called that the studio calls `name`: `why-cats-purr.mp4` for `video.mp4`."""
    for own in _FILM_ITSELF:
        if name.startswith(own):
            return film_name(title) + name.removeprefix(own)
    return f"{film_name(title)}.{name}"
