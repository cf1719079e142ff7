"""What Redis keeps as JSON: written only when reading gives back what was written, and read within the same limits.

Everything that users hand over goes through here: arguments, results, metadata, checkpoints.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from ytray.errors import InvalidArguments

DEEPEST: Final = 100  # lists and objects in one another
MOST_DIGITS: Final = 300  # of a whole number: within what a double can hold, so that no client reads it as infinite
_DEEPEST_READ: Final = 150  # with what is put around a value; older versions took a little more than they could tell
_LONG_NUMBER: Final = b"0" * (MOST_DIGITS + 1)
_DIGITS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_PLAIN_INT: Final = 1 << 63


class NotKept(ValueError):
    """JSON would not give a value back as it is; the message says where, and what to do."""


def write(value: Any, what: str) -> bytes:
    """A plain value as JSON, as `read` gives it back. Raises InvalidArguments, which says `what` it is."""
    try:
        payload = to_json(value)
        check_limits(payload)
        check_kept(value, read(payload), what)
    except NotKept as changed:
        raise InvalidArguments(told_with(what, changed)) from None
    except (PydanticSerializationError, ValueError, RecursionError) as wrong:
        raise InvalidArguments(told_with(what, why_not(value, wrong, what))) from None
    return payload


def read(payload: bytes | str) -> Any:
    """What was stored as JSON. Raises ValueError when it is none, or nested too deep for those who read it.

    Versions that wrote NaN and Infinity left what is no JSON elsewhere: they are read as None.
    """
    raw = payload if isinstance(payload, bytes) else payload.encode()
    value = from_json(raw)
    if _may_be_deeper(raw, _DEEPEST_READ) and depth_of(value) > _DEEPEST_READ:
        raise ValueError(f"it is nested more than {_DEEPEST_READ} deep")
    return _finite(value) if b"NaN" in raw or b"Infinity" in raw else value


def check_text(text: str, what: str) -> None:
    """Raise InvalidArguments for surrogates, halves of characters that nobody can store."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidArguments(
                f"{what} holds surrogates, which are halves of characters and no text: {text[:80]!r}"
            ) from None


def check_kept(value: Any, back: Any, place: str = "") -> None:
    """Raise NotKept unless `back`, as it was read again, is what `value` is; `place` says whose value it is."""
    if not _is_equal(value, back) and (changed := difference(value, back, place)):
        raise NotKept(changed)


def check_limits(payload: bytes) -> None:
    """Raise NotKept when JSON is nested deeper, or holds a longer whole number, than everybody can read."""
    if len(payload) <= DEEPEST:
        return
    is_deep = _may_be_deeper(payload, DEEPEST)
    is_long = len(payload) > MOST_DIGITS and _LONG_NUMBER in payload.translate(_DIGITS)
    if not is_deep and not is_long:
        return
    try:
        value = from_json(payload)
    except ValueError as wrong:
        raise NotKept(f"it is nested too deep, or a number in it is too long: {wrong}") from None
    if is_deep and depth_of(value) > DEEPEST:
        raise NotKept(f"it is nested more than {DEEPEST} deep")
    if is_long and _has_long_number(value):
        raise NotKept(f"a whole number in it has more than {MOST_DIGITS} digits; pass it as a text")


def is_plain(value: Any) -> bool:
    """Whether it is a text, a number or None that JSON gives back for sure, as most arguments are."""
    kind = type(value)
    if kind is int:
        return bool(-_PLAIN_INT < value < _PLAIN_INT)
    return kind is str or value is None or kind is bool or (kind is float and math.isfinite(value))


def depth_of(value: Any) -> int:
    """How many lists and objects are in one another; a plain value is 0 deep."""
    deepest, level = 0, [value]
    while level := [each for each in level if isinstance(each, (list, dict))]:
        deepest += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return deepest


