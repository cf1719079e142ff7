"""Words, sentences and what language they are in."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from ytray.errors import PermanentError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# What closes a sentence, with what closes a quotation behind it; where words have no spaces, none stands behind it.
_ENDS = re.compile(r"(?:[.!?…؟۔।॥։።។။]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』）】》〉”’\"]*)\s*")
_INITIALS = re.compile(r"(?:[^\W\d_]{1,3}\.){2,}|[^\W\d_]\.|([A-ZÀ-Þ])\1\.")  # "U.S.", "Ph.D.", "J.", "EE."
_NUMBER = re.compile(r"(?:\d|[IVXLC]+\b)")
_ORDINAL = re.compile(r"\d{1,2}\.|[IVXLC]+\.")

# Words whose full stop ends no sentence, without it: titles, and what leads on.
_LEADING = frozenset(
    """
    mr mrs ms dr prof messrs vs e.g i.e cf viz bzw hr fr z.b d.h u.a evtl ggf vgl sog geb
    mme mlle mgr p.ex m sra srta ud uds núm dra p.ej
    """.split()
)
# Those that may end one, too: the next word tells.
_TRAILING = frozenset(
    """
    jr sr etc inc ltd co corp bros dept usw min max sec hrs ave blvd abs str st rev hon gen col lt capt sgt gov sen rep
    pres mt ft approx al ca ing dipl med phil jur rer nat gest inkl bspw env est av
    """.split()
)
# Those that are only one before a number.
_COUNTED = frozenset(
    """
    no nos vol vols fig figs ch art arts para p pp ed eds chap nr bd jh abs s tel kap abb tab num pag
    jan feb mar apr jun jul aug sep sept oct nov dec
    """.split()
)

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


def is_latin(letter: str) -> bool:
    """Whether a letter is one of the Latin script."""
    return unicodedata.name(letter, "").startswith("LATIN")


def check_script(text: str) -> None:
    """Raise PermanentError when most letters of a text are not Latin: no language known here is written so."""
    letters = [char for char in text if char.isalpha()]
    foreign = [char for char in letters if not is_latin(char)]
    if len(foreign) * 2 > len(letters):
        script = unicodedata.name(foreign[0], "another").split()[0].capitalize()
        raise PermanentError(
            f"the offline provider knows English, German, French and Spanish, and {text[:40]!r} is written in {script} "
            "script; give it a text in Latin script"
        )


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, in order.

    The full stop of an abbreviation, an initial or an ordinal ends none, nor does what a small letter follows.
    """
    found: list[str] = []
    begins = 0
    text = text.strip()
    is_german = language_of(text) == "de"
    has_capitals = text[:1] != text[:1].lower()
    for end in _ENDS.finditer(text):
        following = text[end.end() :]
        if not following or (has_capitals and _goes_on(following)):
            continue
        last = text[begins : end.start() + 1].rpartition(" ")[2]
        is_ordinal = bool(_ORDINAL.fullmatch(last)) and (is_german or last == text[begins : end.start() + 1])
        if end.group().rstrip() == "." and (
            (is_ordinal and not _may_begin(following)) or abbreviates(last, following) or _is_pair(text, end)
        ):
            continue
        found.append(text[begins : end.end()].strip())
        begins = end.end()
    return [part for part in (*found, text[begins:].strip()) if part]


def abbreviates(word: str, following: str = "") -> bool:
    """Whether the full stop at a word's end is that of an abbreviation or an initial: "Dr.", "J.", "U.S.".

    What follows, where it is known, tells those from words that end a sentence: "No. 5", "in the U.S. He …".
    """
    bare = word.lstrip("([{\"'“‘«¿¡")
    if not bare.endswith("."):
        return False
    known = bare[:-1].casefold()
    if known in _LEADING:
        return True
    if known in _COUNTED:
        return bool(_NUMBER.match(following))
    return (known in _TRAILING or bool(_INITIALS.fullmatch(bare))) and not _may_begin(following)


def without_end(text: str) -> str:
    """A text without the marks that end it; the full stop of an abbreviation stays: "Life in the U.S."."""
    bare = text.rstrip("?!.… ")
    last = bare.rpartition(" ")[2] + "."
    return (
        f"{bare}." if text[len(bare) :].startswith(".") and (abbreviates(last) or _INITIALS.fullmatch(last)) else bare
    )


def _goes_on(following: str) -> bool:
    """Whether a sentence goes on with what follows a full stop: in small letters, but for "iPhone" and "eBay"."""
    first = following.lstrip("\"'“‘«([{¿¡").partition(" ")[0]
    return first[:1].islower() and first == first.lower()


def _may_begin(following: str) -> bool:
    """Whether what follows looks like the beginning of a sentence: a small word with a capital."""
    first = _WORD.search(following)
    return (
        first is not None and first[0][:1].isupper() and any(first[0].lower() in small for small in STOPWORDS.values())
    )


