"""A music bed for each mood, synthesised: soft pads, plucked notes and a bass that leave room for a voice.

Everything is added to a loop whose end runs on into its beginning, and the room is a circular convolution: so the loop
repeats without a joint.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from ytray.studio.model import Mood

BEDS = 1  # raised when the beds come out different from what they were
RATE = 48_000  # Hz
_PEAK = 0.5  # of full scale
_TABLE = 1 << 18  # samples of a pad's period: longer than any chord and its fading
_VOICES_LOW, _VOICES_HIGH = 50, 72  # MIDI numbers between which the pad's chords are laid
_BASS_LOW = 31  # MIDI number of the lowest bass note
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)

Sound = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Style:
    """How a mood sounds. A chord is its degrees of the scale, the root first; the loop is all of them once.

    Args:
        tempo: beats a minute.
        tonic: the key, as a MIDI number.
        beats: how long a chord lasts.
        brightness: Hz above which everything grows softer.
        slope: how fast a pad's overtones fall: the nth is as loud as n to the power of minus `slope`.
        notes: a chord's plucked notes, as (beat, place in the chord; 4 is the lowest one an octave higher).
        ring: seconds in which a plucked note falls to a third.
        room: seconds in which the room's echo falls by 60 dB.
        beat: how loud the percussion is; 0 for none.
    """

    tempo: float
    tonic: int
    scale: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    beats: int
    brightness: float
    slope: float
    notes: tuple[tuple[float, int], ...]
    ring: float
    room: float
    beat: float = 0.0

    @property
    def samples(self) -> int:
        """Length of the loop."""
        return self.at(self.beats * len(self.chords))

    def at(self, beat: float) -> int:
        """The sample at which a beat of the loop begins."""
        return round(beat * 60 / self.tempo * RATE)


STYLES: dict[Mood, Style] = {
    # D: I maj7, vi7, IV maj7, V6. Bells, far apart.
    "calm": Style(
        tempo=72,
        tonic=50,
        scale=_MAJOR,
        chords=((0, 2, 4, 6), (5, 0, 2, 4), (3, 5, 0, 2), (4, 6, 1, 2)),
        beats=8,
        brightness=1600,
        slope=1.9,
        notes=((0, 4), (1.5, 6), (3, 5), (4, 7), (6, 5), (7, 6)),
        ring=0.9,
        room=2.8,
    ),
    # C: I, V, vi, iii, IV, I, ii7, V. An even arpeggio and a light beat.
    "bright": Style(
        tempo=96,
        tonic=48,
        scale=_MAJOR,
        chords=((0, 2, 4), (4, 6, 1), (5, 0, 2), (2, 4, 6), (3, 5, 0), (0, 2, 4), (1, 3, 5, 0), (4, 6, 1)),
        beats=4,
        brightness=2600,
        slope=1.5,
        notes=tuple((step / 2, place) for step, place in enumerate((4, 5, 6, 5, 7, 6, 5, 6))),
        ring=0.35,
        room=1.4,
        beat=0.7,
    ),
    # F: IV maj7, iii7, ii7, I maj9. Slow broken chords.
    "warm": Style(
        tempo=80,
        tonic=53,
        scale=_MAJOR,
        chords=((3, 5, 0, 2), (2, 4, 6, 1), (1, 3, 5, 0), (0, 2, 4, 1)),
        beats=8,
        brightness=1500,
        slope=1.6,
        notes=((0, 0), (1, 2), (1.5, 3), (2.5, 4), (4, 1), (5, 3), (5.5, 4), (7, 5)),
        ring=0.6,
        room=1.8,
    ),
    # A minor: i9, VI maj7, iv, v7. Low, with single bells.
    "dark": Style(
        tempo=60,
        tonic=45,
        scale=_MINOR,
        chords=((0, 2, 4, 1), (5, 0, 2, 4), (3, 5, 0), (4, 6, 1, 3)),
        beats=6,
        brightness=800,
        slope=2.0,
        notes=((0, 3), (3, 2), (4.5, 4)),
        ring=1.2,
        room=3.6,
    ),
    # E minor: i, VI, III, VII, iv7, VII. A driving arpeggio and a beat.
    "wild": Style(
        tempo=128,
        tonic=52,
        scale=_MINOR,
        chords=((0, 2, 4), (5, 0, 2), (2, 4, 6), (6, 1, 3), (3, 5, 0, 2), (6, 1, 3)),
        beats=8,
        brightness=2600,
        slope=1.2,
        notes=tuple((step / 2, place) for step, place in enumerate((0, 4, 2, 5, 0, 4, 3, 5, 0, 4, 2, 6, 0, 5, 3, 4))),
        ring=0.22,
        room=1.1,
        beat=1.0,
    ),
}


def bed(mood: Mood, output: Path) -> None:
    """Write one loop of a mood's music (20 to 27 s) to `output`, a stereo WAV file at 48 kHz that repeats seamlessly.

    The same mood gives the same bytes.
    """
    sound = _loop(STYLES[mood], np.random.default_rng([0, *mood.encode()]))
    with wave.open(str(output), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(sound.T * 32767).astype("<i2").tobytes())


def voicings(style: Style) -> list[tuple[int, ...]]:
    """Each chord's notes from low to high, as MIDI numbers: laid so that from chord to chord they move least.

    The last chord leads back to the first one, so the first is laid in the middle.
    """
    middle = (_VOICES_LOW + _VOICES_HIGH) / 2
    found: list[tuple[int, ...]] = []
    for chord in style.chords:
        choices = _laid(style, chord)
        if found:
            before = found[-1]
            found.append(min(choices, key=lambda notes: (_moved(before, notes), notes)))
        else:
            found.append(min(choices, key=lambda notes: (abs(sum(notes) / len(notes) - middle), notes)))
    return found


def _laid(style: Style, chord: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every way to lay a chord's notes: wide at the bottom, where close ones rumble, and nowhere with a hole."""
    low = [style.tonic + style.scale[degree] for degree in chord]
    octaves = [[note for note in range(first % 12, 128, 12) if _VOICES_LOW <= note <= _VOICES_HIGH] for first in low]
    ways = [tuple(sorted(notes)) for notes in product(*octaves)]
    wide = [notes for notes in ways if notes[1] - notes[0] >= 5 and all(2 <= b - a <= 9 for a, b in pairwise(notes))]
    return wide or ways


