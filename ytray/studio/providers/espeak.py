"""Speaks one text with espeak-ng's library: `python espeak.py LIBRARY DATA < request.json > reply.json`.

It runs as a program of its own, since espeak-ng is under the GPL, and imports nothing of ytray. The request has text,
voice, rate (words a minute), pitch and wav (the file to write); the reply has seconds, for each word that was spoken
[place of its first character in the text, start in seconds], and the letters that the voice cannot read.
The structures are those of espeak-ng's speak_lib.h.
"""

from __future__ import annotations

import ctypes
import json
import sys
import unicodedata
import wave

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback gets the samples, nothing is played
_EVENT_END, _EVENT_WORD = 0, 1
_UTF8, _END_PAUSE = 1, 0x1000
_RATE, _PITCH, _RANGE = 1, 3, 4
_POSITION_CHARACTER = 1
_SEED = 1
_IPA = 2


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def main() -> int:
    """Speak the request on standard input."""
    request = json.load(sys.stdin)
    library = ctypes.CDLL(sys.argv[1])
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, sys.argv[2].encode(), 0)
    if rate <= 0:
        sys.stderr.write(f"espeak-ng could not read its data at {sys.argv[2]}\n")
        return 1
    # It seeds the breath in its voices by the clock; a narration is to be the same whenever it is made.
    library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        sys.stderr.write(f"espeak-ng has no voice {request['voice']}\n")
        return 1
    for parameter, value in ((_RATE, request["rate"]), (_PITCH, request["pitch"]), (_RANGE, request["range"])):
        library.espeak_SetParameter(parameter, int(value), 0)

    unread = _unread(library, request["text"])
    samples = bytearray()
    words: list[tuple[int, float]] = []

    def collect(wav: object, count: int, events: object) -> int:
        if wav:
            samples.extend(ctypes.string_at(wav, count * 2))  # type: ignore[arg-type]
        place = 0
        while events[place].type != _EVENT_END:  # type: ignore[index]
            event = events[place]  # type: ignore[index]
            if event.type == _EVENT_WORD:
                words.append((event.text_position - 1, event.audio_position / 1000))
            place += 1
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    encoded = request["text"].encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()

    with wave.open(request["wav"], "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(bytes(samples))
    json.dump({"seconds": len(samples) / 2 / rate, "words": words, "unread": unread}, sys.stdout)
    return 0


def _unread(library: ctypes.CDLL, text: str) -> str:
    """The letters that the chosen voice does not read: it tells their names in another language's voice.

    Latin ones stand for themselves everywhere.
    """
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    found = ""
    for char in sorted({char for char in text if char.isalpha()}):
        if not unicodedata.name(char, "LATIN").startswith("LATIN"):
            told = ctypes.c_char_p(char.encode())
            phonemes = library.espeak_TextToPhonemes(ctypes.byref(told), _UTF8, _IPA) or b""
            if b"(" in phonemes:  # "(en)": spoken in English from here on
                found += char
    return found


if __name__ == "__main__":
    raise SystemExit(main())
