"""What callers of the built-in tasks rely on: their JSON Schemas, and which changes of these break a caller.

A task may accept more than before, and its result may have more fields; it may not refuse what it accepted, nor return
what its readers do not expect. Both is one question: is all that one schema admits (the narrow one) admitted by another
(the wide one)? For arguments the old schema is the narrow one, for results the new one. Where that cannot be told, as
of two different patterns, it counts as a break.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ytray.engine.jobs.flow import Flow
from ytray.engine.jobs.task import all_tasks

Schema = dict[str, Any]

_TYPES = ("null", "boolean", "number", "string", "array", "object")
_CALLED = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}
_SIZES = {  # what bounds how much there is of a value
    "string": ("minLength", "maxLength", "characters"),
    "array": ("minItems", "maxItems", "items"),
    "object": ("minProperties", "maxProperties", "fields"),
}
# Rules that are compared word for word: which of two is the stricter cannot be told.
_VERBATIM = ("format", "allOf", "not", "if", "then", "else")
_VERBATIM_OF = {
    "integer": ("multipleOf",),
    "number": ("multipleOf",),
    "string": ("pattern", "contentEncoding", "contentMediaType"),
    "array": ("uniqueItems", "contains", "minContains", "maxContains", "unevaluatedItems"),
    "object": ("dependentRequired", "dependentSchemas", "unevaluatedProperties"),
}
_ANNOTATIONS = {"$defs", "title", "description", "default", "examples", "deprecated", "discriminator", "$comment"}
_ANY_NAME: Schema = {"type": "string"}


def exported() -> dict[str, Any]:
    """Every built-in task by name: its kind, its queue, and the schemas that `GET /api/tasks` publishes."""
    return {
        name: {
            "kind": "flow" if isinstance(task, Flow) else "task",
            "queue": task.queue,
            "input_schema": task.signature.model.model_json_schema(),
            "output_schema": task.signature.result.json_schema(),
        }
        for name, task in sorted(all_tasks().items())
        if task.function.__module__.startswith("ytray.tasks.")
    }


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One sentence for each way in which tasks as `new` break who relies on them as `old`; both as `exported` gives.

    A result may change when the default of its own `schema_version` was raised: then its readers get a warning.
    """
    found = []
    for name, before in sorted(old.items()):
        if name not in new:
            found.append(f"{name}: the task was removed")
            continue
        after = new[name]
        gaps = _gaps(_ARGUMENTS, before["input_schema"], after["input_schema"])
        if not _raised(_version(before["output_schema"]), _version(after["output_schema"])):
            gaps += _gaps(_RESULT, after["output_schema"], before["output_schema"])
        found += [f"{name}: {gap}" for gap in dict.fromkeys(gaps)]
    return found


def _raised(was: int | None, is_now: int | None) -> bool:
    return was is not None and is_now is not None and is_now > was


def _version(schema: Schema) -> int | None:
    for alternative in _alternatives(schema, schema):
        version = alternative.get("properties", {}).get("schema_version", {}).get("default")
        if isinstance(version, int):
            return version
    return None


@dataclass(frozen=True, slots=True)
class _Words:
    """The wording of a break on one side of a task. None: on this side it is no break."""

    whole: str
    part: str
    refused: str
    ruled: str
    required: str
    closed: str | None
    only_narrow: str | None
    only_wide: str | None
    only_wide_and_required: str


_ARGUMENTS = _Words(
    whole="the call",
    part="the argument '{path}'",
    refused="{it} no longer accepts {what}",
    ruled="{it} must now {what}",
    required="{part} is now required",
    closed="{it} no longer accepts other names",
    only_narrow="{part} was removed",
    only_wide=None,
    only_wide_and_required="{part} is new and required",
)
_RESULT = _Words(
    whole="the result",
    part="the result's '{path}'",
    refused="{it} may now be {what}",
    ruled="{it} need no longer {what}",
    required="{it} may now leave out '{name}'",
    closed=None,
    only_narrow=None,
    only_wide="{it} no longer has '{name}'",
    only_wide_and_required="{it} no longer has '{name}'",
)


