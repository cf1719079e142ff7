"""What can be said of a script: coherence, pacing, emotional arc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ytray.studio.analysis.coherence import coherence
from ytray.studio.analysis.emotion import emotional_arc
from ytray.studio.analysis.hook import hook_score
from ytray.studio.analysis.pacing import pacing
from ytray.studio.model import Scene, Script, Speech
from ytray.studio.providers import writer
from ytray.tasks.generation import generate_hook


def script(*narrations: str, topic: str = "bees") -> Script:
    scenes = [Scene(narration=text, subject=topic, mood="calm") for text in narrations]
    return Script(title="t", topic=topic, language="en", scenes=scenes, provider="test", note="")


BEES = ("Bees collect nectar from flowers.", "Flowers need bees to carry pollen.", "Without bees the flowers die out.")
MIXED = ("Bees collect nectar.", "The stock market fell sharply.", "Volcanoes shaped old islands.")


def test_a_script_about_one_thing_holds_together_better_than_a_mixed_one() -> None:
    one, mixed = coherence(script(*BEES)), coherence(script(*MIXED))
    assert one.score > 0.6
    assert mixed.score < 0.4
    assert len(one.between_scenes) == 2
    assert len(one.with_topic) == 3
    assert mixed.with_topic[0] > 0
    assert mixed.with_topic[1:] == [0, 0]


def test_repeating_a_scene_is_full_similarity_and_one_scene_is_no_error() -> None:
    assert coherence(script(BEES[0], BEES[0])).between_scenes == [pytest.approx(1.0)]
    assert 0 <= coherence(script(BEES[0])).score <= 1


def test_the_topic_can_be_given() -> None:
    assert max(coherence(script(*BEES), topic="volcanoes").with_topic) == 0


@pytest.mark.parametrize("prompt", ["why cats purr", "The history of coffee in three facts"])
def test_the_writers_own_scripts_hold_together(prompt: str) -> None:
    assert coherence(writer().script(prompt, None, 30)).score > 0.4


def test_pacing_is_measured_from_the_narrations() -> None:
    speeches = [Speech(uri="", seconds=seconds, words=[], voice="", provider="") for seconds in (1.0, 2.0, 3.0)]
    found = pacing(script(*BEES), speeches)
    assert found.by_scene == [300.0, 180.0, 120.0]
    assert found.words_per_minute == pytest.approx(17 / 6 * 60, abs=0.1)
    assert found.cuts_per_minute == 20.0
    assert found.in_target
    assert "measured" in found.method


def test_pacing_without_narrations_says_that_it_is_an_estimate() -> None:
    assert "estimated" in pacing(script(*BEES)).method


GLAD, SAD = "What a happy and wonderful day.", "A terrible loss, full of pain."


@pytest.mark.parametrize(
    ("course", "shape"),
    [
        ((SAD, SAD, GLAD, GLAD), "rise"),
        ((GLAD, GLAD, SAD, SAD), "fall"),
        ((GLAD, SAD, SAD, GLAD), "fall, rise"),
        ((SAD, GLAD, GLAD, SAD), "rise, fall"),
        ((SAD, GLAD, GLAD, SAD, SAD, GLAD), "rise, fall, rise"),
        ((GLAD, SAD, SAD, GLAD, GLAD, SAD), "fall, rise, fall"),
    ],
)
def test_the_shape_of_a_story_is_found(course: tuple[str, ...], shape: str) -> None:
    arc = emotional_arc(script(*course))
    assert arc.shape.endswith(f"({shape})")
    assert arc.fit > 0.5
    assert "heuristic" in arc.method
    assert len(arc.valence) == len(course)


def test_a_not_turns_a_word_around() -> None:
    glad, turned = emotional_arc(script("This is happy.", "This is not happy.")).valence
    assert glad > 0 > turned


@pytest.mark.parametrize("texts", [("Chairs stand.",), ("Chairs stand.", "Tables too."), (GLAD,)])
def test_a_script_without_changes_has_no_arc(texts: tuple[str, ...]) -> None:
    assert emotional_arc(script(*texts)).shape.startswith("flat")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Why do cats purr?", "Hello and welcome to this video about the purring of cats."),
        ("Three things your cat hides.", "The domestic cat is a small animal that is kept in many homes."),
        ("Sabías que los gatos te engañan?", "Hola, hoy vamos a hablar de los gatos."),
    ],
)
def test_a_hook_that_asks_counts_or_addresses_scores_higher(better: str, worse: str) -> None:
    assert hook_score(worse) < 0.6 <= hook_score(better) <= 1
    assert hook_score("…") == 0


def test_a_low_hook_is_written_again_and_the_best_is_taken(with_settings: Callable[..., None]) -> None:
    with_settings(hook_threshold=1.0, hook_tries=4)
    hook = generate_hook("Why do cats purr?")
    assert 2 <= len(hook.candidates) <= 4
    assert hook.score == max(candidate.score for candidate in hook.candidates)
    assert hook.text in [candidate.text for candidate in hook.candidates if candidate.score == hook.score]
    with_settings(hook_threshold=0.0)
    assert len(generate_hook("Why do cats purr?").candidates) == 1
