"""Narration by espeak-ng: no key, no network, and the real time of each word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import espeakng_loader

from ytray.errors import PermanentError
from ytray.studio.model import Word
from ytray.studio.providers import Spoken, espeak
from ytray.studio.words import words_of

# Voices by language, with the settings that sound least like a machine: a little lower and livelier than the default.
_VOICES = {"en": "en-us+f2", "de": "de+f2", "fr": "fr+f2", "es": "es+f2"}
_RATE, _PITCH, _RANGE = 168, 44, 62  # words a minute; espeak's own scales, 0 to 100
_PACE, _SLOWEST, _FASTEST = 170, 155, 185  # words a minute aimed at, and what is left as it came out
_TIMEOUT = 120  # seconds
_LAST_WORD_TAIL = 0.35  # seconds of the closing pause that espeak appends after the last word


class OfflineSpeech:
    """The offline narrator."""

    name = "offline"

    def speak(self, text: str, language: str, into: Path) -> Spoken:
        """Write a WAV file of `text` to `into`. Raises PermanentError when there is nothing to say."""
        if not words_of(text):
            raise PermanentError("there is nothing to speak: the text has no words")
        voice = _VOICES.get(language, _VOICES["en"])
        reply = _espeak(text, voice, _RATE, into)
        pace = len(words_of(text)) / reply["seconds"] * 60
        if not _SLOWEST <= pace <= _FASTEST and len(words_of(text)) > 4:
            # The rate that espeak is given does not count pauses: long sentences come out faster than short ones.
            reply = _espeak(text, voice, _RATE * _PACE / pace, into)
        return Spoken(reply["seconds"], _timed(text, reply["words"], reply["seconds"]), voice)


def _espeak(text: str, voice: str, rate: float, into: Path) -> Any:
    request = {"text": text, "voice": voice, "rate": rate, "pitch": _PITCH, "range": _RANGE, "wav": str(into)}
    program = [sys.executable, espeak.__file__, espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    done = subprocess.run(
        program, input=json.dumps(request), capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise PermanentError(f"espeak-ng could not speak the text: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _timed(text: str, starts: list[tuple[str, float]], seconds: float) -> list[Word]:
    """Words with ends: each lasts until the next begins. Shown as written, with their punctuation."""
    shown = text.split()
    events = [start for spelled, start in starts if words_of(spelled)]
    speakable = [word for word in shown if words_of(word)]
    if len(events) != len(speakable):
        # espeak splits or joins some words (numbers, hyphens): spread what is shown over what was heard.
        positions = [round(i * (len(events) - 1) / max(1, len(speakable) - 1)) for i in range(len(speakable))]
        events = [events[position] for position in positions] if events else [0.0] * len(speakable)
    last_end = max(events[-1] + 0.15, seconds - _LAST_WORD_TAIL)
    ends = [*events[1:], min(seconds, last_end)]
    timed: list[Word] = []
    for word, start, end in zip(speakable, events, ends, strict=True):
        begin = max(start, timed[-1].end if timed else 0.0)
        timed.append(Word(text=word, start=round(begin, 3), end=round(max(end, begin + 0.02), 3)))
    return timed