def _is_pair(text: str, end: re.Match[str]) -> bool:
    """Whether the full stop is that of an abbreviation in two parts: "z. B.", "i. e."."""
    last = "".join(text[: end.start() + 1].rsplit(" ", 2)[-2:])
    return last.count(".") == 2 and last[:-1].casefold() in _LEADING


# Languages that py3langid tells apart and that are written in Latin letters.
_NAMES = {
    **{"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese"},
    **{"nl": "Dutch", "ro": "Romanian", "pl": "Polish", "cs": "Czech", "sk": "Slovak", "hu": "Hungarian"},
    **{
        "sv": "Swedish",
        "da": "Danish or Norwegian",
        "no": "Danish or Norwegian",
        "fi": "Finnish",
        "is": "Icelandic",
        "tr": "Turkish",
    },
    **{"vi": "Vietnamese", "hr": "Croatian, Serbian or Bosnian", "sl": "Slovenian", "et": "Estonian"},
    **{"lv": "Latvian", "lt": "Lithuanian", "id": "Indonesian", "ca": "Catalan", "sw": "Swahili", "ga": "Irish"},
    **{"eu": "Basque", "af": "Afrikaans", "cy": "Welsh", "sq": "Albanian", "tl": "Filipino"},
}
_FEW_LETTERS = 14  # that may be loanwords: "sushi e sake"
_READ = 2000  # characters, of a long text
# By how much more likely, as a logarithm, another language must be: English texts are full of foreign words.
_THAN_ENGLISH, _PER_ENGLISH_WORD, _THAN_OTHERS = 10.0, 12.0, 1.5


def language_of(text: str) -> str:
    """en, de, fr or es: the one whose small words the text uses most; English when none stands out."""
    hits = _hits(text)
    best = [language for language, count in hits.items() if count == max(hits.values())]
    if "en" in best or len(best) == 1:
        return "en" if "en" in best else best[0]
    likely = _likeness(text)
    return max(best, key=lambda language: likely[language])


def check_language(text: str) -> None:
    """Raise PermanentError for a text that is clearly in a language that is not known here, though its script is."""
    if name := _other_language(text):
        raise PermanentError(
            f"the offline writer knows English, German, French and Spanish, and the language of {text[:40]!r} looks like "
            f"{name}; write the prompt in one of these, or choose another provider"
        )


def spoken_language(text: str) -> str:
    """The language in which a text is to be spoken where nobody has said so: en, de, fr or es.

    Raises PermanentError for one that is clearly in another, or in another script.
    """
    letters = [char for char in text if char.isalpha()]
    name = _other_language(text)
    if name or sum(map(is_latin, letters)) * 2 < len(letters):
        looks = f"{text[:40]!r} looks like {name or 'another language than English, German, French and Spanish'}"
        raise PermanentError(f"{looks}: say in which language it is spoken, as in language='it'")
    return language_of(text)


def _other_language(text: str) -> str | None:
    """The name of the language that a text is clearly in, where it is none that is known here. Names tell nothing."""
    is_plain = text.isupper() or any(len(word) > 2 and word[0].islower() for word in words_of(text))
    if not is_plain or (text.isascii() and sum(map(str.isalpha, text)) < _FEW_LETTERS):
        return None
    likely = _likeness(text)
    best = max(likely, key=lambda language: likely[language])
    english = _THAN_ENGLISH + _PER_ENGLISH_WORD * _hits(text)["en"]
    others = max(likely[language] for language in STOPWORDS if language != "en")
    is_clear = likely[best] - likely["en"] > english and likely[best] - others > _THAN_OTHERS
    return _NAMES[best] if is_clear else None


def _likeness(text: str) -> dict[str, float]:
    """How likely a text is in each language, as logarithms."""
    return dict(_languages().rank(text[:_READ].casefold()))


@cache
def _languages() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second, which commands do without

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    model.set_languages(list(_NAMES))
    return model


def _hits(text: str) -> dict[str, int]:
    words = [word.lower() for word in words_of(text)]
    return {language: sum(word in known for word in words) for language, known in STOPWORDS.items()}


def carries(word: str) -> bool:
    """Whether a word is long enough to carry meaning.

    Three letters are, two capitals or figures ("AI", "5G"), and two signs of Chinese, Japanese or Korean.
    """
    if word.isdigit():
        return False
    return len(word) > 2 or (len(word) == 2 and (word == word.upper() or _is_dense(word)))


def _is_dense(word: str) -> bool:
    return any(unicodedata.name(char, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL")) for char in word)


def keywords_of(text: str, most: int) -> list[str]:
    """The words that carry the meaning, in the order in which they come."""
    small = STOPWORDS[language_of(text)] | STOPWORDS["en"]
    found: dict[str, str] = {}
    for word in words_of(text):
        if carries(word) and word.lower() not in small:
            found.setdefault(word.lower(), word)
    return list(found.values())[:most]
