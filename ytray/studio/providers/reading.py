"""What kind of thing a prompt is: a question, a topic, or a text with sentences of its own."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ytray.errors import PermanentError
from ytray.studio.markup import plain_text
from ytray.studio.words import (
    STOPWORDS,
    check_language,
    check_script,
    keywords_of,
    language_of,
    sentences_of,
    without_end,
    words_of,
)

_REQUEST = re.compile(
    r"""(?:please\s+|bitte\s+)?(?:
        (?:(?:make|create|produce|generate|i\s+want|i\s+need|give|show|erstelle?|mache?)\s+(?:me\s+|us\s+|mir\s+|uns\s+)?)?
            (?:an?|the|eine?n?)\s+(?:\w+\s+){0,2}(?:video|clip|short|film|reel)\s+(?:about|on|of|über|zu|von)\s+
        |(?:tell|show|give)\s+(?:me|us)\s+(?:about\s+)?
        |(?:explain|describe|erkläre?)\s+(?:(?:to\s+)?(?:me|us)\s+|mir\s+|uns\s+)?
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5}
_COUNTS |= {"deux": 2, "trois": 3, "quatre": 4, "cinq": 5, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5}
_COUNT = "(" + "|".join(_COUNTS) + "|[2-5])"
_THINGS = r"(?:facts|reasons|tips|ways|things|ideas|lessons|Fakten|Gründen?|Tipps|Dingen?|faits|datos)"
_COUNTED_FIRST = re.compile(
    rf"{_COUNT}\s+(?:\w+\s+)?{_THINGS}\s+(?:about|for|on|of|über|zu|sur|sobre)\s+", re.IGNORECASE
)
_COUNTED_LAST = re.compile(rf",?\s+(?:in|en|with|mit)\s+{_COUNT}\s+(?:\w+\s+)?{_THINGS}$", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:,?\s+(?:(?:simply\s+)?explained|for\s+(?:kids|children|beginners|everyone)))+$", re.IGNORECASE
)
_REASONS = re.compile(rf"(?:{_COUNT}\s+)?(?:\w+\s+)?reasons\s+to\s+", re.IGNORECASE)
_WAYS = re.compile(rf"(?:{_COUNT}\s+)?(?:\w+\s+)?(?:ways|tips|tricks)\s+to\s+", re.IGNORECASE)
_AS_QUESTIONS = ((_REASONS, "why you should "), (_WAYS, "how to "))

_ASKING = frozenset(
    """why how what when where which who do does did is are can could should would will
    warum wieso weshalb wie was wann wo wer welche welcher welches kann
    pourquoi comment quand où qui quel quelle quoi combien
    cómo qué cuándo dónde quién cuál""".split()
)
_AUXILIARY = frozenset(
    "do does did is are was were can could should would will has have had don't doesn't isn't".split()
)
_SPEAKER = frozenset("i i'm i've we we're you he she they there it it's ich wir du er sie es je j'ai nous yo".split())
_MOST = 3  # looks at a topic that fit into half a minute
_LONG = 25  # words: a prompt as long as this is a text even when it is a single sentence


@dataclass(frozen=True)
class Reading:
    """A prompt as the offline writer understands it.

    `core` is a question without its mark, a noun phrase, or the whole text; `direct` says that a question can be asked
    as it stands ("why do cats purr", not "why cats purr"); `count` is how many facts were asked for, at most three.
    """

    kind: Literal["question", "topic", "text"]
    language: str
    core: str
    keys: list[str]
    direct: bool = False
    count: int | None = None


def read(prompt: str) -> Reading:
    """Understand a prompt. Raises PermanentError when it has no words, or a script or language that is not known."""
    text = _without_symbols(plain_text(prompt))
    if not words_of(text):
        raise PermanentError(f"the prompt {prompt[:40]!r} has no words; say in a few what the video is about")
    check_script(text)
    check_language(text)
    request = _REQUEST.match(text)
    if request and words_of(text[request.end() :]):
        text = text[request.end() :]
    for pattern, question in _AS_QUESTIONS:
        text = question + text[found.end() :] if (found := pattern.match(text)) else text
    language = language_of(text)
    keys = keywords_of(text, 4) or words_of(text)[:4]
    first, second = [*(word.lower() for word in words_of(text)[:2]), ""][:2]
    asks = first in _ASKING or text.startswith("¿") or (first == "por" and second == "qué")
    sentences = sentences_of(text)
    single = len(sentences) == 1
    only_asks = all(sentence.endswith("?") for sentence in sentences)
    states = text.endswith("!") or (text.endswith(".") and not without_end(text).endswith("."))
    if only_asks or (single and asks and len(words_of(text)) < _LONG and not states):
        core = _lowered(without_end(text.strip("¿")), language)
        return Reading("question", language, core, keys, direct=text.endswith("?") or second in _AUXILIARY)
    spoken = text.endswith("!") or first in _SPEAKER
    if not single or spoken or len(words_of(text)) >= _LONG:
        return Reading("text", language, text, keys)
    core, count = _counted(_ADDRESS.sub("", without_end(text)))
    return Reading("topic", language, _lowered(core, language), keywords_of(core, 4) or keys, count=count)


def weightiest_word(text: str) -> str | None:
    """The keyword that a text uses most, if it uses any twice."""
    uses = Counter(word.lower() for word in words_of(text))
    best = max(keywords_of(text, 10_000), key=lambda word: uses[word.lower()], default=None)
    if best is None or uses[best.lower()] < 2:
        return None
    return best.lower() if best.lower() in words_of(text) else best


def _counted(topic: str) -> tuple[str, int | None]:
    if found := _COUNTED_FIRST.match(topic):
        rest = topic[found.end() :]
    elif found := _COUNTED_LAST.search(topic):
        rest = topic[: found.start()]
    else:
        return topic, None
    number = found.group(1).lower()
    return (rest, min(_COUNTS.get(number) or int(number), _MOST)) if rest else (topic, None)


def _lowered(text: str, language: str) -> str:
    """Without the capital of a sentence's first word, where that word is surely not a name."""
    first = words_of(text)[0]
    small = first.lower() in STOPWORDS[language] | STOPWORDS["en"] | _ASKING
    return text[:1].lower() + text[1:] if small and first != "I" else text


def _without_symbols(text: str) -> str:
    """The text without emoji and other pictures, which cannot be spoken, and with single spaces."""
    kept = "".join(
        " "
        if unicodedata.category(char) in ("So", "Cc", "Cs", "Co", "Cn") or "\U0001f3fb" <= char <= "\U0001f3ff"
        else char
        for char in unicodedata.normalize("NFC", text)
        if char not in "\ufe0f\u200d\u200b\ufeff"
    )
    return " ".join(kept.split())
