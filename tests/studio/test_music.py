"""The synthesised beds, measured: nobody hears them here."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from ytray.studio.model import Mood
from ytray.studio.render.sound.music import RATE, STYLES, bed, voicings

MOODS: tuple[Mood, ...] = get_args(Mood)
OCTAVES = [62.5 * 2**number for number in range(8)]  # Hz: lower edges

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Heard:
    """A loop: stereo samples between -1 and 1, and at each frequency in Hz its share of the whole power."""

    samples: Samples
    hertz: Samples
    power: Samples

    def share(self, low: float, high: float = RATE / 2) -> float:
        """The share of the power between two frequencies."""
        return float(self.power[(self.hertz >= low) & (self.hertz < high)].sum())


@pytest.fixture(scope="module")
def beds(tmp_path_factory: pytest.TempPathFactory) -> dict[Mood, Heard]:
    """A loop of each mood."""
    folder = tmp_path_factory.mktemp("beds")
    for mood in MOODS:
        bed(mood, folder / f"{mood}.wav")
    return {mood: _heard(_samples(folder / f"{mood}.wav")) for mood in MOODS}


def _samples(file: Path) -> Samples:
    with wave.open(str(file)) as read:
        assert (read.getnchannels(), read.getframerate()) == (2, RATE)
        raw = np.frombuffer(read.readframes(read.getnframes()), "<i2")
    return raw.reshape(-1, 2) / 32768


def _heard(samples: Samples) -> Heard:
    power = np.asarray(np.abs(np.fft.rfft(samples.mean(axis=1))) ** 2, np.float64)
    hertz = np.asarray(np.fft.rfftfreq(len(samples), 1 / RATE), np.float64)
    return Heard(samples, hertz, power / power.sum())


@pytest.mark.parametrize("mood", MOODS)
def test_a_loop_lasts_whole_bars_and_stays_below_full_scale(beds: dict[Mood, Heard], mood: Mood) -> None:
    style, sound = STYLES[mood], beds[mood].samples
    assert 20 <= len(sound) / RATE <= 30
    assert len(sound) / RATE == pytest.approx(style.beats * len(style.chords) * 60 / style.tempo, abs=1e-4)
    assert 0.3 < np.abs(sound).max() < 0.9
    assert np.abs(sound.mean(axis=0)).max() < 1e-4, "no offset"


@pytest.mark.parametrize("mood", MOODS)
def test_a_loop_follows_itself_without_a_jump(beds: dict[Mood, Heard], mood: Mood) -> None:
    sound = beds[mood].samples
    steps = np.abs(np.diff(np.concatenate([sound, sound[:1]]), axis=0))
    assert steps[-1].max() < 0.75 * steps[:-1].max()
    joint = np.concatenate([sound[-RATE // 20 :], sound[: RATE // 20]])
    assert _heard(joint * np.hanning(len(joint))[:, None]).share(8000) < 1e-4, "a click would be heard up there"


@pytest.mark.parametrize("mood", MOODS)
def test_a_bed_never_stops_and_never_bursts(beds: dict[Mood, Heard], mood: Mood) -> None:
    sound = beds[mood].samples
    seconds = [np.sqrt((piece**2).mean()) for piece in np.array_split(sound, len(sound) // RATE)]
    assert max(seconds) < 2.5 * min(seconds)


@pytest.mark.parametrize("mood", MOODS)
def test_a_bed_grows_softer_upwards_and_leaves_room_for_a_voice(beds: dict[Mood, Heard], mood: Mood) -> None:
    octaves = [beds[mood].share(low, 2 * low) for low in OCTAVES]
    assert all(higher < lower for lower, higher in pairwise(octaves[2:]))
    assert beds[mood].share(1000, 4000) < 0.15
    assert beds[mood].share(8000) < 1e-4, "nothing shrill"


@pytest.mark.parametrize("mood", MOODS)
def test_what_sounds_belongs_to_the_scale(beds: dict[Mood, Heard], mood: Mood) -> None:
    style = STYLES[mood]
    hertz, power = beds[mood].hertz, beds[mood].power
    heard = (hertz > 100) & (hertz < 2000)
    nearest = np.rint(69 + 12 * np.log2(hertz[heard] / 440)).astype(int) % 12
    scale = [(style.tonic + step) % 12 for step in style.scale]
    assert power[heard][np.isin(nearest, scale)].sum() > 0.96 * power[heard].sum()


@pytest.mark.parametrize("mood", MOODS)
def test_chords_belong_to_the_scale_and_their_voices_move_little(mood: Mood) -> None:
    style = STYLES[mood]
    chords = voicings(style)
    assert 4 <= len(chords) <= 8
    assert {note % 12 for notes in chords for note in notes} <= {(style.tonic + step) % 12 for step in style.scale}
    for before, after in pairwise([*chords, chords[0]]):
        moved = [min(abs(note - old) for old in before) for note in after]
        assert sum(moved) / len(moved) <= 3
        assert max(moved) <= 5
        assert min(b - a for a, b in pairwise(after)) >= 2, "no semitones that rub"


@pytest.mark.parametrize("mood", MOODS)
def test_a_bed_is_wide_and_bears_being_played_in_mono(beds: dict[Mood, Heard], mood: Mood) -> None:
    left, right = beds[mood].samples.T
    assert 0.3 < np.corrcoef(left, right)[0, 1] < 0.95
    assert ((left + right) ** 2).mean() > 2 * (left**2).mean()


def test_moods_differ_in_tempo_and_brightness(beds: dict[Mood, Heard]) -> None:
    assert len({style.tempo for style in STYLES.values()}) == len(MOODS)
    brightness = {mood: beds[mood].share(1000) for mood in MOODS}
    assert brightness["bright"] > brightness["calm"] > brightness["dark"]
    assert brightness["wild"] > brightness["warm"] > brightness["dark"]


def test_a_beat_is_heard_in_the_lively_moods_only(beds: dict[Mood, Heard]) -> None:
    above = {mood: beds[mood].share(4000, 8000) for mood in MOODS}
    assert min(above["bright"], above["wild"]) > 5 * max(above["calm"], above["warm"], above["dark"])


def test_the_same_mood_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.wav" for number in range(2)]
    for file in files:
        bed("dark", file)
    first, again = (file.read_bytes() for file in files)
    assert first == again
