"""Times of words that somebody has written or edited: checked, and put in order."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby

from ytray.studio.model import Word

_LEAST = 0.1  # seconds that a word without a length of its own is given where nothing follows
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")  # all but those that break lines
_LONGEST = 1000  # characters of a word
_MOST = 0.5  # seconds that it is given where the next one follows late


def in_order(words: Sequence[Word]) -> list[Word]:
    """The words by their times, each with a length: those that begin at one instant share the time to the next one.

    Words without a sign are left out. Raises ValueError, naming the word and its place, for a time that is no number,
    infinite or negative, for an end before its start, and for what is too long to be a word.
    """
    for place, word in enumerate(words, 1):
        told = f"word {place} ({word.text[:40]!r})"
        if not (math.isfinite(word.start) and math.isfinite(word.end)):
            raise ValueError(f"{told} has a time that is no number: {word.start} to {word.end}")
        if word.start < 0:
            raise ValueError(f"{told} begins before its scene, at {word.start:g} s")
        if word.end < word.start:
            raise ValueError(f"{told} ends at {word.end:g} s, before it begins at {word.start:g} s")
        if odd := _CONTROL.search(word.text):
            raise ValueError(f"{told} has a control character, U+{ord(odd[0]):04X}")
        if len(word.text) > _LONGEST:
            raise ValueError(
                f"{told} is no word: it has {len(word.text):,} characters, and at most {_LONGEST:,} are taken"
            )
    shown = sorted((word for word in words if word.text.strip()), key=_begins)
    together = [list(group) for _, group in groupby(shown, key=_begins)]
    found: list[Word] = []
    for number, group in enumerate(together, 1):
        following = together[number] if number < len(together) else None
        start = _begins(group[0])
        if len(group) == 1 and group[0].end - start >= 0.001:  # less is nothing in a caption file
            found.append(group[0])
            continue
        next_start = _begins(following[0]) if following else math.inf
        end = max(word.end for word in group)
        if end - start < 0.001 * len(group):
            end = start + (_LEAST if following is None else _MOST) * len(group)
        end = min(end, next_start)
        letters = [max(1, len(word.text)) for word in group]
        at, whole = start, sum(letters)
        for word, share in zip(group, letters, strict=True):
            lasts = (end - start) * share / whole
            found.append(Word(text=word.text, start=at, end=at + lasts))
            at += lasts
    return found


def _begins(word: Word) -> float:
    return round(word.start, 3)
