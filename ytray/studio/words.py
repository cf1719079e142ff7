"""Words, sentences and what language they are in."""

from __future__ import annotations

import re
import unicodedata

from ytray.errors import PermanentError

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")

STOPWORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        """
        a about above after again all also am an and any are as at be because been before being below between
        both but by can could did do does doing down during each few for from further get had has have having
        he her here hers him his how i if in into is it its just let like made make many me more most much my
        never new no nor not now of off on once one only or other our out over own really same she should so
        some such than that the their them then there these they thing things this those three through to too
        two under until up us very was we were what when where which while who whom why will with without
        would you your every five four ten explain tell show video facts fact story history reasons ways tips
        """.split()
    ),
    "de": frozenset(
        """
        der die das den dem des ein eine einen einem einer und oder aber ist sind war waren wird werden wie
        was warum wer wo nicht kein keine mit von zu im in am an auf für über unter aus bei nach vor durch als
        auch es er sie wir ihr ich du man sich so dass wenn weil nur noch schon sehr mehr
        """.split()
    ),
    "fr": frozenset(
        """
        le la les un une des du de et ou mais est sont était pas ne que qui quoi pourquoi comment dans sur
        sous avec sans pour par en au aux ce cette ces il elle nous vous ils elles on se plus très tout toute
        """.split()
    ),
    "es": frozenset(
        """
        el la los las un una unos unas y o pero es son era no que quien por qué cómo en sobre con sin para del
        de al este esta estos se más muy todo toda lo su sus como cuando donde
        """.split()
    ),
}


def words_of(text: str) -> list[str]:
    """The words of a text, in order, without punctuation."""
    return _WORD.findall(text)


def check_script(text: str) -> None:
    """Raise PermanentError when most letters of a text are not Latin: no language known here is written so."""
    letters = [char for char in text if char.isalpha()]
    foreign = [char for char in letters if not unicodedata.name(char, "").startswith("LATIN")]
    if len(foreign) * 2 > len(letters):
        script = unicodedata.name(foreign[0], "another").split()[0].capitalize()
        raise PermanentError(
            f"the offline provider knows English, German, French and Spanish, and {text[:40]!r} is written in {script} "
            "script; give it a text in Latin script"
        )


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, in order."""
    return [part.strip() for part in _SENTENCE_END.split(text.strip()) if part.strip()]


def language_of(text: str) -> str:
    """en, de, fr or es: the one whose small words the text uses most; English when none stands out."""
    words = [word.lower() for word in words_of(text)]
    hits = {language: sum(word in known for word in words) for language, known in STOPWORDS.items()}
    best = max(hits, key=lambda language: (hits[language], language == "en"))
    return best if hits[best] > hits["en"] else "en"


def keywords_of(text: str, most: int) -> list[str]:
    """The words that carry the meaning, in the order in which they come."""
    small = STOPWORDS[language_of(text)] | STOPWORDS["en"]
    found: dict[str, str] = {}
    for word in words_of(text):
        if len(word) > 2 and word.lower() not in small and not word.isdigit():
            found.setdefault(word.lower(), word)
    return list(found.values())[:most]
