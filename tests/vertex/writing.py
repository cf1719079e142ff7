"""JSON that fits a schema, with words that fit a prompt: what the server's text models answer."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_SENTENCES = (
    "Ask {topic} and the first surprise is how early it starts, long before anyone thinks of measuring it.",
    "Deep inside the body a small rhythm begins, and with it the first honest clue to {topic} comes into view.",
    "For years experts argued about {topic}, until one patient recording showed a pattern that nobody expected.",
    "The numbers behind {topic} are stranger than the legend, and they repeat in every careful study made since then.",
    "So the next time you wonder about {topic}, listen closely, because the answer has been there all along for you.",
    "There is another side to {topic}, quiet and easily missed, that changes what the whole story seems to mean now.",
)
_NAMED = re.compile(r"\b(?:topic|prompt|subject|idea)\s*:\s*(.+)", re.IGNORECASE)
_QUESTION = re.compile(r"^(why|how|when|where) (?:do|does|did) ", re.IGNORECASE)
_TOPIC_WORDS = 5


def topic_of(prompt: str) -> str:
    """A few words that say what a prompt is about.

    They are what follows "topic:" or "prompt:", on the same line or the next, else its last line; a question becomes a
    clause, so "Why do cats purr?" gives "why cats purr".
    """
    named = _NAMED.search(prompt)
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    line = named.group(1) if named else (lines or ["nothing at all"])[-1]
    words = re.findall(r"[\w'’-]+", _QUESTION.sub(r"\1 ", line))[:_TOPIC_WORDS]
    topic = " ".join(words) or "nothing at all"
    return topic[0].lower() + topic[1:]


@dataclass(frozen=True)
class Writer:
    """Writes on `topic`; an array has `items` items where its schema allows."""

    topic: str
    items: int

    def fill(self, schema: dict[str, Any]) -> Any:
        """A value that fits a schema, either Google's (types in capitals) or JSON Schema with local references."""
        return self._value(schema, schema, "", 0)

    def _value(self, schema: dict[str, Any], root: dict[str, Any], name: str, turn: int) -> Any:
        schema = _resolved(schema, root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][turn % len(schema["enum"])]
        match _type_of(schema):
            case "object":
                properties = schema.get("properties", {})
                return {key: self._value(inner, root, key, turn) for key, inner in properties.items()}
            case "array":
                inner = schema.get("items", {"type": "string"})
                return [self._value(inner, root, name, place) for place in range(self._length(schema))]
            case "number":
                return _between(schema, 0.8 if name == "score" else None, step=0.001)
            case "integer":
                return math.ceil(_between(schema, None, step=1))
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _fitted(self._words(name, turn), schema)

    def _length(self, schema: dict[str, Any]) -> int:
        least, most = _bound(schema, "minItems"), _bound(schema, "maxItems")
        return int(min(max(self.items, least or 0), math.inf if most is None else most))

    def _words(self, name: str, turn: int) -> str:
        match name:
            case "narration":
                sentence = _SENTENCES[turn % len(_SENTENCES)].format(topic=self.topic)
                return sentence if turn < len(_SENTENCES) else f"Part {turn + 1}. {sentence}"
            case "subject":
                return f"{self.topic}, view {turn + 1}"
            case "title":
                return self.topic[0].upper() + self.topic[1:]
            case "text":
                return f"Did you know {self.topic}?"
            case _:
                return f"{name or 'words'} {turn + 1} on {self.topic}"


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference, or the first choice that is not null, stands for."""
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _resolved(target, root)
    choices = schema.get("anyOf") or schema.get("any_of") or schema.get("oneOf") or schema.get("allOf")
    if not choices:
        return schema
    return _resolved(next((choice for choice in choices if _type_of(choice) != "null"), choices[0]), root)


def _type_of(schema: dict[str, Any]) -> str:
    named = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(named, list):
        named = next((one for one in named if one != "null"), "null")
    return str(named).lower()


def _bound(schema: dict[str, Any], name: str) -> float | None:
    """A limit; the SDK sends some names of Google's schema in snake case."""
    value = schema.get(name, schema.get(re.sub(r"([A-Z])", r"_\1", name).lower()))
    return None if value is None else float(value)


def _between(schema: dict[str, Any], wanted: float | None, step: float) -> float:
    """The wanted number as far as the limits allow; without one, the middle of the limits or else 1.

    A limit that is itself excluded is kept away from by `step`.
    """
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    low = low if above is None else above + step
    high = high if below is None else below - step
    if wanted is None:
        wanted = (low + high) / 2 if low is not None and high is not None else 1.0
    return min(max(wanted, -math.inf if low is None else low), math.inf if high is None else high)


def _fitted(words: str, schema: dict[str, Any]) -> str:
    least, most = _bound(schema, "minLength") or 0, _bound(schema, "maxLength")
    while len(words) < least:
        words = f"{words} {words}"
    return words if most is None else words[: int(most)]
