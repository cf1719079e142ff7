"""Words, sentences and what language they are in."""

from __future__ import annotations

import re
import unicodedata

from ytray.errors import PermanentError

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


# Small words that tell other languages from these, since their letters are Latin, too.
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
    "Croatian, Serbian or Bosnian": frozenset(
        "zašto kako što šta kada gdje gde koji koja je su nije i u na za od se da ili ima".split()
    ),
    "Slovak": frozenset("prečo ako čo kedy kde ktorý je sú nie a v na sa že pre od alebo má".split()),
    "Slovenian": frozenset("zakaj kako kaj kdaj kje kateri je so ni in v na za od se da ali ima".split()),
    "Estonian": frozenset("miks kuidas mida millal kus kes on ja ei et see või kui mis".split()),
    "Latvian": frozenset("kāpēc kā kas kad kur kurš ir un nav ar uz par no vai".split()),
    "Lithuanian": frozenset("kodėl kaip kas kada kur kuris yra ir nėra su į apie iš ar".split()),
    "Icelandic": frozenset("hvers vegna hvernig hvað hvenær hvar hver er og ekki að í á til með".split()),
    "Catalan": frozenset("per què com quan on qui és i no els les amb sense del una aquest".split()),
    "Afrikaans": frozenset("waarom hoekom hoe wanneer waar wie is en nie die van vir met jou".split()),
    "Swahili": frozenset("kwa nini jinsi gani lini wapi nani ni na ya wa katika kwamba".split()),
    "Filipino": frozenset("bakit paano ano kailan saan sino ang mga ng sa ay hindi at na".split()),
    "Welsh": frozenset("pam sut beth pryd ble pwy mae yn ac nid gyda dros".split()),
    "Irish": frozenset("cén fáth conas cad cathain cá cé tá agus níl an na le".split()),
    "Basque": frozenset("zergatik nola zer noiz non nor da dira ez eta bat".split()),
    "Albanian": frozenset("pse si çfarë kur ku kush është janë nuk dhe për me një".split()),
    "Indonesian": frozenset("mengapa kenapa bagaimana apa adalah dan yang di tidak untuk dengan ini itu dari".split()),
}
_CLEAR = frozenset("miks bakit mga kwa nini hvad hvor kaj pse jak proč".split())  # short, and signs all the same
_LETTERS = {
    "Portuguese": "ãõ",
    "Polish": "łąęśćńźż",
    "Turkish": "ığş",
    "Vietnamese": "ăđơưạảấầậắằặẻẽẹếềểễệỉịọỏốồổộớờởợụủứừửữựỳỷỹỵ",
}
_LETTERS |= {"Swedish": "å", "Danish or Norwegian": "øå", "Czech": "řěů", "Hungarian": "őű", "Romanian": "șță"}
_LETTERS |= {"Croatian, Serbian or Bosnian": "đ", "Slovak": "ľĺŕ", "Latvian": "ķļņģ", "Lithuanian": "ėįų"}
_LETTERS |= {"Icelandic": "þð", "Estonian": "õ"}


def language_of(text: str) -> str:
    """en, de, fr or es: the one whose small words the text uses most; English when none stands out."""
    hits = _hits(text)
    best = max(hits, key=lambda language: (hits[language], language == "en"))
    return best if hits[best] > hits["en"] else "en"


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
    words = [word.casefold() for word in words_of(text)]
    letters = {char for word in words_of(text) if word[0].islower() for char in word}  # those of names tell little
    others = {
        # A long word is a clear sign, and so is a letter of its own; one short word is none: "sushi e sake".
        name: sum((1 if len(word) < 5 and word not in _CLEAR else 2) for word in words if word in small)
        + 2 * bool(letters & set(_LETTERS.get(name, "")))
        for name, small in _OTHERS.items()
    }
    name = max(others, key=lambda language: others[language])
    return name if others[name] > max(1, *_hits(text).values()) else None


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