def _gaps(words: _Words, narrow: Schema, wide: Schema) -> list[str]:
    return _Comparison(words, narrow, wide).gaps(narrow, wide)


class _Comparison:
    """Tells what a narrow schema admits and a wide one does not."""

    def __init__(self, words: _Words, narrow: Schema, wide: Schema) -> None:
        self._words = words
        self._narrow = narrow
        self._wide = wide
        self._open: set[tuple[int, int]] = set()

    def gaps(self, narrow: Any, wide: Any, path: str = "") -> list[str]:
        """A sentence for each thing that `narrow`, found at `path`, admits and `wide` does not."""
        pair = (id(narrow), id(wide))
        if pair in self._open:  # a recursive schema came back to itself: it is being compared already
            return []
        self._open.add(pair)
        options = _alternatives(wide, self._wide)
        refused: list[str] = []
        found: list[str] = []
        for one in _alternatives(narrow, self._narrow):
            near = [option for option in options if _same_type(one, option)]
            if "const" in one:
                if not any(_takes(option, one) for option in options):
                    refused.append(_shown(one["const"]))
            elif near:
                nearest = min((self._between(one, option, path) for option in near), key=len)
                found += nearest
            else:
                refused.append(_all_but(one["type"], options))
        self._open.remove(pair)
        told = self._tell(self._words.refused, path, what=_either(refused)) if refused else []
        return told + found

    def _tell(self, sentence: str | None, path: str, name: str = "", what: str = "") -> list[str]:
        if sentence is None:
            return []
        it = self._words.part.format(path=path) if path else self._words.whole
        part = self._words.part.format(path=_inside(path, name))
        return [sentence.format(it=it, part=part, name=name, what=what)]

    def _between(self, one: Schema, option: Schema, path: str) -> list[str]:
        """The gaps between two plain schemas of one type."""
        rules = [*_stricter_limits(one, option), *self._other_rules(one, option)]
        found = [sentence for rule in rules for sentence in self._tell(self._words.ruled, path, what=rule)]
        if one["type"] == "array":
            found += self._items(one, option, path)
        elif one["type"] == "object":
            found += self._fields(one, option, path)
        return found

    def _other_rules(self, one: Schema, option: Schema) -> list[str]:
        return [
            f"keep to {rule} {_shown(option[rule])}"
            for rule in (*_VERBATIM_OF[one["type"]], *_VERBATIM)
            if rule in option and not self._same(one.get(rule), option[rule])
        ]

    def _same(self, ours: Any, theirs: Any) -> bool:
        refers = "$ref" in json.dumps(theirs)
        return bool(ours == theirs and (not refers or self._narrow.get("$defs") == self._wide.get("$defs")))

    def _items(self, one: Schema, option: Schema, path: str) -> list[str]:
        ours, theirs = one.get("prefixItems", []), option.get("prefixItems", [])
        room = min(one.get("maxItems", math.inf), option.get("maxItems", math.inf))
        known = max(len(ours), len(theirs))
        found = []
        for place in range(known):
            if place < room:
                found += self.gaps(_item(one, place), _item(option, place), f"{path}[{place}]")
        return found + (self.gaps(_item(one, known), _item(option, known), f"{path}[]") if known < room else [])

    def _fields(self, one: Schema, option: Schema, path: str) -> list[str]:
        ours, theirs = one.get("properties", {}), option.get("properties", {})
        found = []
        for name in dict.fromkeys([*ours, *theirs, *option.get("required", [])]):
            found += self._field(name, one, option, path) if name in ours else self._new(name, one, option, path)
        return found + self._unnamed_fields(one, option, path)

    def _field(self, name: str, one: Schema, option: Schema, path: str) -> list[str]:
        """The gaps of a field that the narrow schema names."""
        ours, theirs = one["properties"][name], option.get("properties", {})
        # Fields that are not said to be allowed beside named ones are ignored: who sends one is not heard any more.
        others = option.get("additionalProperties", "properties" not in option)
        if name not in theirs and others is False:
            return self._tell(self._words.only_narrow, path, name)
        found = self.gaps(ours, theirs.get(name, others), _inside(path, name))
        return found + (self._tell(self._words.required, path, name) if _asks_more(name, one, option) else [])

    def _new(self, name: str, one: Schema, option: Schema, path: str) -> list[str]:
        """The gaps of a field that only the wide schema names."""
        required = _asks_more(name, one, option)
        told = self._tell(self._words.only_wide_and_required if required else self._words.only_wide, path, name)
        others = one.get("additionalProperties", True)
        if told or not (isinstance(others, dict) or "properties" not in one):
            return told
        return self.gaps(others, option.get("properties", {}).get(name, True), _inside(path, name))

    def _unnamed_fields(self, one: Schema, option: Schema, path: str) -> list[str]:
        ours, theirs = one.get("additionalProperties", True), option.get("additionalProperties", True)
        our_patterns, their_patterns = one.get("patternProperties", {}), option.get("patternProperties", {})
        found = []
        for pattern in dict.fromkeys([*our_patterns, *their_patterns]):
            mine, yours = our_patterns.get(pattern, ours), their_patterns.get(pattern, theirs)
            found += self._unnamed(mine, yours, path, pattern)
        found += self._unnamed(ours, theirs, path, "*")
        if "propertyNames" in option:
            names = one.get("propertyNames", _ANY_NAME)
            found += self.gaps(names, option["propertyNames"], _inside(path, "(name)"))
        return found

    def _unnamed(self, ours: Any, theirs: Any, path: str, label: str) -> list[str]:
        if theirs is False and ours is not False:
            return self._tell(self._words.closed, path)
        return self.gaps(ours, theirs, _inside(path, label))