def _moved(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Semitones that the voices move, each from the nearest one."""
    return sum(min(abs(note - old) for old in before) for note in after) + sum(
        min(abs(note - new) for new in after) for note in before
    )


def _loop(style: Style, chance: np.random.Generator) -> Sound:
    """The whole loop: an array of (2, samples)."""
    dry, wet = (np.zeros((2, style.samples), np.float32) for _ in range(2))
    chords = voicings(style)
    tones = {
        note: _plucked(style, note) for note in {_note(chord, step) for chord in chords for _, step in style.notes}
    }
    for place, notes in enumerate(chords):
        start = style.beats * place
        pad = _pad(style, notes, chance)
        _add(dry, style.at(start) - RATE // 4, pad * 0.8)  # it is there on the beat though it swells slowly
        _add(wet, style.at(start) - RATE // 4, pad * 0.5)
        root = style.tonic + style.scale[style.chords[place][0]]
        _add(dry, style.at(start), _bass(style, root))
        for beat, step in style.notes:
            at = style.at(start + beat) + int(chance.integers(0, RATE // 150))  # no player is exact
            level, side = 0.22 * chance.uniform(0.6, 1.0), chance.uniform(-0.25, 0.25)
            sides = np.array([[np.sqrt(0.5 - side)], [np.sqrt(0.5 + side)]], np.float32)
            plucked = sides * (tones[_note(notes, step)] * np.float32(level))
            _add(dry, at, plucked)
            _add(wet, at, plucked)
    if style.beat:
        _percussion(style, dry, wet, chance)
    return _in_a_room(style, dry, wet, chance)


def _note(notes: tuple[int, ...], step: int) -> int:
    """A plucked note: the chord's notes upwards and on into the octaves above, an octave over the pad."""
    octave, place = divmod(step, 4)
    over, place = divmod(place, len(notes))
    return notes[place] + 12 * (octave + over) + (12 if notes[0] < 58 else 0)


def _add(loop: Sound, at: int, sound: Sound) -> None:
    """Add a sound; what goes over the loop's end goes on at its beginning."""
    length = loop.shape[1]
    at %= length
    first = min(sound.shape[1], length - at)
    loop[:, at : at + first] += sound[:, :first]
    loop[:, : sound.shape[1] - first] += sound[:, first:]


def _hertz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _pad(style: Style, notes: tuple[int, ...], chance: np.random.Generator) -> Sound:
    """A chord as many players would hold it: each overtone is a narrow band of chance phases (Nasca's PADsynth)."""
    spectrum = np.zeros((2, _TABLE // 2 + 1), np.complex64)
    for note in notes:
        hertz = _hertz(note)
        for overtone in range(1, 1 + min(16, int(4 * style.brightness / hertz) + 1)):
            centre = hertz * overtone * _TABLE / RATE
            width = max(1.0, centre * 0.0045)  # some 8 cents to either side
            bins = np.arange(int(centre - 3 * width), int(centre + 3 * width) + 2)
            level = np.exp(-(((bins - centre) / width) ** 2) / 2) / np.sqrt(width) * overtone**-style.slope
            phases = np.exp(2j * np.pi * chance.random((2, len(bins))))
            spectrum[:, bins] += (level * phases).astype(np.complex64)
    sides = np.fft.irfft(spectrum, axis=1)
    wide = np.stack([sides[0] + 0.4 * sides[1], sides[1] + 0.4 * sides[0]])  # not wholly apart: it must bear mono
    held = style.at(style.beats) + RATE // 4
    swell, release = round(0.9 * RATE), round(0.8 * RATE)
    envelope = np.ones(held + release)
    envelope[:swell] = np.sin(np.linspace(0, np.pi / 2, swell)) ** 2
    envelope[held:] = np.cos(np.linspace(0, np.pi / 2, release)) ** 2
    around = np.resize(np.arange(_TABLE), len(envelope))
    scaled = wide[:, around] * (0.16 / np.sqrt(np.mean(wide**2)))
    return np.asarray(scaled * envelope, np.float32)


def _bass(style: Style, root: int) -> Sound:
    """The root, between 49 and 92 Hz, with a little of its octave so that small speakers have something to play."""
    seconds = style.beats * 60 / style.tempo
    time = np.arange(round((seconds + 0.1) * RATE)) / RATE
    phase = 2 * np.pi * _hertz(_BASS_LOW + (root - _BASS_LOW) % 12) * time
    tone = np.sin(phase) + 0.22 * np.sin(2 * phase)
    envelope = np.minimum(1, time / 0.08) * np.exp(-time / (seconds * 0.9)) * np.clip((time[-1] - time) / 0.15, 0, 1)
    return np.broadcast_to((0.2 * tone * envelope).astype(np.float32), (2, len(time)))


def _plucked(style: Style, note: int) -> Sound:
    """A soft plucked tone: overtones that fall faster the higher they are."""
    time = np.arange(round(4.5 * style.ring * RATE)) / RATE
    hertz = _hertz(note)
    turning = np.exp((2j * np.pi * hertz - 1 / style.ring) * time)  # its powers are the overtones
    tone, overtone = np.zeros(len(time)), turning
    for number in range(1, 6):
        darkened = (1 + (hertz / style.brightness) ** 2) / (1 + (hertz * number / style.brightness) ** 2)
        tone += number**-1.3 * darkened * overtone.imag
        overtone = overtone * turning
    ends = np.minimum(1, time / 0.006) * np.clip((time[-1] - time) / 0.05, 0, 1)
    return np.asarray(tone * ends, np.float32)


def _percussion(style: Style, dry: Sound, wet: Sound, chance: np.random.Generator) -> None:
    """A round bass drum on every second beat, a tap between them, and a shaker."""
    time = np.arange(RATE // 3) / RATE
    sweep = 2 * np.pi * np.cumsum(48 + 70 * np.exp(-time / 0.03)) / RATE
    drum = np.asarray(np.sin(sweep) * np.exp(-time / 0.09) * np.minimum(1, time / 0.004), np.float32)
    tap = _hiss(chance, 0.16, 350, 1400) * 0.5
    for beat in range(style.beats * len(style.chords)):
        at = style.at(beat)
        if beat % 2 == 0:
            _add(dry, at, _both(drum * 0.32 * style.beat))
        else:
            _add(dry, at, _both(tap * 0.12 * style.beat))
            _add(wet, at, _both(tap * 0.16 * style.beat))
        for half in (0.0, 0.5):
            shaken = _hiss(chance, 0.07 if half else 0.05, 2500, 6500)
            _add(dry, style.at(beat + half), _both(shaken * (0.035 if half else 0.02) * style.beat))


def _hiss(chance: np.random.Generator, seconds: float, low: float, high: float) -> Sound:
    """A short noise between two frequencies, in Hz."""
    length = round(seconds * RATE)
    hertz = np.fft.rfftfreq(length, 1 / RATE)
    band = 1 / (1 + (low / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / high) ** 4)
    noise = np.fft.irfft(np.fft.rfft(chance.standard_normal(length)) * band, length)
    time = np.arange(length) / length
    shaped = noise * np.minimum(1, time / 0.08) * (1 - time) ** 3
    return np.asarray(shaped / np.abs(shaped).max(), np.float32)


def _both(sound: Sound) -> Sound:
    return np.broadcast_to(sound, (2, len(sound)))


def _in_a_room(style: Style, dry: Sound, wet: Sound, chance: np.random.Generator) -> Sound:
    """The loop with its room around it, darkened, with room for a voice, at its final level.

    The room is noise that dies away, another one for each ear. A voice's consonants are between 1 and 4 kHz: there the
    bed gives way by 5 dB.
    """
    length = dry.shape[1]
    time = np.arange(round(style.room * RATE)) / RATE
    echo = chance.standard_normal((2, len(time))) * 10 ** (-3 * time / style.room)
    echo[:, : RATE // 50] *= np.linspace(0, 1, RATE // 50)
    echo *= 0.9 / np.sqrt((echo**2).sum(axis=1, keepdims=True))
    hertz = np.fft.rfftfreq(length, 1 / RATE).astype(np.float32)
    octaves = np.log2(np.maximum(hertz, 1) / 2000)
    tone = 10 ** (-5 / 20 * np.exp(-(octaves**2) / 1.2)) / np.sqrt(1 + (hertz / (2.2 * style.brightness)) ** 4)
    tone *= 1 / np.sqrt(1 + (28 / np.maximum(hertz, 1e-3)) ** 8)  # nothing below what is heard, and no offset
    damped = 1 / np.sqrt(1 + (hertz / style.brightness) ** 2)
    spectra = np.fft.rfft(dry, axis=1)
    spectra += np.fft.rfft(wet, axis=1) * np.fft.rfft(echo.astype(np.float32), length, axis=1) * damped
    sound = np.fft.irfft(spectra * tone, length, axis=1)
    return np.asarray(sound * (_PEAK / np.abs(sound).max()), np.float32)
