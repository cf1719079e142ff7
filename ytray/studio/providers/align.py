"""Word times for a recording that came without them: forced alignment against a synthesised reading of its text.

The offline narrator reads the same text and knows when it says each word. Dynamic time warping (Sakoe and Chiba,
"Dynamic programming algorithm optimization for spoken word recognition", IEEE Transactions ASSP 26, 1978) finds which
moment of the recording sounds like which moment of that reading. To align so against a synthesised reading is known
from aeneas (github.com/readbeyond/aeneas, wiki/HOWITWORKS.md).
"""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.errors import PermanentError
from ytray.studio.model import Word
from ytray.studio.providers.offline_speech import OfflineSpeech
from ytray.studio.words import words_of

# The usual front end of speech recognition, as in the tutorial of The HTK Book (Young and others, 2006): windows of
# 25 ms every 10 ms, 26 mel bands, deltas by regression over 2 frames to either side.
_RATE = 16_000  # samples a second: what speech recognisers are usually given
_WINDOW, _HOP = 400, 160  # samples
_FRAME = _HOP / _RATE  # seconds
_FFT = 512  # samples: the next power of two
_BANDS = 26
_DELTA = 2  # frames
_LOWEST, _HIGHEST = 80.0, 7600.0  # Hz: about the lowest voice, and a little short of half the rate
# Speech spans 30 dB (ANSI S3.5-1997, the speech intelligibility index). What lies further below its loudest is taken
# for silence; otherwise the background noises of two recordings would differ more than their words. By trial 40 and 50
# serve alike, and 30 aligns worse.
_DEPTH = 40.0  # dB
_SILENCE = -70.0  # dB of full scale: the absolute gate of ITU-R BS.1770-4
# Speech begins and ends where it rises so far above the quiet frames, yet no further below the loud ones than the
# second, and no nearer to them than the third, which would cut soft sounds off. The exact values matter little.
_OVER_QUIET, _MOST_BELOW, _LEAST_BELOW = 6.0, 35.0, 20.0  # dB
# Sakoe and Chiba's adjustment window, to either side of an even speed: half a minute is searched whole, and beyond that
# time and memory grow only linearly. aeneas has 60 s.
_BAND = 1500  # frames
_SHORTEST = 30  # ms of a word: about one frame of a video
_MOVES = ((1, 1), (1, 0), (0, 1))  # frames by which a step of the path moves on in either sound

_Floats = NDArray[np.float32]
_Times = NDArray[np.float64]  # seconds
_Indices = NDArray[np.intp]


def align(recording: Path, text: str, language: str) -> list[Word]:
    """Find when each word of `text` is said in `recording`, a mono WAV file of 16 bits; times in seconds.

    A word lasts until the next begins, as in the offline narrator's own times. In a silent recording, or when the
    text has no words, what is written is spread by its length in characters. Raises PermanentError when the file is of
    another kind, or the offline narrator cannot read the text.
    """
    sound = _sound(recording)
    if not words_of(text):
        return _spread(text.split(), len(sound))
    with tempfile.TemporaryDirectory(prefix="ytray-align-") as folder:
        reading = Path(folder) / "reading.wav"
        words = OfflineSpeech().speak(text, language, reading).words
        power, reading_power = _power(sound), _power(_sound(reading))
    names = [word.text for word in words]
    if _decibels(power.sum(axis=1)).max() < _SILENCE:
        return _spread(names, len(sound))
    bounds = [*(word.start for word in words), words[-1].end]
    return _timed(names, np.interp(bounds, *_same_moments(reading_power, power)), len(sound))


