"""The emotional arc of a script: the valence of its sentences, and the nearest of six basic story shapes.

The six shapes are those that Reagan and others (2016) found in whole books; matched to a script of 150 words they are a
heuristic and no more.
"""

from __future__ import annotations

import numpy as np

from ytray.studio.model import EmotionalArc, Script
from ytray.studio.words import sentences_of, words_of

_GOOD = frozenset(
    """love loved loves loving happy happiness joy joyful smile smiles laugh laughing fun good great best better beautiful
    beauty bright brave calm care caring celebrate charm cheer clear comfort cosy cozy create curious dear delight dream
    dreams easy enjoy excellent excited exciting fair faith famous fantastic fascinating favourite favorite fine free
    freedom fresh friend friendly friends gentle gift glad glory gold golden grace grateful grow growing healthy heart
    heaven help helpful hero home honest honour hope hopeful hug ideal important improve incredible inspire interesting
    joke kind kindness kiss learn lively lovely luck lucky magic magical miracle music nice paradise peace peaceful perfect
    play pleasant please pleasure powerful praise precious pretty proud pure purr rich romantic safe safety satisfied save
    shine smart soft special spirit strong succeed success sun sunny sunshine super sweet talent thank thanks together
    treasure trust truth useful victory warm warmth welcome win winner wins wisdom wise wonder wonderful wow young discover
    alive amazing answer reward winning laughter bloom light rise spring summer triumph relief hug bond gain""".split()
)
_BAD = frozenset(
    """afraid alone anger angry anxious ashamed attack awful bad badly battle bitter blame blind blood bored boring broke
    broken burden burn cold collapse complain confused cruel cry crying cut damage danger dangerous dark darkness dead deadly
    death debt defeat deny depressed desperate destroy die died dirty disaster disease doubt dread dull empty enemy error
    evil fail failed failure fake fall false fault fear fight fire fool forget forgotten grave greed grief guilty hard harm
    harsh hate hatred heavy hell hopeless horrible horror hunger hungry hurt ill illness injury jail kill killed killer lack
    late lie lies lonely lose loser loss lost mad mess missing mistake murder nasty nervous nightmare noise pain painful
    panic poison poor prison problem punish rage reject rotten rude ruin sad sadness scare scared scary scream shame shock
    sick sin slow sorrow storm stress struggle stuck stupid suffer suffering terrible terror threat tired tragedy trap
    trouble ugly unfair unhappy upset useless victim violence violent war waste weak weep wicked worry worse worst wound
    wrong crash crisis decline disappear flood lonely winter without""".split()
)
_TURNS = frozenset(
    "not no never without hardly barely neither nor don't doesn't didn't isn't wasn't can't won't".split()
)

_t = np.linspace(0, 1, 50)
_SHAPES: dict[str, np.ndarray] = {
    "rags to riches (rise)": _t,
    "tragedy (fall)": -_t,
    "man in a hole (fall, rise)": np.cos(2 * np.pi * _t),
    "Icarus (rise, fall)": -np.cos(2 * np.pi * _t),
    "Cinderella (rise, fall, rise)": -np.cos(3 * np.pi * _t),
    "Oedipus (fall, rise, fall)": np.cos(3 * np.pi * _t),
}


def emotional_arc(script: Script) -> EmotionalArc:
    """Compute the arc of a script, sentence by sentence."""
    sentences = [sentence for scene in script.scenes for sentence in sentences_of(scene.narration)]
    valence = [_valence(sentence) for sentence in sentences]
    smooth = _smoothed(valence)
    course = np.interp(np.linspace(0, 1, 50), np.linspace(0, 1, len(smooth)), smooth)
    if float(np.std(course)) < 1e-6:
        return EmotionalArc(valence=valence, shape="flat (no arc)", fit=0.0)
    fits = {name: float(np.corrcoef(course, shape)[0, 1]) for name, shape in _SHAPES.items()}
    best = max(fits, key=lambda name: fits[name])
    return EmotionalArc(valence=valence, shape=best, fit=round(fits[best], 3))


def _valence(sentence: str) -> float:
    """Good minus bad words as a share of both, -1 to 1; a "not" shortly before turns a word around."""
    words = [word.lower() for word in words_of(sentence)]
    good = bad = 0
    for place, word in enumerate(words):
        turned = any(before in _TURNS for before in words[max(0, place - 3) : place])
        if word in _GOOD or word in _BAD:
            if (word in _GOOD) != turned:
                good += 1
            else:
                bad += 1
    return round((good - bad) / (good + bad + 1), 3)


def _smoothed(values: list[float]) -> np.ndarray:
    if len(values) < 3:
        return np.array([*values, *values] if len(values) == 1 else values, dtype=float)
    padded = np.pad(np.array(values, dtype=float), 1, mode="edge")
    return np.convolve(padded, [0.25, 0.5, 0.25], mode="valid")
