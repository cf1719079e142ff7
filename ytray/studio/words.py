"""Words, sentences and what language they are in."""

from __future__ import annotations

import re
import unicodedata

from ytray.errors import PermanentError

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")  # "J.", "U.S.", "e.g."

# Words whose full stop ends no sentence, without it.
ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof st sr jr rev hon gen col lt capt sgt gov sen rep pres vs etc no nos vol fig dept est approx inc ltd
    co corp mt ft jan feb mar apr jun jul aug sep sept oct nov dec
    bzw ca nr hr fr hl ing geb gest usw ggf evtl vgl abs art bd jh str tel
    mme mlle mm m av bd env p
    sra srta ud uds núm pág av dra
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
    """The sentences of a text, in order. The full stop of an abbreviation or an initial ends none."""
    found: list[str] = []
    begins = 0
    text = text.strip()
    for end in _SENTENCE_END.finditer(text):
        last = text[: end.start()].rpartition(" ")[2]
        if not abbreviates(last):
            found.append(text[begins : end.end()].strip())
            begins = end.end()
    return [part for part in (*found, text[begins:].strip()) if part]


def abbreviates(word: str) -> bool:
    """Whether the full stop at a word's end is that of an abbreviation or an initial: "Dr.", "J.", "U.S."."""
    bare = word.lstrip("([{\"'“‘«¿¡")
    return bare.endswith(".") and (bare[:-1].casefold() in ABBREVIATIONS or bool(_INITIALS.fullmatch(bare)))


# Small words by which other languages are told from these, since their letters are Latin, too.
_OTHERS: dict[str, frozenset[str]] = {
    "Italian": frozenset(
        "il lo gli i le di del della dei che è sono non perché come cosa quando dove per con una uno fanno".split()
    ),
    "Portuguese": frozenset(
        "o os a as do da dos das que é são não por porque como quando onde para com um uma os em no na".split()
    ),
    "Dutch": frozenset(
        "de het een van en is zijn niet waarom hoe wat wanneer waar met voor op ook maar naar hebben".split()
    ),
    "Polish": frozenset("dlaczego jak co jest są nie się i w na z do to czy kiedy gdzie dla o od po jakie".split()),
    "Turkish": frozenset("neden nasıl ne bir ve bu için ile mı mi mu mü değil çok niçin nedir olan kim".split()),
    "Vietnamese": frozenset("tại sao là của và không có những các một được cho như thế nào với khi gì mèo".split()),
    "Swedish": frozenset("varför hur vad är och att det en ett som på inte när var för med av".split()),
    "Danish or Norwegian": frozenset(
        "hvorfor hvordan hva hvad er og at det en et som på ikke når hvor for med av af".split()
    ),
    "Finnish": frozenset("miksi miten mitä on ja ei se että kun missä kuka ovat oli mutta tai".split()),
    "Czech": frozenset("proč jak co je jsou a že se na v kdy kde pro s z není nebo když".split()),
    "Hungarian": frozenset("miért hogyan mi a az és van nem egy hogy mikor hol is meg".split()),
    "Romanian": frozenset("de ce cum este sunt și nu că în la cu pe un o când unde pentru din".split()),
    "Indonesian": frozenset("mengapa kenapa bagaimana apa adalah dan yang di tidak untuk dengan ini itu dari".split()),
}
_LETTERS = {
    "Portuguese": "ãõ",
    "Polish": "łąęśćńźż",
    "Turkish": "ığş",
    "Vietnamese": "ăđơưạảấầậắằặẻẽẹếềểễệỉịọỏốồổộớờởợụủứừửữựỳỷỹỵ",
}
_LETTERS |= {"Swedish": "å", "Danish or Norwegian": "øå", "Czech": "řěůčš", "Hungarian": "őű", "Romanian": "șță"}


def language_of(text: str) -> str:
    """en, de, fr or es: the one whose small words the text uses most; English when none stands out."""
    hits = _hits(text)
    best = max(hits, key=lambda language: (hits[language], language == "en"))
    return best if hits[best] > hits["en"] else "en"


def check_language(text: str) -> None:
    """Raise PermanentError for a text that is clearly in a language that is not known here, though its script is."""
    words = [word.casefold() for word in words_of(text)]
    letters = set(text.casefold())
    others = {
        # A long word is a clear sign, and so is a letter of its own; one short word is none: "sushi e sake".
        name: sum((1 if len(word) < 5 else 2) for word in words if word in small)
        + 2 * bool(letters & set(_LETTERS.get(name, "")))
        for name, small in _OTHERS.items()
    }
    name = max(others, key=lambda language: others[language])
    if others[name] > max(1, *_hits(text).values()):
        raise PermanentError(
            f"the offline writer knows English, German, French and Spanish, and the language of {text[:40]!r} looks like "
            f"{name}; write the prompt in one of these, or choose another provider"
        )


def _hits(text: str) -> dict[str, int]:
    words = [word.lower() for word in words_of(text)]
    return {language: sum(word in known for word in words) for language, known in STOPWORDS.items()}


def keywords_of(text: str, most: int) -> list[str]:
    """The words that carry the meaning, in the order in which they come."""
    small = STOPWORDS[language_of(text)] | STOPWORDS["en"]
    found: dict[str, str] = {}
    for word in words_of(text):
        if len(word) > 2 and word.lower() not in small and not word.isdigit():
            found.setdefault(word.lower(), word)
    return list(found.values())[:most]
