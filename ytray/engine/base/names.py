"""Names that are joined of several words, so that no two tuples of words have one name; and which words may be names.

`escaped` in lua/prelude.lua is the same in Lua. Most names hold no sign that is escaped, and stay as they are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from ytray.errors import InvalidArguments

LONGEST: Final = 255  # characters
NODE_WORD: Final = 12  # characters of a node's id: the prefix of the names of its workers
_SIGNS = re.compile(r"[%|:@\x00-\x20\x7f]")  # what separates words somewhere, and % itself
_ESCAPES = re.compile(r"%([0-9A-F]{2})")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, half ones, ends of lines


def escaped(word: str) -> str:
    """A word without any sign that separates words: such a sign is written as % and two digits."""
    return _SIGNS.sub(lambda sign: f"%{ord(sign.group()):02X}", word)


def joined(*words: str) -> str:
    """One name for these words: other words, or other bounds between them, have another name."""
    return "|".join(map(escaped, words))


def parted(name: str) -> list[str]:
    """The words that `joined` made a name of."""
    return [unescaped(word) for word in name.split("|")]


def unescaped(word: str) -> str:
    """The word that `escaped` wrote."""
    return _ESCAPES.sub(lambda sign: chr(int(sign.group(1), 16)), word)


def checked_word(word: object, what: str) -> str:
    """A name that users give, as it is. `what` says what it names, as in "a user id".

    Raises InvalidArguments unless it is 1 to 255 characters, and no control characters or halves of characters.
    """
    if not isinstance(word, str) or not 1 <= len(word) <= LONGEST:
        raise InvalidArguments(f"{what} is a text of 1 to {LONGEST} characters, not {word!r:.80}")
    if unfit := _UNFIT.search(word):
        raise InvalidArguments(f"{what} holds no control characters, and {word!r:.80} has {unfit.group()!r}")
    return word


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)", or what there is to choose from when there are few, or nothing."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (there are: {', '.join(names)})" if len(names) <= 8 else ""
