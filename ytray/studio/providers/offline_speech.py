"""Narration by espeak-ng: no key, no network, and the real time of each word."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import espeakng_loader

from ytray.errors import PermanentError
from ytray.full_disk import disk_full, says_full
from ytray.studio import foreign
from ytray.studio.markup import plain_text
from ytray.studio.model import Word
from ytray.studio.providers import espeak
from ytray.studio.providers.protocols import Spoken
from ytray.studio.words import is_latin, words_of

# Voices with the settings that sound least like a machine: a little lower and livelier than the default.
_LIVELIEST = {"en": "en-us+f2", "de": "de+f2", "fr": "fr+f2", "es": "es+f2"}
# Codes that espeak-ng does not know of languages that it does.
_OTHER_CODES = {"zh-hk": "yue", "zh-mo": "yue", "iw": "he", "in": "id", "mo": "ro", "sh": "sr", "nn": "nb", "kmr": "ku"}
_LANGUAGE = re.compile(rb"^language\s+([A-Za-z0-9-]+)(?:\s+(\d+))?", re.MULTILINE)  # in its files: a code, its place
_USUAL_PLACE = 5  # among the voices of a language, where a file does not say: the least is the first
_MOST_UNREAD = 0.1  # of a text's letters
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
        voice = _voice_of(language)
        reply = _espeak(text, voice, _RATE, into)
        try:
            _check_read(text, voice, reply["unread"])
        except PermanentError:
            into.unlink()
            raise
        pace = len(words_of(text)) / reply["seconds"] * 60
        if not _SLOWEST <= pace <= _FASTEST and len(words_of(text)) > 4:
            # The rate that espeak is given does not count pauses: long sentences come out faster than short ones.
            reply = _espeak(text, voice, _RATE * _PACE / pace, into)
        return Spoken(reply["seconds"], _timed(text, reply["words"], reply["seconds"]), voice)


def _voice_of(language: str) -> str:
    """espeak-ng's name of the voice for a language code. Raises PermanentError when it has none.

    Of a code such as zh-Hant-TW as much counts as is known: a voice of the region, of the script, of the language.
    """
    parts = language.strip().lower().replace("_", "-").split("-")
    known = _languages()
    for length in range(len(parts), 0, -1):
        code = "-".join(parts[:length])
        code = _OTHER_CODES.get(code, code)
        if code in known:
            return _LIVELIEST.get(code) or f"{known[code]}+f2"
    raise PermanentError(f"espeak-ng has no voice for the language {language!r}; it knows {', '.join(sorted(known))}")


@cache
def _languages() -> dict[str, str]:
    """The name of espeak-ng's voice for each language code that it knows; of several the one that it puts first."""
    folder = Path(espeakng_loader.get_data_path()) / "lang"
    found: dict[str, tuple[int, str]] = {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = file.name.lower()
        told = _LANGUAGE.findall(file.read_bytes())
        for code, place in ((name, 0), *((code.decode(), int(place or _USUAL_PLACE)) for code, place in told)):
            found[code] = min(found.get(code, (place, name)), (place, name))
    return {code: name for code, (_, name) in found.items()}


def _check_read(text: str, voice: str, unread: str) -> None:
    """Raises PermanentError when a voice does not read too many of a text's letters, but tells their names."""
    letters = [char for char in text if char.isalpha()]
    most = _MOST_UNREAD
    if voice[:2] in _LIVELIEST:  # these tell the names in their own language: a foreign word in a sentence may pass
        most, unread = 0.5, "".join(sorted({char for char in letters if not is_latin(char)}))
    if sum(char in unread for char in letters) > most * len(letters):
        how = "write it in kana" if voice.startswith("ja") else "name the language that the text is in"
        raise PermanentError(
            f"espeak-ng's voice {voice} cannot read {text[:40]!r}: it does not know {unread[:10]!r}; {how}"
        )


def _espeak(text: str, voice: str, rate: float, into: Path) -> Any:
    request = {"text": text, "voice": voice, "rate": rate, "pitch": _PITCH, "range": _RANGE, "wav": str(into)}
    # -I: nothing of the environment or the folder changes what this Python runs.
    program = [sys.executable, "-I", espeak.__file__]
    program += [espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    done = foreign.run(program, writes=[into.parent], timeout=_TIMEOUT, said_to=json.dumps(request).encode())
    said = foreign.text(done.stderr)
    if done.returncode != 0 and says_full(said):
        into.unlink(missing_ok=True)
        raise disk_full(into)
    if done.returncode != 0:
        raise PermanentError(f"espeak-ng could not speak the text: {said.strip()[-500:]}")
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