def difference(value: Any, back: Any, place: str = "") -> str:
    """Where and how what came back differs from what was given, as the end of a sentence; '' where nothing counts."""
    found = ""
    if isinstance(value, BaseModel) and type(value) is type(back):
        pairs = [(name, getattr(value, name), getattr(back, name)) for name in type(value).model_fields]
        pairs += [
            (name, given, (back.model_extra or {}).get(name)) for name, given in (value.model_extra or {}).items()
        ]
        found = next((told for name, a, b in pairs if (told := difference(a, b, f"{place}.{name}"))), "")
    elif dataclasses.is_dataclass(value) and type(value) is type(back):
        names = [field.name for field in dataclasses.fields(value)]
        told_of = (difference(getattr(value, n), getattr(back, n), f"{place}.{n}") for n in names)
        found = next((told for told in told_of if told), "")
    elif isinstance(value, (list, tuple)) and type(value) is type(back) and len(value) == len(back):
        told_of = (
            difference(a, b, f"{place}[{number}]") for number, (a, b) in enumerate(zip(value, back, strict=True))
        )
        found = next((told for told in told_of if told), "")
    elif isinstance(value, Mapping) and isinstance(back, Mapping):
        odd = [key for key in value if key not in back]
        if odd or len(value) != len(back):
            return f"{place} has the key {_short(*odd[:1])}, and JSON has only texts as keys: {_INSTEAD}"
        found = next((told for key in value if (told := difference(value[key], back[key], f"{place}[{key!r}]"))), "")
    elif not _is_equal(value, back) and not (type(value) is type(back) and _compares_by_identity(value)):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{place} is {value}, which is no number in JSON: pass None or a text instead"
        return f"{place} is {_kind(value)}, which comes back as {_kind(back)}: {_INSTEAD}"
    return found


_INSTEAD = "annotate it with its type, or pass what JSON has (docs/arguments.md)"


def _compares_by_identity(value: Any) -> bool:
    return getattr(type(value), "__eq__", None) is getattr(object, "__eq__", None)


def _is_equal(value: Any, back: Any) -> bool:
    try:
        return bool(value == back)
    except Exception:  # whatever a type of the user's does
        return False


def why_not(value: Any, wrong: Exception, place: str = "") -> str:
    """Why writing or reading failed altogether: with the place that is to blame, if it is seen."""
    if isinstance(wrong, RecursionError) or "recursion" in str(wrong).lower() or "depth exceeded" in str(wrong):
        return f"it is nested more than {DEEPEST} deep, or holds itself"
    return _first_odd(value, place, DEEPEST) or str(wrong)


def told_with(what: str, wrong: object) -> str:
    """A sentence about `what`, which may be a place in it already."""
    return str(wrong) if str(wrong).startswith(what) else f"{what}: {wrong}"


def _first_odd(value: Any, place: str, left: int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}, which is no number in JSON: pass None or a text instead"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MOST_DIGITS:
        return f"{place} is a whole number of more than {MOST_DIGITS} digits; pass it as a text"
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{place} holds surrogates, which are halves of characters and no text: {value[:80]!r}"
    if left and isinstance(value, (list, tuple)):
        parts = (_first_odd(part, f"{place}[{number}]", left - 1) for number, part in enumerate(value))
        return next((told for told in parts if told), "")
    if left and isinstance(value, Mapping):
        keys = (_first_odd(key, place, left - 1) for key in value)
        parts = (_first_odd(part, f"{place}[{key!r}]", left - 1) for key, part in value.items())
        return next((told for told in keys if told), "") or next((told for told in parts if told), "")
    return ""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return value


def _has_long_number(value: Any) -> bool:
    level = [value]
    while level:
        if any(isinstance(each, int) and abs(each) >= 10**MOST_DIGITS for each in level):
            return True
        containers = [each for each in level if isinstance(each, (list, dict))]
        level = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
    return False


def _may_be_deeper(payload: bytes, levels: int) -> bool:
    """Whether JSON may be nested deeper: what it says at once, without reading it. Brackets in texts may mislead it."""
    left = payload.translate(_BRACKETS, _NO_BRACKETS) if len(payload) > levels else b""
    while len(left) > 2 * levels and (next_ := left.replace(b"[]", b"")) != left:
        left, levels = next_, levels - 1
    return len(left) > 2 * levels


def _kind(value: Any) -> str:
    return f"{type(value).__name__} {_short(value)}"


def _short(value: Any = None) -> str:
    try:
        text = repr(value)
    except Exception:
        return "(what cannot be told)"
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
