"""Word times found in a recording, against those that espeak-ng tells of its other voices."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import tracemalloc
import wave
from itertools import pairwise
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ytray.errors import PermanentError
from ytray.studio.model import Word
from ytray.studio.providers import espeak
from ytray.studio.providers.align import align
from ytray.studio.providers.offline_speech import OfflineSpeech

LEAD = 0.4  # seconds of silence before the speech
CATS = "Why do cats purr? Keep your first guess. Most people say that a cat purrs because it is happy: half of it."
MOON = "In 1969, three people flew 384,400 km to the moon; it's state-of-the-art, for $5 and more of NASA's money."
COFFEE = "Coffee was born on the hills of Ethiopia. A goatherd saw his goats dance after they ate some berries."
KATZEN = "Warum schnurren Katzen? Die meisten sagen, weil sie glücklich sind. Das ist nur die halbe Wahrheit."
CHATS = "Pourquoi les chats ronronnent? La plupart des gens pensent que c'est de joie. Ce n'est que la moitié."
GATOS = "¿Por qué ronronean los gatos? La mayoría dice que son felices. Es solo la mitad de la historia."

Sound = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Starts = dict[int, float]


def said(text: str, voice: str, speed: int, pitch: int, into: Path) -> tuple[Sound, int, Starts]:
    """A text in one of espeak-ng's voices: samples, their rate, and when each word begins that it tells of."""
    request = {"text": text, "voice": voice, "rate": speed, "pitch": pitch, "range": 50, "wav": str(into)}
    program = [sys.executable, espeak.__file__, espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    done = subprocess.run(program, input=json.dumps(request), capture_output=True, text=True, check=True)
    with wave.open(str(into), "rb") as wav:
        rate = wav.getframerate()
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.float64)
    starts: Starts = {}
    for number, word in enumerate(re.finditer(r"\S+", text)):
        own = [start for place, start in json.loads(done.stdout)["words"] if word.start() <= place < word.end()]
        if own:
            starts[number] = min(own)
    return samples, rate, starts


def recorded(samples: Sound, rate: int, into: Path, to_rate: int | None = None) -> Path:
    """A recording: silence before the speech, noise 30 dB below it, perhaps at another rate."""
    to_rate = to_rate or rate
    samples = np.concatenate([np.zeros(int(LEAD * rate)), samples])
    speech = samples[np.abs(samples) > 300]
    noise = np.random.default_rng(7).normal(size=len(samples)) * np.sqrt(np.mean(speech**2)) * 10 ** (-30 / 20)
    moments = np.arange(int(len(samples) * to_rate / rate)) / to_rate
    written(np.interp(moments, np.arange(len(samples)) / rate, samples + noise), to_rate, into)
    return into


