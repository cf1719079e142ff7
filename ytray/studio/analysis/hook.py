"""How likely an opening line is to hold a viewer: a heuristic of our own, not a measurement of any audience."""

from __future__ import annotations

import re

from ytray.studio.words import words_of

_MOST_WORDS = 14  # about five seconds of speech: a cut should come before three
_SECOND_PERSON = frozenset(
    "you your yours you're you've you'll du dein deine dich dir ihr euch sie ihnen tu ton ta tes toi te vous votre vos "
    "usted ustedes tú te ti tuyo".split()
)
_QUESTION_WORDS = frozenset(
    "why how what who when where which did do is are can warum wie was wer wann wo pourquoi comment qui quand quoi por "
    "qué cómo quién cuándo sabías".split()
)
_SLOW_STARTS = ("hello", "hi ", "hey ", "welcome", "in this video", "today we", "hallo", "bonjour", "hola", "bienvenue")
_NUMBER = re.compile(r"\d|\b(two|three|four|five|six|seven|ten|zwei|drei|fünf|deux|trois|cinq|dos|tres|cinco)\b", re.I)


def hook_score(text: str) -> float:
    """A score from 0 to 1: short, at once at its point, with a question, a number or the viewer in it."""
    words = [word.lower() for word in words_of(text)]
    if not words:
        return 0.0
    score = 0.35
    score += 0.25 if "?" in text or words[0] in _QUESTION_WORDS else 0.0
    score += 0.2 if _SECOND_PERSON.intersection(words) else 0.0
    score += 0.15 if _NUMBER.search(text) else 0.0
    score += 0.15 if len(words) <= 9 else 0.05 if len(words) <= _MOST_WORDS else -0.2
    score -= 0.35 if text.strip().lower().startswith(_SLOW_STARTS) else 0.0
    return round(min(1.0, max(0.0, score)), 2)
