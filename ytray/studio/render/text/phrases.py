"""Where a text may be broken: between words by what reads well, and within the long runs of scripts without spaces."""

from __future__ import annotations

import unicodedata
from itertools import accumulate, pairwise

from ytray.studio.model import Word
from ytray.studio.render.text.characters import clusters, columns, is_unspaced
from ytray.studio.words import abbreviates

# What a break after a word costs, by trial. A caption costs as much as _PLAIN (captions.py), so that two short phrases
# stay together rather than stand apart.
SENTENCE, CLAUSE, BEFORE_SMALL, PLAIN, WITHIN, AFTER_SMALL = 0.0, 1.0, 2.5, 4.0, 5.0, 7.0

_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？؟।．", ",;:—–、，；：،؛"
_CLOSING = "\"'”’»)]}」』）】》〉"
_OPENING = "「『（【《〈“‘«([{"
# Conjunctions, prepositions, articles and short pronouns: they belong to what follows.
_SMALL = frozenset(
    """
    a an and are as at be but by can for from he how i if in into is it its my no nor not of on or our she so than that
    the their then they this to was we were what when where which while who why with without you your
    aber als am an auf aus bei bis da das dass dem den der des die du ein eine einem einen einer er es für ich ihr im in
    ist mit nach noch nur ob oder ohne sein seit sich sie sind so über um und unter vom von vor was wenn wer wie wir wo
    zu zum zur
    au aux avec ce ces cette chez dans de des donc du elle elles en est et eux il ils je la le les leur mais ne ni nos
    nous on ou où par pas pour qu que quand qui sa sans se ses son sont sous sur tu un une vous
    al como con cuando de del desde donde el ella ellos en entre es esta este hasta la las lo los más ni o para pero por
    porque que se si sin sobre su sus un una y yo
    ai alla che chi ci col come con da dal della dei di e gli ha il io le loro ma nel nella non per più se sono su tra
    ao as com da das do dos e ela ele em eu mas na nas no nos o os ou para pela pelo por que são se sem seu sua um uma
    в во и из за к на не но о об от по с со что это я мы он она они
    """.split()
)
_LONGEST_PIECE = 14  # columns: seven Chinese characters, a line on a phone
_LONGEST_RUN = 28  # columns of a run of letters, such as an address
_SHORT_RUN = 8  # columns: left whole


def break_cost(before: str, after: str) -> float:
    """How badly a break between two neighbouring words reads: from SENTENCE, not at all, to AFTER_SMALL."""
    if ends_sentence(before, after):
        return SENTENCE
    if ends_clause(before):
        return CLAUSE
    if _bare(before) in _SMALL:
        return AFTER_SMALL
    return BEFORE_SMALL if _bare(after) in _SMALL else PLAIN


def ends_sentence(word: str, following: str = "") -> bool:
    """Whether a sentence ends with the word, as far as it and what follows tell."""
    core = word.rstrip(_CLOSING)
    return core.endswith(tuple(_SENTENCE_ENDS)) and not abbreviates(core, following)


def ends_clause(word: str) -> bool:
    """Whether a part of a sentence ends with the word: at a comma, colon or dash."""
    return word.rstrip(_CLOSING).endswith(tuple(_CLAUSE_ENDS))


def _bare(word: str) -> str:
    return word.strip(_SENTENCE_ENDS + _CLAUSE_ENDS + _CLOSING + _OPENING).casefold()


def pieces_of(word: Word, longest: int) -> list[Word]:
    """A word that is a run of a script without spaces, or longer than `longest` columns, in pieces that can be broken.

    The pieces share its time by their characters.
    """
    length = columns(word.text)
    unspaced = any(is_unspaced(char) for char in word.text)
    if length <= (_SHORT_RUN if unspaced else longest):
        return [word]
    texts = _divided(list(clusters(word.text)), _LONGEST_PIECE if unspaced else _LONGEST_RUN)
    weights = [sum(0.5 if _is_mark(char) else 1.0 for char in text) for text in texts]
    ends = [word.start + (word.end - word.start) * share / sum(weights) for share in accumulate(weights)]
    bounds = [word.start, *ends[:-1], word.end]
    return [Word(text=text, start=start, end=end) for text, (start, end) in zip(texts, pairwise(bounds), strict=True)]


def _divided(characters: list[str], longest: int) -> list[str]:
    """Characters in pieces: after punctuation, where a Japanese word begins, else evenly."""
    phrases: list[list[str]] = [[]]
    for place, char in enumerate(characters):
        before = characters[place - 1] if place else ""
        if before and _may_part(before, char) and _begins(before, char) and (len(phrases[-1]) > 1 or _is_mark(before)):
            phrases.append([])
        phrases[-1].append(char)
    if len(phrases) > 1 and len(phrases[-1]) == 1 and not _is_mark(phrases[-2][-1]):
        phrases[-2] += phrases.pop()
    return ["".join(piece) for phrase in phrases for piece in _evenly(phrase, longest)]


def _evenly(phrase: list[str], longest: int) -> list[list[str]]:
    number = -(-sum(map(columns, phrase)) // longest)
    found: list[list[str]] = []
    begin = 0
    for part in range(1, number + 1):
        end = round(len(phrase) * part / number)
        while begin < end < len(phrase) and not _may_part(phrase[end - 1], phrase[end]):
            end -= 1
        if end > begin:
            found.append(phrase[begin:end])
            begin = end
    return found


def _may_part(before: str, after: str) -> bool:
    """Whether a line may break between two characters: closing marks stay behind, small kana and vowel signs too."""
    return not (
        before[-1] in _OPENING
        or after[0]
        in _SENTENCE_ENDS + _CLAUSE_ENDS + _CLOSING + "・ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"
        or "\u0e40" <= before[0] <= "\u0e44"  # Thai vowels that are written before their consonant
        or after[0] in "\u0e2f\u0e30\u0e32\u0e33\u0e45\u0e46"
    )


def _begins(before: str, after: str) -> bool:
    """Whether something begins with `after`: what follows a mark, another script, a Japanese word after its ending."""
    if _is_mark(before) or after[0] in _OPENING:
        return True
    kinds = [unicodedata.name(char[0], "").partition(" ")[0] for char in (before, after)]
    if kinds[0] == "HIRAGANA":
        return kinds[1] != "HIRAGANA"
    return is_unspaced(before[0]) != is_unspaced(after[0]) and kinds[1] != "KATAKANA-HIRAGANA"


def _is_mark(char: str) -> bool:
    return char[0] in _SENTENCE_ENDS + _CLAUSE_ENDS + _CLOSING + "/"
