"""Narration by espeak-ng: no key, no network, and the real time of each word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import espeakng_loader

from ytray.errors import PermanentError
from ytray.full_disk import disk_full, says_full
from ytray.studio.markup import plain_text
from ytray.studio.model import Word
from ytray.studio.providers import Spoken, espeak
from ytray.studio.words import check_script, words_of

# Voices by language, with the settings that sound least like a machine: a little lower and livelier than the default.
_VOICES = {"en": "en-us+f2", "de": "de+f2", "fr": "fr+f2", "es": "es+f2"}
_RATE, _PITCH, _RANGE = 168, 44, 62  # words a minute; espeak's own scales, 0 to 100
_PACE, _SLOWEST, _FASTEST = 170, 155, 185  # words a minute aimed at, and what is left as it came out
_TIMEOUT = 120  # seconds
_SHORTEST = 0.02  # seconds of a word
_LAST_WORD_TAIL = 0.35  # seconds of the closing pause that espeak appends after the last word


class OfflineSpeech:
    """The offline narrator."""

    name = "offline"

    def speak(self, text: str, language: str, into: Path) -> Spoken:
        """Write a WAV file of `text` to `into`; its markup is not spoken.

        Raises PermanentError when there is nothing that it can say, or espeak-ng has no voice for the language.
        """
        text = plain_text(text)
        if not words_of(text):
            raise PermanentError("there is nothing to speak: the text has no words")
        if language in _VOICES:
            check_script(text)
        voice = _VOICES.get(language) or f"{_voice_of(language)}+f2"
        reply = _espeak(text, voice, _RATE, into)
        pace = len(words_of(text)) / reply["seconds"] * 60
        if not _SLOWEST <= pace <= _FASTEST and len(words_of(text)) > 4:
            # The rate that espeak is given does not count pauses: long sentences come out faster than short ones.
            reply = _espeak(text, voice, _RATE * _PACE / pace, into)
        return Spoken(reply["seconds"], _timed(text, reply["words"], reply["seconds"]), voice)


def _voice_of(language: str) -> str:
    """espeak-ng's name of the voice for a language code. Raises PermanentError when it has none."""
    code = language.strip().lower().replace("_", "-")
    known = _languages()
    found = next((name for name in (code, code.partition("-")[0]) if name in known), None)
    if found is None:
        raise PermanentError(
            f"espeak-ng has no voice for the language {language!r}; it knows {', '.join(sorted(known))}"
        )
    return found


@cache
def _languages() -> frozenset[str]:
    """The codes of the languages that espeak-ng has voices for."""
    folder = Path(espeakng_loader.get_data_path()) / "lang"
    return frozenset(file.name.lower() for file in folder.rglob("*") if file.is_file())


def _espeak(text: str, voice: str, rate: float, into: Path) -> Any:
    request = {"text": text, "voice": voice, "rate": rate, "pitch": _PITCH, "range": _RANGE, "wav": str(into)}
    program = [sys.executable, espeak.__file__, espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    done = subprocess.run(
        program, input=json.dumps(request), capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode != 0 and says_full(done.stderr):
        into.unlink(missing_ok=True)
        raise disk_full(into)
    if done.returncode != 0:
        raise PermanentError(f"espeak-ng could not speak the text: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _timed(text: str, heard: list[tuple[int, float]], seconds: float) -> list[Word]:
    """The words as written, each with its time; one lasts until the next begins.

    `heard` has, for each word that espeak spoke, its place in the text and when it began. It says some in several words
    (numbers) and passes over others, which then share the time between their neighbours.
    """
    shown = _shown(text)
    starts: list[float | None] = []
    for place, word in shown:
        own = [start for at, start in heard if place <= at < place + len(word)]
        starts.append(min(own, default=None))
    last = max([0.0, *(start for start in starts if start is not None)])
    end = max(last + (seconds - last) * 0.6, seconds - _LAST_WORD_TAIL)
    times = _gaps_filled(starts, end)
    return [
        Word(text=word, start=round(start, 3), end=round(until, 3))
        for (_, word), start, until in zip(shown, times, [*times[1:], end], strict=True)
    ]


def _shown(text: str) -> list[tuple[int, str]]:
    """Each word with its place; a sign that is not spoken as a word stays with the word before it."""
    found: list[tuple[int, str]] = []
    for match in re.finditer(r"\S+", text):
        if words_of(match.group()) or not found:
            found.append((match.start(), match.group()))
        else:
            place, word = found[-1]
            found[-1] = (place, f"{word} {match.group()}")
    return found


def _gaps_filled(starts: list[float | None], end: float) -> list[float]:
    """Increasing times: the unknown spread evenly between the known."""
    known = [(-1, 0.0), *((i, start) for i, start in enumerate(starts) if start is not None), (len(starts), end)]
    times = [0.0] * len(starts)
    for (left, begin), (right, until) in pairwise(known):
        first = max(begin, times[left - 1] + _SHORTEST if left > 0 else 0.0)
        for place in range(max(left, 0), right):
            share = (place - left) / (right - left)
            times[place] = first + max(0.0, until - first) * share
    return times