def _alternatives(schema: Any, root: Schema, seen: frozenset[str] = frozenset()) -> list[Schema]:
    """The schema as alternatives of one type or one value each, with no reference and no union left in them."""
    if isinstance(schema, bool):
        return _alternatives({}, root) if schema else []
    key = next((key for key in ("$ref", "anyOf", "oneOf") if key in schema), None)
    if key is None:
        return _single(schema)
    branches = schema[key]
    if key == "$ref":
        if branches in seen:  # an alternative of itself adds nothing
            return []
        seen, branches = seen | {branches}, [_at(root, branches)]
    beside = {name: value for name, value in schema.items() if name != key and name not in _ANNOTATIONS}
    return [plain for branch in branches for plain in _alternatives(_both(beside, branch), root, seen)]


def _both(outer: Schema, inner: Any) -> Any:
    """A branch together with the rules beside its union or reference."""
    if inner is False or not outer:
        return inner
    inner = {} if inner is True else inner
    clash = {name: value for name, value in outer.items() if name in inner and inner[name] != value}
    joined = {**outer, **inner}
    return {**joined, "allOf": [*joined.get("allOf", []), clash]} if clash else joined


def _single(schema: Schema) -> list[Schema]:
    """A schema without references and unions, by value or by type."""
    types = schema.get("type", _TYPES)
    kinds = (types,) if isinstance(types, str) else types
    rules = {rule: schema[rule] for rule in _VERBATIM if rule in schema}
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        fitting = (value for value in values if any(_within({**schema, "type": kind}, value) for kind in kinds))
        return [{**rules, "const": value} for value in fitting]
    found: list[Schema] = []
    for kind in kinds:
        if kind in ("null", "boolean"):
            found += [{**rules, "const": value} for value in ((None,) if kind == "null" else (False, True))]
        elif kind == "array" and schema.get("items") is False:
            most = min(len(schema.get("prefixItems", [])), schema.get("maxItems", math.inf))
            found.append({**schema, "type": kind, "maxItems": most})
        else:
            found.append({**schema, "type": kind})
    return found