def _sound(file: Path) -> _Floats:
    """The samples of a WAV file, -1 to 1, at `_RATE`."""
    try:
        with wave.open(str(file), "rb") as wav:
            channels, width, rate = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
            raw = wav.readframes(wav.getnframes())
    except (wave.Error, EOFError) as problem:
        raise PermanentError(
            f"{file.name} is not a WAV file of PCM sound: {str(problem) or 'it ends too early'}"
        ) from problem
    if (channels, width) != (1, 2):
        raise PermanentError(
            f"{file.name} has {channels} channel(s) of {width * 8} bits; alignment needs mono of 16 bits"
        )
    samples = np.asarray(np.frombuffer(raw[: len(raw) // width * width], "<i2") / 32768, np.float32)
    if rate == _RATE or not len(samples):
        return samples
    places = np.arange(len(samples) * _RATE // rate) * (rate / _RATE)
    return np.asarray(np.interp(places, np.arange(len(samples)), samples), np.float32)


def _power(sound: _Floats) -> _Floats:
    """The mean square of the sound in each mel band: (frames, bands). Frame n is centred on sample n * _HOP."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sound, _WINDOW // 2), _WINDOW)[::_HOP]
    shape = np.hanning(_WINDOW).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(windows * shape, _FFT)) ** 2
    scale = 2 / _FFT / np.sum(shape**2)  # Parseval's theorem; twice, for the negative frequencies
    return np.asarray(spectrum @ _mel_bank().T * scale, np.float32)


def _mel_bank() -> _Floats:
    """Triangles that overlap by half, evenly spaced on O'Shaughnessy's mel scale (1987): (bands, frequencies)."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST, _HIGHEST))
    corners = 700 * (10 ** (np.linspace(lowest, highest, _BANDS + 2) / 2595) - 1)
    rises = (np.fft.rfftfreq(_FFT, 1 / _RATE) - corners[:-1, None]) / np.diff(corners)[:, None]
    return np.asarray(np.maximum(0, np.minimum(rises[:-1], 1 - rises[1:])), np.float32)


def _decibels(power: _Floats) -> _Floats:
    return np.asarray(10 * np.log10(power + 1e-12), np.float32)


def _same_moments(first: _Floats, second: _Floats) -> tuple[_Times, _Times]:
    """By the power of two sounds: the moments of speech in the first, and those that sound alike in the second."""
    (first_begin, first_features), (second_begin, second_features) = _features(first), _features(second)
    path = _path(first_features, second_features)
    partners = np.bincount(path[:, 0], path[:, 1]) / np.bincount(path[:, 0])
    moments = np.arange(len(partners), dtype=np.float64)
    return (moments + first_begin) * _FRAME, (partners + second_begin) * _FRAME


def _features(power: _Floats) -> tuple[int, _Floats]:
    """The first frame of speech, and for each from there to the last a vector of length 1: levels and deltas."""
    begin, end = _speech(_decibels(power.sum(axis=1)))
    levels = _decibels(power[begin:end])
    levels = np.maximum(levels, np.percentile(levels.max(axis=1), 95) - _DEPTH)
    around = np.pad(levels, ((_DELTA, _DELTA), (0, 0)), mode="edge")
    deltas = sum((shift - _DELTA) * around[shift : shift + len(levels)] for shift in range(2 * _DELTA + 1))
    vectors = np.hstack([_normalised(levels), _normalised(np.asarray(deltas))])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return begin, np.asarray(vectors / (lengths + 1e-6), np.float32)


def _speech(loudness: _Floats) -> tuple[int, int]:
    """The first frame of speech and the one after its last."""
    quiet, loud = np.percentile(loudness, (5, 95))
    spoken = np.flatnonzero(loudness > np.clip(quiet + _OVER_QUIET, loud - _MOST_BELOW, loud - _LEAST_BELOW))
    return int(spoken[0]), int(spoken[-1]) + 1


def _normalised(features: _Floats) -> _Floats:
    """Each column with mean 0 and variance 1, which takes out much of voice and microphone."""
    return np.asarray((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6), np.float32)


def _path(first: _Floats, second: _Floats) -> _Indices:
    """The cheapest way through two sounds from begin to end: pairs of frames that belong together.

    A pair costs its cosine distance. All moves weigh the same: Sakoe and Chiba's 2 for the diagonal made the errors a
    third larger. Pairs on one anti-diagonal do not depend on one another: they are computed at once.
    """
    rows, columns = len(first), len(second)
    mirrored = second[::-1]
    nowhere = np.full(rows + 1, np.inf)  # place n is row n - 1: what lies outside costs too much
    before, last = nowhere.copy(), nowhere
    before[0] = 0.0
    choices = []
    for diagonal in range(rows + columns - 1):
        even = diagonal * rows / (rows + columns)
        low = max(0, diagonal - columns + 1, int(even) - _BAND)
        high = min(rows, diagonal + 1, int(even) + _BAND)
        shift = columns - 1 - diagonal
        distances = 1 - np.einsum("ij,ij->i", first[low:high], mirrored[low + shift : high + shift])
        costs = np.stack([before[low:high], last[low:high], last[low + 1 : high + 1]])  # by the order of _MOVES
        choices.append((low, costs.argmin(axis=0).astype(np.int8)))
        before, last = last, nowhere.copy()
        last[low + 1 : high + 1] = costs.min(axis=0) + distances
    return _walked_back(choices, rows - 1, columns - 1)


def _walked_back(choices: list[tuple[int, NDArray[np.int8]]], row: int, column: int) -> _Indices:
    path = []
    while row >= 0 and column >= 0:
        path.append((row, column))
        low, chosen = choices[row + column]
        down, right = _MOVES[chosen[row - low]]
        row, column = row - down, column - right
    return np.array(path[::-1])


def _spread(names: list[str], samples: int) -> list[Word]:
    """Words over so many samples, each with a time by its number of characters."""
    if not names:
        return []
    bounds = np.cumsum([0, *map(len, names)])
    return _timed(names, bounds / bounds[-1] * samples / _RATE, samples)


def _timed(names: list[str], bounds: _Times, samples: int) -> list[Word]:
    """Words between bounds in seconds. Those too short push the later ones on; what is pushed out pushes back."""
    length = samples * 1000 // _RATE
    least = np.arange(len(bounds)) * min(_SHORTEST, length // len(names))
    moments = np.maximum.accumulate(np.rint(bounds * 1000).astype(np.int64) - least)
    moments = np.clip(moments, 0, length - least[-1]) + least
    return [
        Word(text=name, start=start / 1000, end=end / 1000)
        for name, start, end in zip(names, moments[:-1].tolist(), moments[1:].tolist(), strict=True)
    ]
