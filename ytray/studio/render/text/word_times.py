"""Times of words that somebody has written or edited: checked, and put in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from ytray.studio.model import Word

_LEAST = 0.1  # seconds that a word without a length of its own is given where nothing follows
_MOST = 0.5  # seconds that it is given where the next one follows late


def in_order(words: Sequence[Word]) -> list[Word]:
    """The words by their times, each with a length: those that begin at one instant share the time to the next one.

    Raises ValueError, naming the word and its place, for a time that is no number, infinite or negative, and for an end
    before its start.
    """
    for place, word in enumerate(words, 1):
        told = f"word {place} ({word.text[:40]!r})"
        if not (math.isfinite(word.start) and math.isfinite(word.end)):
            raise ValueError(f"{told} has a time that is no number: {word.start} to {word.end}")
        if word.start < 0:
            raise ValueError(f"{told} begins before its scene, at {word.start:g} s")
        if word.end < word.start:
            raise ValueError(f"{told} ends at {word.end:g} s, before it begins at {word.start:g} s")
    together = [list(group) for _, group in groupby(sorted(words, key=_begins), key=_begins)]
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
        at = start
        for word, share in zip(group, letters, strict=True):
            lasts = (end - start) * share / sum(letters)
            found.append(Word(text=word.text, start=at, end=at + lasts))
            at += lasts
    return found


def _begins(word: Word) -> float:
    return round(word.start, 3)
