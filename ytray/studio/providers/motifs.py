"""What the offline painter can draw, and which words call for which."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from PIL import Image

from ytray.studio.providers import sceneries, symbols
from ytray.studio.providers.canvas import Canvas
from ytray.studio.words import words_of

MOTIFS: dict[str, Callable[[Canvas, Image.Image], Image.Image]] = {
    "mountains": sceneries.mountains,
    "waves": sceneries.waves,
    "city": sceneries.city,
    "cosmos": sceneries.cosmos,
    "steam": sceneries.steam,
    "leaves": sceneries.leaves,
    "hearts": sceneries.hearts,
    "circuits": sceneries.circuits,
    "cat": sceneries.cat,
    "rings": sceneries.rings,
    "clock": symbols.clock,
    "bulb": symbols.bulb,
    "book": symbols.book,
    "magnifier": symbols.magnifier,
    "bubbles": symbols.bubbles,
    "question": symbols.question,
    "chart": symbols.chart,
    "music": symbols.music,
}

_CALLS: dict[str, str] = {
    "cat": "cat cats kitten kittens purr purring katze katzen chat gato feline pet pets animal animals",
    "waves": "sea ocean water wave waves beach river lake fish swim ship boat whale surf rain meer wasser tide flow island",
    "mountains": "mountain mountains hill climb hike travel journey desert snow winter volcano earth berg berge camp road",
    "city": "city cities street house houses building work office train car cars town stadt shop",
    "cosmos": "space star stars planet planets moon sun galaxy universe black holes hole night sky mars astronaut orbit",
    "steam": "coffee tea cup kaffee tee breakfast cook cooking kitchen soup food bread drink morning bake cafe recipe",
    "leaves": "tree trees forest plant plants leaf leaves garden flower flowers nature spring autumn wald bird birds bee bees grow",
    "hearts": "love heart hearts friend friends family happy wedding kiss mother father child children care kind liebe health",
    "circuits": "computer computers ai code software robot robots data internet phone technology machine science physics "
    "electric energy brain algorithm network",
    "clock": "time clock watch hour minute minutes history past future zeit uhr geschichte heure hora year years age ancient",
    "bulb": "idea ideas light bulb invention invent creative think thinking guess idee mind learn",
    "book": "book books read reading school study write writing language word words poem library buch lesen chess",
    "magnifier": "magnifying glass detail details search look find small tiny microscope cells bacteria virus vaccine vaccines",
    "bubbles": "talking talk speak conversation debate interview opinion answer",
    "question": "question questions mystery riddle secret unknown frage",
    "chart": "chart curve growth money business market stock stocks economy price finance bitcoin geld statistics",
    "music": "music song songs guitar piano sing singing dance dancing melody musik sound jazz concert",
}
_BY_WORD = {word: motif for motif, words in _CALLS.items() for word in words.split()}
_FREE: Sequence[str] = ("rings", "mountains", "waves", "leaves", "rings", "cosmos")


def motif_for(subject: str, chance: random.Random) -> str:
    """The motif that the most words of the subject call for, else one that fits anything."""
    called = [_BY_WORD[word.lower()] for word in words_of(subject) if word.lower() in _BY_WORD]
    return max(dict.fromkeys(called), key=called.count) if called else chance.choice(_FREE)
