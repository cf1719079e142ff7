"""Sentences end where they end, and each language is spoken by its own voice or refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ytray.errors import PermanentError
from ytray.studio.providers.offline_speech import OfflineSpeech
from ytray.studio.providers.offline_text import OfflineText
from ytray.studio.providers.reading import read
from ytray.studio.words import keywords_of, sentences_of
from ytray.tasks.media import generate_audio_tts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Who was Dr. King? He was a pastor.", 2),
        ("The U.S. dollar is strong.", 1),
        ("He lives in the U.S. He likes it.", 2),
        ("J. R. R. Tolkien wrote it. Then he slept.", 2),
        ("Take Plan B. It works.", 2),
        ("Wer war Dr. Oetker? Ein Bäcker, z. B. von Kuchen.", 2),
        ("Am 3. Oktober spielte der 1. FC Köln. Ludwig XIV. war nicht da.", 2),
        ("It costs $3. Five more cost 5.99 in all.", 2),
        ("It ended. Nobody knew why!", 2),
        ("Fruit, e.g. apples, pears, etc. They are good.", 2),
        ("No. 5 is alive. She said no. Then she left.", 3),
        ("He came at 5 p.m. and left. Ph.D. students stayed.", 2),
        ("Wait... what? And then… nothing.", 2),
        ('He said "Go!" and left. Yahoo! is old.', 2),
        ("Visit https://x.org/a.b?c=d. Then read www.x.org today.", 2),
        ("EE. UU. es grande. El Sr. López lo sabe.", 2),
        ("it is all small. even so, it ends.", 2),
        ("I like phones. iPhone is one.", 2),
        ("猫は眠る。犬は走る！誰？", 3),
        ("बिल्ली सोती है। कुत्ता दौड़ता है।", 2),
        ("Привет, т. е. да. Конец.", 2),
    ],
)
def test_a_sentence_ends_where_it_ends(text: str, sentences: int) -> None:
    assert len(sentences_of(text)) == sentences


@pytest.mark.parametrize(
    "prompt", ["Who was Dr. Martin Luther King?", "Wer war Dr. Oetker?", "Why is the U.S. so big?", "What is A.I.?"]
)
def test_a_question_with_an_abbreviation_is_one_question_with_its_whole_title(prompt: str) -> None:
    assert read(prompt).kind == "question"
    assert OfflineText().script(prompt, None, 15).title == prompt


def test_an_abbreviation_at_the_end_of_a_topic_keeps_its_full_stop() -> None:
    script = OfflineText().script("Life in the U.S.", None, 15)
    assert script.title == "Life in the U.S."
    assert ".." not in script.text


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Perché i gatti fanno le fusa?", "Italian"),
        ("Por que os gatos ronronam?", "Portuguese"),
        ("Dlaczego koty mruczą?", "Polish"),
        ("Kediler neden mırlar?", "Turkish"),
        ("Tại sao mèo kêu gừ gừ?", "Vietnamese"),
        ("Waarom spinnen katten?", "Dutch"),
        ("Varför spinner katter?", "Swedish"),
        ("Proč kočky předou?", "Czech"),
        ("Zašto mačke predu?", "Croatian"),
        ("Prečo mačky pradú?", "Slovak"),
        ("Miks kassid nurruvad?", "Estonian"),
        ("Hvers vegna mala kettir?", "Icelandic"),
        ("Per què ronronegen els gats?", "Catalan"),
        ("Bakit umuungol ang mga pusa?", "Filipino"),
        ("De ce torc pisicile?", "Romanian"),
        ("Cum se nasc găurile negre?", "Romanian"),
        ("Trys faktai apie ugnikalnius", "Lithuanian"),
        ("Kā rodas melnie caurumi?", "Latvian"),
        ("Hvordan lagrer et batteri energi?", "Danish or Norwegian"),
        ("Kahvin historia ja tulevaisuus", "Finnish"),
        ("TRE FATTI SUI VULCANI", "Italian"),
    ],
)
def test_a_language_that_the_writer_does_not_know_is_refused_by_name(prompt: str, language: str) -> None:
    with pytest.raises(PermanentError, match=f"looks like {language}"):
        OfflineText().script(prompt, None, 15)


@pytest.mark.parametrize(
    "prompt",
    [
        *("AI", "5G", "C#", "Sushi e sake", "Sushi e sake in Tokyo", "Mona Lisa", "Pizza Margherita", "São Paulo"),
        *("quantum computing", "kimchi fermentation process", "Hakuna Matata", "Leonardo da Vinci", "Taj Mahal facts"),
        *("¿Por qué ronronean los gatos?", "L'histoire du café", "La historia del café", "Drei Fakten über Vulkane"),
    ],
)
def test_what_only_sounds_foreign_is_a_prompt(prompt: str) -> None:
    assert OfflineText().script(prompt, None, 15).scenes


def test_short_words_that_carry_meaning_are_keywords() -> None:
    assert keywords_of("How AI and 5G change 中国 on it", 9) == ["AI", "5G", "change", "中国"]


@pytest.mark.parametrize(
    ("language", "voice", "text"),
    [
        ("it", "it", "Perché i gatti"),
        ("ru", "ru", "Почему кошки"),
        ("EN", "en-us", "Why cats"),
        ("en-GB", "en", "Why cats"),
        ("pt_BR", "pt-br", "Por que os gatos"),
        ("zh-TW", "cmn", "猫睡觉"),
        ("zh-HK", "yue", "猫"),
        ("sr-Latn", "sr", "mačka spava"),
        ("no", "nb", "Hvorfor katter"),
        ("he", "he", "שלום עולם"),
        ("ar-EG", "ar", "مرحبا بالعالم"),
        ("it", "it", "🎉 Perché 😀 gatti"),
    ],
)
def test_a_voice_of_its_own_speaks_each_language(language: str, voice: str, text: str, tmp_path: Path) -> None:
    spoken = OfflineSpeech().speak(text, language, tmp_path / "s.wav")
    assert spoken.voice == f"{voice}+f2"
    assert " ".join(word.text for word in spoken.words) == text
    assert spoken.seconds > 0.3


@pytest.mark.parametrize("language", ["tlh", "english", "", "xx-XX", "../en"])
def test_a_language_without_a_voice_is_refused_by_name(language: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=f"no voice for the language '{language}'"):
        OfflineSpeech().speak("nuqneH", language, tmp_path / "s.wav")


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("it", "Почему кошки", "voice it.f2 cannot read 'Почему кошки'"),
        ("ja", "猫は眠る", "does not know '猫眠'; write it in kana"),
        ("en", "猫は眠る", "voice en-us.f2 cannot read"),
    ],
)
def test_a_voice_does_not_spell_letters_that_it_cannot_read(
    language: str, text: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match=told):
        OfflineSpeech().speak(text, language, tmp_path / "s.wav")


def test_a_text_tells_in_which_language_it_is_spoken(home: Path) -> None:
    assert home.is_dir()
    assert generate_audio_tts(text="Warum schnurren die Katzen?").voice == "de+f2"
    with pytest.raises(PermanentError, match="looks like Polish: say in which language it is spoken"):
        generate_audio_tts(text="Dlaczego koty mruczą?")
