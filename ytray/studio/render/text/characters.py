"""What the characters of a text are: what stands together as one, draws nothing, is wide, and which way it is read.

Grapheme clusters after Unicode Standard Annex #29, shortened to what a choice of fonts needs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Cjk = Literal["JP", "KR", "SC"]

_ZWJ, _TEXT_STYLE, _EMOJI_STYLE, _KEYCAP = "\u200d", "\ufe0e", "\ufe0f", "\u20e3"
# Format characters that do draw something, and joiners, which shape their neighbours.
_DRAWN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
# Explicit directions, which `bidi` does not know, so that no text can turn its neighbours around; and annotations.
_DROPPED = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufff9\ufffa\ufffb")
_SPACES = re.compile(r"[^\S\u3000]+")  # the ideographic space is kept: it is as wide as a character
_LEFTWARD = 0.4
_UNSPACED = (
    "CJK",
    "IDEOGRAPHIC ITERATION",
    "HIRAGANA",
    "KATAKANA",
    "BOPOMOFO",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
)


@dataclass(frozen=True)
class Tongue:
    """What a whole text tells about how its parts are drawn: the form of its Chinese characters, its direction."""

    cjk: Cjk
    right_to_left: bool


def tongue_of(text: str) -> Tongue:
    """Tell by counting: kana are Japanese, hangul Korean, other Chinese characters drawn in their simplified forms.

    The first letter, which plain text has its direction from, would turn a Hebrew sentence around that begins with a
    foreign name. Here a text runs to the left when two fifths of its letters do: it is Hebrew or Arabic that borrows
    Latin words, rather than the reverse.
    """
    kana = sum("\u3041" <= char <= "\u30ff" or "\uff66" <= char <= "\uff9d" for char in text)
    hangul = sum("\uac00" <= char <= "\ud7a3" or "\u1100" <= char <= "\u11ff" for char in text)
    strong = [unicodedata.bidirectional(char) for char in text]
    leftward = strong.count("R") + strong.count("AL")
    right_to_left = leftward > _LEFTWARD * (leftward + strong.count("L"))
    return Tongue("JP" if kana and kana >= hangul else "KR" if hangul else "SC", right_to_left)


def cleaned(text: str) -> str:
    """The text as one line: composed (NFC), white space as single spaces, without control characters."""
    spaced = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    return "".join(char for char in spaced if unicodedata.category(char) != "Cc" and char not in _DROPPED)


def draws_nothing(char: str) -> bool:
    """Whether a character is no ink of its own: white space, controls, joiners, variation selectors."""
    return (
        char.isspace()
        or char in _FILLERS
        or "\ufe00" <= char <= _EMOJI_STYLE
        or "\U000e0100" <= char <= "\U000e01ef"
        or (unicodedata.category(char) in ("Cc", "Cf") and char not in _DRAWN_FORMATS)
    )


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for one character each: a letter with its marks, a flag, a family, a thumb in its tone."""
    current = ""
    for char in text:
        if current and not _continues(current, char):
            yield current
            current = ""
        current += char
    if current:
        yield current


def _continues(cluster: str, char: str) -> bool:
    if unicodedata.category(char) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= char <= "\U0001f3ff":
        return not cluster.isspace()
    if "\U000e0020" <= char <= "\U000e007f" or char in (_ZWJ, "\u200c"):  # the tags of a regional flag; joiners
        return not cluster.isspace()
    if cluster[-1] == _ZWJ:
        return _pictorial(cluster[0]) and _pictorial(char)
    if _flag_letter(char):
        return len(cluster) == 1 and _flag_letter(cluster)
    return "\u1160" <= char <= "\u11ff" and "\u1100" <= cluster[-1] <= "\u11ff"  # the letters of a Korean syllable


def _flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _pictorial(char: str) -> bool:
    return "\u2190" <= char <= "\u2bff" or char in "©®‼⁉™〰〽㊗㊙" or "\U0001f000" <= char <= "\U0001faff"


def wants_colour(cluster: str) -> bool:
    """Whether a cluster is an emoji, to be drawn in colours if a font has it."""
    if _TEXT_STYLE in cluster:
        return False
    if cluster[0] in "0123456789#*":
        return _KEYCAP in cluster
    first = cluster[0]
    shown = "\u2300" <= first <= "\u23ff" or "\u25a0" <= first <= "\u27bf" or "\u2b00" <= first <= "\u2bff"
    return shown or "\U0001f000" <= first <= "\U0001faff" or (_EMOJI_STYLE in cluster and _pictorial(first))


def is_wide(char: str) -> bool:
    """Whether a character takes the room of two: Chinese, Japanese, Korean, full-width forms, emoji."""
    return unicodedata.east_asian_width(char) in ("W", "F")


def columns(text: str) -> int:
    """Length in characters, a wide one counted as two."""
    return sum(2 if is_wide(char) else 1 for char in text)


def is_unspaced(char: str) -> bool:
    """Whether a character is of a script that writes words without spaces between them."""
    return unicodedata.name(char, "").startswith(_UNSPACED)


def is_east_asian(char: str) -> bool:
    """Whether a character is Chinese, or Japanese, or its punctuation: next to it stands no space."""
    return is_wide(char) and not ("\u1100" <= char <= "\u11ff" or "\uac00" <= char <= "\ud7a3" or char >= "\U0001f000")