def written(samples: Sound, rate: int, into: Path, channels: int = 1, width: int = 2) -> Path:
    """A WAV file."""
    with wave.open(str(into), "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes())
    return into


def errors(words: list[Word], starts: Starts) -> Sound:
    """By how many seconds the words' starts are wrong; `starts` are those of the speech alone."""
    assert len(starts) > 10
    return np.array([abs(words[number].start - LEAD - start) for number, start in starts.items()])


def assert_found(words: list[Word], starts: Starts) -> None:
    """The starts are right to a tenth of a second, 19 of 20, and to a twenty-fifth on average."""
    wrong = errors(words, starts)
    assert wrong.mean() < 0.04
    assert np.percentile(wrong, 95) < 0.1


def assert_in_order(words: list[Word], seconds: float) -> None:
    """The words follow one another inside the recording, and none is shorter than there is room for."""
    least = 0.03 if seconds >= 0.03 * len(words) else 0.0
    assert words[0].start >= 0
    assert words[-1].end <= seconds
    assert all(word.end - word.start >= least - 1e-9 for word in words)
    assert all(before.end <= after.start for before, after in pairwise(words))


@pytest.mark.parametrize(
    ("text", "language", "voice", "speed", "pitch"),
    [
        (CATS, "en", "en+f3", 130, 60),
        (MOON, "en", "en-gb-x-rp+m3", 185, 30),
        (COFFEE, "en", "en-gb-scotland", 165, 40),
        (CATS, "en", "en-us+klatt2", 140, 55),
        (COFFEE, "en", "en-us-nyc+m7", 190, 20),
        (KATZEN, "de", "de+m3", 150, 30),
        (CHATS, "fr", "fr-be+f4", 185, 70),
        (GATOS, "es", "es-419+m1", 150, 40),
    ],
)
def test_the_words_of_another_voice_are_found_to_a_tenth_of_a_second(
    text: str, language: str, voice: str, speed: int, pitch: int, tmp_path: Path
) -> None:
    samples, rate, starts = said(text, voice, speed, pitch, tmp_path / "said.wav")
    recording = recorded(samples, rate, tmp_path / "recording.wav")
    words = align(recording, text, language)
    assert [word.text for word in words] == text.split()
    assert_found(words, starts)
    assert_in_order(words, LEAD + len(samples) / rate)


@pytest.mark.parametrize("voice", ["de+m3", "nl+f4", "af+m1"])
def test_the_words_of_a_voice_with_a_strong_accent_are_found_to_a_quarter_of_a_second(
    voice: str, tmp_path: Path
) -> None:
    text = f"{CATS} {COFFEE}"
    samples, rate, starts = said(text, voice, 155, 40, tmp_path / "said.wav")  # it reads English by its own rules
    wrong = errors(align(recorded(samples, rate, tmp_path / "recording.wav"), text, "en"), starts)
    assert wrong.mean() < 0.08
    assert np.percentile(wrong, 95) < 0.25


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100])
def test_the_sample_rate_of_a_recording_does_not_matter(rate: int, tmp_path: Path) -> None:
    samples, own_rate, starts = said(CATS, "en+m3", 150, 40, tmp_path / "said.wav")
    recording = recorded(samples, own_rate, tmp_path / "recording.wav", to_rate=rate)
    assert_found(align(recording, CATS, "en"), starts)


def test_pauses_that_the_offline_narrator_does_not_make_are_found(tmp_path: Path) -> None:
    sound, rate, starts = np.zeros(0), 22_050, Starts()
    for sentence, pause in (
        ("Look up tonight.", 1.8),
        ("The light of that star is very old,", 0.9),
        ("and you see it.", 0),
    ):
        samples, rate, own = said(sentence, "en+f3", 160, 50, tmp_path / "said.wav")
        first = len(starts)
        starts |= {first + number: len(sound) / rate + start for number, start in own.items()}
        sound = np.concatenate([sound, samples, np.zeros(int(pause * rate))])
    recording = recorded(sound, rate, tmp_path / "recording.wav")
    words = align(recording, "Look up tonight. The light of that star is very old, and you see it.", "en")
    assert_found(words, starts)


def test_the_words_are_those_of_the_offline_narrator(tmp_path: Path) -> None:
    text = "Cats — and dogs & birds — sleep … a lot: 50 % of the day!"
    spoken = OfflineSpeech().speak(text, "en", tmp_path / "spoken.wav")
    words = align(tmp_path / "spoken.wav", text, "en")
    assert [word.text for word in words] == [word.text for word in spoken.words]
    assert [word.start for word in words] == pytest.approx([word.start for word in spoken.words], abs=0.03)


def test_the_last_word_ends_with_the_speech_and_not_with_the_recording(tmp_path: Path) -> None:
    samples, rate, _ = said(CATS, "en+f3", 150, 60, tmp_path / "said.wav")
    recording = recorded(np.concatenate([samples, np.zeros(2 * rate)]), rate, tmp_path / "recording.wav")
    assert LEAD + len(samples) / rate - 0.8 < align(recording, CATS, "en")[-1].end < LEAD + len(samples) / rate


