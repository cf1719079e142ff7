"""The offline writer."""

from __future__ import annotations

import pytest

from ytray.errors import PermanentError
from ytray.studio.providers import writer
from ytray.studio.words import words_of

PROMPTS = (
    "why cats purr",
    "Why do cats purr?",
    "The history of coffee in three facts",
    "Warum schnurren Katzen?",
    "Der Wald im Winter",
    "pourquoi le ciel est bleu",
    "El mar de noche",
    "how to fall asleep faster",
    "I love my grandma's garden!",
    "What is Bitcoin? And why should I care?",
    "Black holes explained for kids",
)
BEES = """
Bees are among the most important insects on the planet. A single colony can hold fifty thousand bees in summer. They
visit flowers for nectar, and carry pollen from one flower to the next. Without bees, many plants would bear no fruit.
A bee that finds food dances to tell the others where it is. The dance gives both direction and distance. Bees keep
their hive at thirty five degrees, in winter and in summer. They do it by shivering, and by fanning their wings. A
honey bee makes a twelfth of a teaspoon of honey in her life. People have kept bees for thousands of years. Pesticides
and disease threaten bees today. Anyone can help bees by planting flowers.
"""


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_script_is_as_long_as_asked_and_leaves_no_slot_open(prompt: str) -> None:
    script = writer().script(prompt, None, 30)
    assert 25 <= len(words_of(script.text)) / 2.7 <= 35
    assert not set("{}") & set(script.text)
    assert len(script.scenes) >= 4
    for scene in script.scenes:
        assert scene.narration[0].isupper() or not scene.narration[0].isalpha()
        assert scene.narration.rstrip()[-1] in ".!?…"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_hook_asks_counts_or_speaks_to_the_viewer(prompt: str) -> None:
    hook = writer().hook(prompt, "general", "youtube_shorts").text
    own = {word.lower() for word in words_of(hook)}
    assert "?" in hook or own & {"you", "your", "three", "du", "dir", "drei"}
    assert len(words_of(hook)) <= 24


def test_a_script_opens_with_the_hook_that_it_is_given() -> None:
    assert writer().script("why cats purr", "Listen to this.", 30).scenes[0].narration == "Listen to this."


def test_the_same_prompt_gives_the_same_script_and_another_prompt_another() -> None:
    scripts = [writer().script(prompt, None, 30) for prompt in ("deep sea", "deep sea", "the desert")]
    assert scripts[0] == scripts[1]
    lines = [{scene.narration for scene in script.scenes} for script in scripts]
    assert len(lines[0] & lines[2]) < len(lines[0]) / 2


def test_a_question_without_its_auxiliary_is_asked_grammatically() -> None:
    text = writer().script("why cats purr", None, 30).text
    assert "Do you know why cats purr?" in text
    assert "Do you know" not in writer().script("Why do cats purr?", None, 30).text


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Make a short video about the deep sea", "The deep sea"),
        ("Tell me about black holes", "Black holes"),
        ("The history of coffee in three facts", "The history of coffee"),
        ("5 tips for better sleep", "Better sleep"),
        ("Three reasons to learn chess", "Why you should learn chess"),
        ("sharks 🦈 at night", "Sharks at night"),
    ],
)
def test_what_is_asked_for_is_told_from_how_it_is_asked_for(prompt: str, title: str) -> None:
    assert writer().script(prompt, None, 30).title == title


@pytest.mark.parametrize("seconds", [10, 15, 30, 60])
def test_as_many_looks_are_numbered_as_were_asked_for(seconds: int) -> None:
    script = writer().script("Coffee in two facts", None, seconds)
    starts = [scene.narration.split()[0] for scene in script.scenes]
    assert [start for start in starts if start in ("One.", "Two.", "Three.")] == ["One.", "Two."]
    assert starts[1] == "One."
    assert 0.7 * seconds <= len(words_of(script.text)) / 2.7 <= seconds + 3


def test_a_german_prompt_gets_a_german_script() -> None:
    script = writer().script("Warum schnurren Katzen?", None, 30)
    assert script.language == "de"
    assert "Warum schnurren Katzen?" in script.text
    assert not {"the", "you", "and"} & {word.lower() for word in words_of(script.text)}


def test_a_long_text_is_spoken_in_its_own_sentences_and_order() -> None:
    script = writer().script(BEES, None, 30)
    whole = " ".join(BEES.split())
    spoken = [sentence for scene in script.scenes[1:-1] for sentence in scene.narration.split(". ")]
    places = [whole.find(sentence.rstrip(".")) for sentence in spoken]
    assert -1 not in places
    assert places == sorted(places)
    assert "bees" in script.scenes[0].narration
    assert "own sentences" in script.note


def test_a_script_says_that_it_came_from_templates_and_when_it_is_short() -> None:
    script = writer().script("Le ciel", None, 120)
    assert script.provider == "offline"
    assert "templates" in script.note
    assert "of the 120 s asked for" in script.note


@pytest.mark.parametrize("prompt", ["?!.", "   ", "🦈🦈🦈"])
def test_a_prompt_without_words_is_refused(prompt: str) -> None:
    with pytest.raises(PermanentError, match="no words"):
        writer().hook(prompt, "general", "youtube_shorts")


def test_a_script_that_no_voice_knows_is_refused_by_its_name() -> None:
    with pytest.raises(PermanentError, match="Cyrillic"):
        writer().script("Почему кошки мурлычут", None, 30)
