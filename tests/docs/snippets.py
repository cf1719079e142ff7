"""What the docs show: their Python snippets, and the commands in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "cluster").rglob("*.md"))]

_FENCE = re.compile(r"^( *)```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^ +(?:\w*\$ +)?((?:[A-Z_]+=\S+ )*(?:.* && )?(?:[A-Z_]+=\S+ )*ytray .*)$", re.MULTILINE)


def python_of(page: Path) -> list[str]:
    """The Python snippets of a page, in order."""
    return [textwrap.dedent(found[2]) for found in _FENCE.finditer(page.read_text("utf-8"))]


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words after `ytray` of each command that the code blocks of a page show."""
    for found in _COMMAND.finditer(page.read_text("utf-8")):
        words = shlex.split(found[1], comments=True)
        while "ytray" in words:
            start = words.index("ytray")
            end = next((place for place, word in enumerate(words) if word in ("&&", "|", ";") and place > start), None)
            yield words[start + 1 : end]
            words = words[end:] if end is not None else []