def _at(root: Schema, reference: str) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def _item(schema: Schema, place: int) -> Any:
    first = schema.get("prefixItems", [])
    return first[place] if place < len(first) else schema.get("items", True)


def _asks_more(name: str, one: Schema, option: Schema) -> bool:
    return name in option.get("required", ()) and name not in one.get("required", ())


def _same_type(one: Schema, option: Schema) -> bool:
    ours, theirs = one.get("type"), option.get("type")
    return ours == theirs or (ours == "integer" and theirs == "number")


def _type_of(value: Any) -> str:
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    names = {type(None): "null", bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _within(schema: Schema, value: Any) -> bool:
    """Whether a value is of the schema's type and inside its limits."""
    kind = _type_of(value)
    if schema["type"] not in (kind, "number" if kind == "integer" else kind):
        return False
    if kind in _SIZES:
        least, most, _ = _SIZES[kind]
        return bool(schema.get(least, 0) <= len(value) <= schema.get(most, math.inf))
    if kind in ("integer", "number"):
        return (value, False) >= _bound(schema, 1) and (-value, False) >= _bound(schema, -1)
    return True


def _takes(option: Schema, one: Schema) -> bool:
    """Whether a plain schema surely admits a single value."""
    value = one["const"]
    rules = [rule for rule in _VERBATIM if rule in option and one.get(rule) != option[rule]]
    if "const" in option:
        return not rules and _type_of(option["const"]) == _type_of(value) and bool(option["const"] == value)
    if isinstance(value, (list, dict)) or not _within(option, value):
        return False
    rules += [rule for rule in _VERBATIM_OF[option["type"]] if rule in option]
    return not rules or (rules == ["pattern"] and _matches(option["pattern"], value))


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # Pydantic's patterns are Rust's, and a few of them are not Python's
        return False


def _bound(schema: Schema, sign: int) -> tuple[float, bool]:
    """The lower bound (sign 1), or the upper one negated (-1), and whether it is itself left out. More is stricter."""
    inclusive, exclusive = ("minimum", "exclusiveMinimum") if sign > 0 else ("maximum", "exclusiveMaximum")
    given = [(sign * schema[key], key == exclusive) for key in (inclusive, exclusive) if key in schema]
    if not given:
        return -math.inf, False
    value, left_out = max(given)
    if schema["type"] == "integer":
        return (math.floor(value) + 1 if left_out else math.ceil(value)), False
    return value, left_out


def _stricter_limits(one: Schema, option: Schema) -> list[str]:
    """Each limit that the wide schema sets and the narrow one does not keep to."""
    kind = one["type"]
    if kind in _SIZES:
        least, most, unit = _SIZES[kind]
        found = []
        if one.get(least, 0) < option.get(least, 0):
            found.append(f"have at least {option[least]} {unit}")
        if one.get(most, math.inf) > option.get(most, math.inf):
            found.append(f"have at most {option[most]} {unit}")
        return found
    found = []
    for sign, words in ((1, ("be at least", "be more than")), (-1, ("be at most", "be less than"))):
        value, left_out = _bound(option, sign)
        if _bound(one, sign) < (value, left_out):
            found.append(f"{words[left_out]} {sign * value}")
    return found


def _all_but(kind: str, options: list[Schema]) -> str:
    """What is refused of a type of which no more than single values are admitted."""
    if kind == "number" and any(option.get("type") == "integer" for option in options):
        return "a number that is not whole"
    values = [option["const"] for option in options if "const" in option and _within({"type": kind}, option["const"])]
    return _CALLED[kind] + (f" other than {_either(map(_shown, values))}" if values else "")


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value)


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
