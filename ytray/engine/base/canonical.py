"""One way of many to write what is the same: for digests that tell whether two calls, rows or parameters are.

In JSON as such the order of a set or a mapping and the form of a number differ from process to process.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic_core import from_json, to_json


def canonical_json(value: Any) -> bytes:
    """The same bytes for all that is equal: mappings and sets in one order, each number in one form (1.0 is 1)."""
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(float(value))
    if isinstance(value, Mapping):
        pairs = sorted(f"{json.dumps(_name(name), ensure_ascii=False)}:{_text(part)}" for name, part in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, (set, frozenset)):
        return f"[{','.join(sorted(map(_text, value)))}]"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    return _text(from_json(to_json(value)))


def _name(name: Any) -> str:
    return name if isinstance(name, str) else str(from_json(to_json({name: None})).popitem()[0])


def ordered(value: Any) -> Any:
    """A value with its mappings by name and its sets as lists in one order; numbers stay as they are written."""
    if isinstance(value, Mapping):
        return {str(name): ordered(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(map(ordered, value), key=canonical_json)
    return [ordered(part) for part in value] if isinstance(value, (list, tuple)) else value


def with_sets_ordered(value: Any, told: Any) -> Any:
    """`told`, which is what JSON made of `value`, with what was a set in one order.

    JSON itself does not know any more what was one. What a serializer of the user's own made is left as it is.
    """
    if isinstance(value, RootModel):
        return with_sets_ordered(value.root, told)
    if isinstance(told, list) and isinstance(value, (set, frozenset, list, tuple, deque)) and len(value) == len(told):
        parts = [with_sets_ordered(part, form) for part, form in zip(value, told, strict=True)]
        return sorted(parts, key=canonical_json) if isinstance(value, (set, frozenset)) else parts
    if isinstance(told, dict):
        if isinstance(value, Mapping) and len(value) == len(told):
            pairs = zip(value.values(), told.items(), strict=True)
            return {name: with_sets_ordered(part, form) for part, (name, form) in pairs}
        if isinstance(value, BaseModel) or is_dataclass(value):
            parts_of = _parts(value)
            return {
                name: with_sets_ordered(parts_of[name], form) if name in parts_of else form
                for name, form in told.items()
            }
    return told


def _parts(value: Any) -> dict[str, Any]:
    """What a model or a dataclass holds, by the names that JSON may have for it."""
    if not isinstance(value, BaseModel):
        return dict(getattr(value, "__dict__", None) or {name: getattr(value, name, None) for name in value.__slots__})
    found = {**value.__dict__, **(value.model_extra or {})}
    for name, field in type(value).model_fields.items():
        for alias in (field.alias, field.serialization_alias):
            if alias is not None and name in value.__dict__:
                found.setdefault(alias, value.__dict__[name])
    return found