def test_a_recording_that_was_cut_off_within_a_sample_is_aligned(tmp_path: Path) -> None:
    OfflineSpeech().speak(CATS, "en", tmp_path / "spoken.wav")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "spoken.wav").read_bytes()[:100_001])
    assert_in_order(align(tmp_path / "cut.wav", CATS, "en"), (100_001 - 44) // 2 / 22_050)


def test_in_a_silent_recording_words_are_spread_by_their_length(tmp_path: Path) -> None:
    silent = written(np.zeros(24_000 * 4), 24_000, tmp_path / "silent.wav")
    words = align(silent, "One fish, nine thousand seas", "en")
    assert [word.text for word in words] == ["One", "fish,", "nine", "thousand", "seas"]
    assert [(word.start, word.end) for word in words] == [(0, 0.5), (0.5, 1.333), (1.333, 2), (2, 3.333), (3.333, 4)]


@pytest.mark.parametrize(("text", "shown"), [("… — !", ["…", "—", "!"]), ("  ", []), ("", [])])
def test_a_text_without_words_is_spread_over_the_recording(text: str, shown: list[str], tmp_path: Path) -> None:
    noise = written(np.random.default_rng(7).normal(size=16_000) * 1000, 16_000, tmp_path / "noise.wav")
    words = align(noise, text, "en")
    assert [word.text for word in words] == shown
    assert [word.end for word in words] == pytest.approx([(n + 1) / 3 for n in range(len(shown))], abs=0.001)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seconds=st.floats(0, 3),
    rate=st.sampled_from([8000, 22_050, 24_000]),
    loudness=st.sampled_from([0, 1, 300, 40_000]),
    text=st.sampled_from(
        ["Hm.", "Keep your first guess.", "a b c d e f g h i j k l m n o p q r s t u v w x y z", MOON]
    ),
    seed=st.integers(0, 9),
)
def test_whatever_the_recording_holds_words_follow_one_another_inside_it(
    seconds: float, rate: int, loudness: int, text: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    samples = np.random.default_rng(seed).normal(size=int(seconds * rate)) * loudness
    samples *= np.linspace(0, 1, len(samples)) > seed / 10
    noise = written(samples, rate, tmp_path_factory.mktemp("noise") / "noise.wav")
    words = align(noise, text, "en")
    assert [word.text for word in words] == text.split()
    assert_in_order(words, len(samples) / rate)


def test_a_narrow_search_around_an_even_speed_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, rate, starts = said(COFFEE, "en+m3", 150, 40, tmp_path / "said.wav")
    recording = recorded(samples, rate, tmp_path / "recording.wav")
    everywhere = align(recording, COFFEE, "en")
    monkeypatch.setattr("ytray.studio.providers.align._BAND", 60)  # of some 600 frames
    assert align(recording, COFFEE, "en") == everywhere
    assert_found(everywhere, starts)


def test_half_a_minute_is_aligned_in_little_time_and_memory(tmp_path: Path) -> None:
    text = " ".join([CATS, COFFEE, MOON, CATS])
    samples, rate, starts = said(text, "en+f3", 160, 60, tmp_path / "said.wav")
    assert len(samples) / rate > 28
    recording = recorded(samples, rate, tmp_path / "recording.wav")
    tracemalloc.start()
    try:
        begun = time.process_time()
        words = align(recording, text, "en")
        assert time.process_time() - begun < 3  # on an idle core it is half a second
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert_found(words, starts)


@pytest.mark.parametrize(
    ("channels", "width", "problem"), [(2, 2, "2 channel.* 16 bits"), (1, 1, "1 channel.* 8 bits"), (1, 4, "32 bits")]
)
def test_another_kind_of_wav_file_is_refused_by_name(channels: int, width: int, problem: str, tmp_path: Path) -> None:
    file = written(np.zeros(4000), 16_000, tmp_path / "other.wav", channels, width)
    with pytest.raises(PermanentError, match=rf"other\.wav.*{problem}"):
        align(file, CATS, "en")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 this is an MP3 file, whatever its name says"])
def test_a_file_that_is_no_wav_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes(content)
    with pytest.raises(PermanentError, match=r"other\.wav is not a WAV file of PCM sound: \w+"):
        align(tmp_path / "other.wav", CATS, "en")


def test_a_text_that_cannot_be_read_aloud_is_refused(tmp_path: Path) -> None:
    silent = written(np.zeros(16_000), 16_000, tmp_path / "silent.wav")
    with pytest.raises(PermanentError, match="no voice for the language 'tlh'"):
        align(silent, "nuqneH", "tlh")
