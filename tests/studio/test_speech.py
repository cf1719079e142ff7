"""The offline narrator."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.studio.conftest import SENTENCES
from tests.studio.measure import samples
from ytray.errors import PermanentError
from ytray.studio.analysis.pacing import pacing
from ytray.studio.model import Speech
from ytray.studio.providers import speaker, writer
from ytray.studio.providers.protocols import Spoken

NUMBERS = "In 1969, 3 people flew 384,400 km; it's state-of-the-art, for $5 & more of NASA's money."


def test_word_times_increase_and_end_with_the_sound(narrations: list[tuple[Path, Spoken]]) -> None:
    for wav, spoken in narrations:
        length = len(samples(wav)) / 16_000
        assert spoken.seconds == pytest.approx(length, abs=0.01)
        assert all(word.start < word.end for word in spoken.words)
        assert all(before.end <= after.start + 1e-9 for before, after in pairwise(spoken.words))
        assert spoken.words[0].start < 0.5
        assert length - 0.6 < spoken.words[-1].end <= length


def test_there_is_sound_while_words_are_spoken_and_no_click_at_the_end(
    narrations: list[tuple[Path, Spoken]],
) -> None:
    for wav, spoken in narrations:
        sound = np.abs(samples(wav).astype(np.int32))
        for word in spoken.words:
            assert sound[int(word.start * 16_000) : int(word.end * 16_000)].max() > 500, word.text
        assert sound[-160:].max() < 200


def test_a_text_sounds_the_same_whenever_it_is_spoken(narrations: list[tuple[Path, Spoken]], tmp_path: Path) -> None:
    # The others were made at the beginning of the session: espeak seeds itself by the clock unless it is told.
    for place, (wav, spoken) in enumerate(narrations):
        again = tmp_path / f"{place}.wav"
        assert speaker().speak(SENTENCES[place], "en", again) == spoken
        assert again.read_bytes() == wav.read_bytes()


def test_numbers_and_signs_keep_every_word_in_its_place(tmp_path: Path) -> None:
    spoken = speaker().speak(NUMBERS, "en", tmp_path / "n.wav")
    assert " ".join(word.text for word in spoken.words) == NUMBERS
    length = {word.text: word.end - word.start for word in spoken.words}
    assert length["384,400"] > 3 * length["people"]  # three hundred eighty-four thousand four hundred
    assert all(before.end <= after.start + 1e-9 for before, after in pairwise(spoken.words))


@pytest.mark.parametrize("prompt", ["why cats purr", "The history of coffee in three facts", "Warum schnurren Katzen?"])
def test_a_script_is_spoken_at_150_to_190_words_a_minute(prompt: str, tmp_path: Path) -> None:
    script = writer().script(prompt, None, 20)
    speeches = []
    for place, scene in enumerate(script.scenes):
        spoken = speaker().speak(scene.narration, script.language, tmp_path / f"{place}.wav")
        speeches.append(
            Speech(uri="", seconds=spoken.seconds, words=spoken.words, voice=spoken.voice, provider="offline")
        )
    measured = pacing(script, speeches)
    assert 150 <= measured.words_per_minute <= 190
    assert measured.in_target


@pytest.mark.parametrize(
    ("text", "problem"), [("…", "nothing to speak"), ("猫はなぜ喉を鳴らすのか", "does not know .*name the language")]
)
def test_what_cannot_be_spoken_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=problem):
        speaker().speak(text, "en", tmp_path / "s.wav")
    assert list(tmp_path.iterdir()) == []
