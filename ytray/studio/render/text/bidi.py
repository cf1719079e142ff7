"""Which way the characters of a line run: the Unicode Bidirectional Algorithm (Standard Annex #9), implicit rules.

Explicit embeddings, overrides and isolates are not known here; `characters.cleaned` takes them out of a text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_OPENING, _CLOSING = "([{〈《「『【〔（［｛⟨⟦", ")]}〉》」』】〕）］｝⟩⟧"
_LEFT, _RIGHT = "L", "R"


def levels(text: str, right_to_left: bool) -> list[int]:
    """The embedding level of each character: even ones run to the right, odd ones to the left."""
    base = 1 if right_to_left else 0
    kinds = [unicodedata.bidirectional(char) or "L" for char in text]
    outer = _RIGHT if right_to_left else _LEFT
    _weak(kinds, outer)
    _brackets(text, kinds, outer)
    _neutral(kinds, outer)
    found = [base + _rise(kind, base) for kind in kinds]
    for place in range(len(text) - 1, -1, -1):  # L1: white space at the end of a line runs as the line does
        if not text[place].isspace():
            break
        found[place] = base
    return found


def visual_order(levels: Sequence[int]) -> list[int]:
    """The places of a line's pieces from left to right, by their levels (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        begin = 0
        while begin < len(order):
            end = begin
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[begin:end] = order[begin:end][::-1]
            begin = end + 1
    return order


def _rise(kind: str, base: int) -> int:
    """Rules I1 and I2."""
    if base == 0:
        return {"R": 1, "AN": 2, "EN": 2}.get(kind, 0)
    return {"L": 1, "AN": 1, "EN": 1}.get(kind, 0)


def _weak(kinds: list[str], outer: str) -> None:
    """Rules W1 to W7: marks, numbers and what stands in them."""
    before, strong = outer, outer
    for place, kind in enumerate(kinds):
        if kind in ("NSM", "BN"):  # BN: a joiner or the like takes after its neighbour, which changes nothing seen
            kind = before
        elif kind == "EN" and strong == "AL":
            kind = "AN"
        if kind in ("L", "R", "AL"):
            strong = kind
        kinds[place] = before = kind
    kinds[:] = [_RIGHT if kind == "AL" else kind for kind in kinds]
    for place in range(1, len(kinds) - 1):
        around = kinds[place - 1]
        between = around == kinds[place + 1]
        if between and ((kinds[place] in ("ES", "CS") and around == "EN") or (kinds[place] == "CS" and around == "AN")):
            kinds[place] = around
    begin = 0
    while begin < len(kinds):
        end = begin
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        beside = (begin > 0 and kinds[begin - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")
        kinds[begin:end] = ["EN" if beside else "ON"] * (end - begin)
        begin = end + 1
    strong = outer
    for place, kind in enumerate(kinds):
        if kind in (_LEFT, _RIGHT):
            strong = kind
        elif kind == "EN" and strong == _LEFT:
            kinds[place] = _LEFT
        elif kind in ("ES", "CS"):
            kinds[place] = "ON"


def _brackets(text: str, kinds: list[str], outer: str) -> None:
    """Rule N0: both brackets of a pair run the same way."""
    for opening, closing in sorted(_pairs(text, kinds)):
        inside = {_strong(kind) for kind in kinds[opening + 1 : closing]} - {None}
        if outer in inside:
            chosen = outer
        elif inside:
            chosen = next((found for kind in reversed(kinds[:opening]) if (found := _strong(kind))), outer)
        else:
            continue
        for place in (opening, closing):
            kinds[place] = chosen
            while place + 1 < len(text) and unicodedata.bidirectional(text[place + 1]) == "NSM":
                place += 1
                kinds[place] = chosen


def _pairs(text: str, kinds: list[str]) -> list[tuple[int, int]]:
    waiting: list[tuple[int, str]] = []
    found = []
    for place, char in enumerate(text):
        if kinds[place] != "ON":
            continue
        if char in _OPENING:
            waiting.append((place, _CLOSING[_OPENING.index(char)]))
        elif char in _CLOSING:
            for depth in range(len(waiting) - 1, -1, -1):
                if waiting[depth][1] == char:
                    found.append((waiting[depth][0], place))
                    del waiting[depth:]
                    break
    return found


def _neutral(kinds: list[str], outer: str) -> None:
    """Rules N1 and N2: what has no direction takes that of its neighbours when they agree, else the line's."""
    begin = 0
    while begin < len(kinds):
        end = begin
        while end < len(kinds) and _strong(kinds[end]) is None:
            end += 1
        if end > begin:
            before = (_strong(kinds[begin - 1]) if begin else None) or outer
            after = (_strong(kinds[end]) if end < len(kinds) else None) or outer
            kinds[begin:end] = [before if before == after else outer] * (end - begin)
        begin = end + 1


def _strong(kind: str) -> str | None:
    """The direction of a letter, or of a number, which counts as written to the left here."""
    return kind if kind == _LEFT else _RIGHT if kind in (_RIGHT, "EN", "AN") else None
