"""The rules of the quality gate. Each looks at the whole case and gives one check, or one for each scene at fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from ytray.studio.analysis.pacing import TARGET
from ytray.studio.render.quality.case import (
    FRAME,
    Case,
    check,
    covered_words,
    longest_line,
    outcome,
    speed,
    time_covered,
)
from ytray.studio.render.quality.clip_rules import clip_rules
from ytray.studio.render.quality.inspect import Stretch
from ytray.studio.render.quality.report import Check, State
from ytray.studio.render.quality.sound_rules import sound_rules
from ytray.studio.render.quality.sources import Watched, watch
from ytray.studio.render.text.captions import FASTEST, LONGEST_LINE, Caption
from ytray.studio.render.text.characters import is_unspaced
from ytray.studio.render.timeline import FRAMES_PER_SECOND

_DURATION_TOLERANCE = 2 * FRAME
_ASKED_SHARE, _ASKED_LEAST = 0.25, 2.0  # of the length asked for, and seconds: by so much it may be missed
_FLASH = 0.2  # seconds of black from which on a viewer sees more than a flicker
_LONG = 2.0  # seconds for which a picture may be black or stand still before a viewer takes the video for broken
_COVERED = 0.9  # share of the speech's time, and of its words, that captions should show
_ASPECT_TOLERANCE = 0.01  # share
_SPEED_TOLERANCE = 0.05  # characters a second: what rounding the times makes


def _decoding(case: Case) -> Iterable[Check]:
    errors = case.file.errors
    told = "the file is damaged: a player will stop or show garbage; render it again" if errors else None
    state = outcome(not errors)
    yield check("decoding", "Decodes without error", state, errors[0] if errors else "no errors", "no errors", told)


def _duration(case: Case) -> Iterable[Check]:
    seconds, wanted = case.file.end - case.file.start, case.timeline.seconds
    off = seconds - wanted
    told = None
    if abs(off) > _DURATION_TOLERANCE + FRAME / 4:
        told = f"the picture is {abs(off):.2f} s too {'long' if off > 0 else 'short'}"
        if off < 0:
            told += f", it ends in scene {case.scene_at(case.file.end - FRAME) + 1}"
        told += ": a scene was lost or cut off when the scenes were joined; render it again"
    state = outcome(not told)
    yield check("duration", "Length", state, f"{seconds:.2f} s", f"{wanted:.2f} s, to 2 frames", told)


def _asked_length(case: Case) -> Iterable[Check]:
    if case.asked is None:
        return
    seconds = case.timeline.seconds
    off, told = seconds - case.asked, None
    if abs(off) > max(_ASKED_LEAST, _ASKED_SHARE * case.asked):
        does = "shorten the text, or ask for more" if off > 0 else "give a longer text, or ask for less"
        told = f"the text takes {seconds:.1f} s, and {case.asked:g} s were asked for; {does}"
    wanted = f"{case.asked:g} s, to a quarter"
    yield check("asked_length", "Length asked for", outcome(not told, "warning"), f"{seconds:.1f} s", wanted, told)


def _resolution(case: Case) -> Iterable[Check]:
    size, wanted = (case.file.width, case.file.height), case.timeline.size
    told = None if size == wanted else "the video was rendered or turned to another size; render it again"
    state = outcome(not told)
    yield check("resolution", "Resolution", state, _size(size), _size(wanted), told)
    own = case.preset.size
    is_own = abs(size[0] / size[1] / (own[0] / own[1]) - 1) <= _ASPECT_TOLERANCE
    yield check(
        "aspect",
        "Shape",
        outcome(is_own, "warning"),
        _size(size),
        f"the shape of {_size(own)} ({case.preset.title})",
        None if is_own else f"{case.preset.title} will show bars or crop it; it is made for {_size(own)}",
    )


def _frame_rate(case: Case) -> Iterable[Check]:
    rate, steady = case.file.frames_per_second, case.file.is_steady
    right = steady and abs(rate - FRAMES_PER_SECOND) < 0.01
    measured = f"{rate:g} a second, {'constant' if steady else 'changing'}"
    told = None if right else "the scenes do not follow each other evenly: the picture will stutter; render it again"
    state = outcome(right, "warning")
    yield check("frame_rate", "Frame rate", state, measured, f"{FRAMES_PER_SECOND} a second, constant", told)


def _streams(case: Case) -> Iterable[Check]:
    file = case.file
    kinds = [file.codec, file.pixel_format, *([file.sound.codec] if file.sound else [])]
    wanted = ["h264", "yuv420p", *(["aac"] if file.sound else [])]
    told = None if kinds == wanted else "some phones will not play it; export it as MP4 (H.264, 4:2:0, AAC)"
    state = outcome(kinds == wanted, "warning")
    yield check("codecs", "Codecs", state, ", ".join(kinds), ", ".join(wanted), told)
    tagged = file.colours == ("tv", "bt709", "bt709", "bt709")
    told = None if tagged else "without the tags players guess the colours, and some guess wrong; encode it with them"
    colours = "tv, BT.709" if tagged else "/".join(file.colours)
    yield check("colours", "Colour tags", outcome(tagged, "warning"), colours, "tv, BT.709", told)
    if file.is_faststart is not None:
        fast = file.is_faststart
        told = None if fast else "it plays only when it is loaded to its end; join it with -movflags +faststart"
        measured = f"the index is {'before' if fast else 'after'} the media"
        yield check("faststart", "Starts at once", outcome(fast, "warning"), measured, "index first", told)


def _platform(case: Case) -> Iterable[Check]:
    preset, size, seconds = case.preset, case.file.bytes, case.file.end - case.file.start
    told = None
    if size > preset.most_bytes:
        told = f"{preset.title} does not take a file of more than {_bytes(preset.most_bytes)}; export it smaller"
    state = outcome(not told)
    yield check("size", "File size", state, _bytes(size), f"at most {_bytes(preset.most_bytes)}", told)
    told = None
    if not preset.least_seconds <= seconds <= preset.most_seconds + _DURATION_TOLERANCE:
        verb = "shorten the text" if seconds > preset.most_seconds else "lengthen the text"
        told = f"{preset.title} does not take a video of {seconds:.1f} s; {verb} or choose another platform"
    wanted = f"{preset.least_seconds:g} to {preset.most_seconds:g} s ({preset.title})"
    yield check("platform_length", "Length on the platform", outcome(not told), f"{seconds:.1f} s", wanted, told)


def _black(case: Case) -> Iterable[Check]:
    def why(place: int, seconds: float, piece: Stretch) -> str:
        source = Path(case.timeline.scenes[place].source).name
        return f"black for {seconds:.2f} s from {piece.start:.2f} s, and {source} is not; render the scene again"

    faults = _unasked(case, case.file.black, _FLASH, lambda watched: watched.is_black)
    yield from _by_scene("black", "No black pictures", f"none over {_FLASH:g} s that was not asked for", faults, why)


def _frozen(case: Case) -> Iterable[Check]:
    def why(place: int, seconds: float, piece: Stretch) -> str:
        return (
            f"the picture stands still for {seconds:.2f} s from {piece.start:.2f} s though motion "
            f'"{case.timeline.scenes[place].motion}" was asked for; render the scene again, or set its motion to "none"'
            if case.timeline.scenes[place].picture
            else f"the clip stands still for {seconds:.2f} s from {piece.start:.2f} s though it moves there itself; "
            "render the scene again"
        )

    faults = _unasked(case, case.file.frozen, _LONG, lambda watched: watched.is_still)
    yield from _by_scene("frozen", "No frozen picture", f"none over {_LONG:g} s that was not asked for", faults, why)


_Pieces = list[tuple[int, Stretch]]  # one stretch's pieces, each with the place of its scene


def _unasked(
    case: Case, stretches: list[Stretch], limit: float, is_asked_for: Callable[[Watched], bool]
) -> list[_Pieces]:
    """Those of the stretches that last longer than the limit apart from what was asked for.

    An effect may ask for anything. Crossfades do not count: in a mixture light and motion are less than in either.
    """
    found = []
    for stretch in stretches:
        if stretch.seconds <= limit:
            continue
        pieces = []
        for place, whole in case.pieces(stretch):
            scene, start = case.timeline.scenes[place], case.starts[place]
            piece = Stretch(whole.start, min(whole.end, case.ends[place] - FRAME * scene.fading_frames))
            if piece.seconds <= FRAME or scene.effects:
                continue
            lead = case.timeline.scenes[place - 1].fading_frames if place else 0
            begin, end = piece.start - start, piece.end - start
            if not is_asked_for(watch(scene, lead, begin, end, case.timeline.size, case.aside)):
                pieces.append((place, piece))
        if sum(piece.seconds for _, piece in pieces) > limit:
            found.append(pieces)
    return found


def _by_scene(
    name: str, title: str, wanted: str, faults: list[_Pieces], why: Callable[[int, float, Stretch], str]
) -> Iterable[Check]:
    """A check for each scene at fault, which fails when a stretch there is over 2 s; else one that passed."""
    if not faults:
        yield check(name, title, "pass", "none", wanted)
    found: dict[int, list[Stretch]] = defaultdict(list)
    failed = set()
    for fault in faults:
        is_long = sum(piece.seconds for _, piece in fault) > _LONG
        for place, piece in fault:
            found[place].append(piece)
        failed |= {place for place, _ in fault if is_long}
    for place, pieces in sorted(found.items()):
        seconds = sum(piece.seconds for piece in pieces)
        state: State = "fail" if place in failed else "warning"
        yield check(name, title, state, f"{seconds:.2f} s", wanted, why(place, seconds, pieces[0]), place)


def _cuts(case: Case) -> Iterable[Check]:
    scenes, expected, faults = case.timeline.scenes, 0, []
    for place in case.places[1:]:
        before, seen = scenes[place - 1], case.cuts[place]
        if before.crossfade or before.source == scenes[place].source:
            continue
        expected += 1
        if seen is None:
            told = f"no cut is seen at {case.starts[place]:.2f} s, where it begins; look whether its picture is right"
            faults.append((place, "no cut", told))
        elif abs(seen - case.starts[place]) > _DURATION_TOLERANCE + FRAME / 4:
            told = (
                f"it begins at {seen:.2f} s rather than at {case.starts[place]:.2f} s; render the scene before it again"
            )
            faults.append((place, f"{seen:.2f} s", told))
    for cut in case.file.cuts:
        place = case.scene_at(cut)
        if scenes[place].picture and not scenes[place].effects and cut not in case.cuts:
            told = f"the picture jumps at {cut:.2f} s, within a still; render the scene again"
            faults.append((place, f"{cut:.2f} s", told))
    wanted = f"{expected}, where scenes begin"
    if not faults:
        yield check("cuts", "Cuts", "pass", f"{len(case.file.cuts)}", wanted)
    for place, measured, told in faults:
        yield check("cuts", "Cuts", "warning", measured, wanted, told, place)


def _captions(case: Case) -> Iterable[Check]:
    if not case.captions:
        return
    places = [case.scene_at(caption.start) for caption in case.captions]
    known = list(zip(places, case.captions, strict=True))
    fast = [(place, f"{speed(c):.1f} a second", c) for place, c in known if speed(c) > FASTEST + _SPEED_TOLERANCE]
    why = "is too fast to read; speak slower or use shorter words"
    fastest = f"{max(map(speed, case.captions)):.1f} a second"
    yield from _of_captions(
        "caption_speed", "Caption speed", fastest, f"at most {FASTEST:g} characters a second", fast, why
    )
    long = [(place, f"{longest_line(c)} characters", c) for place, c in known if longest_line(c) > LONGEST_LINE]
    longest = f"{max(map(longest_line, case.captions))} characters"
    why = "has too long a line for a phone; break the word"
    yield from _of_captions("caption_line", "Caption lines", longest, f"at most {LONGEST_LINE} characters", long, why)
    late = [(place, f"until {c.end:.2f} s", c) for place, c in known if c.end > case.ends[place] + FRAME / 2]
    why = "goes on into the next scene; shorten the last word's time"
    yield from _of_captions("caption_scene", "Captions in their scenes", "all", "all", late, why)
    yield from _unseen_words(case)
    words, covered = covered_words(case), time_covered(case)
    good = min(words, covered) >= _COVERED
    told = None if good else "somebody speaks without captions; look at the word times of the scenes"
    measured = f"{words:.0%} of the words, {covered:.0%} of the time"
    wanted = f"at least {_COVERED:.0%} of both"
    yield check("caption_coverage", "Captions cover the speech", outcome(good, "warning"), measured, wanted, told)


def _unseen_words(case: Case) -> Iterable[Check]:
    for place, scene in enumerate(case.timeline.scenes):
        late = [word for word in scene.words if word.start >= scene.length]
        if late:
            told = (
                f"{len(late)} of its words, from “{late[0].text}” on, come after its end at {scene.length:.1f} s, "
                "unseen; lengthen the scene, or mend their times"
            )
            wanted = "within the scene"
            yield check(
                "caption_words", "Words in their scenes", "warning", f"{len(late)} after it", wanted, told, place
            )


def _of_captions(
    name: str, title: str, measured: str, wanted: str, faults: list[tuple[int, str, Caption]], why: str
) -> Iterable[Check]:
    """One check when all captions are right, else one for each scene, with its first caption at fault."""
    if not faults:
        yield check(name, title, "pass", measured, wanted)
    first = {place: (found, caption) for place, found, caption in reversed(faults)}
    for place, (found, caption) in sorted(first.items()):
        told = f"the caption “{caption.text}” at {caption.start:.2f} s {why}"
        yield check(name, title, "warning", found, wanted, told, place)


def _pace(case: Case) -> Iterable[Check]:
    pace = case.words_per_minute
    if pace is None or any(is_unspaced(char) for word in case.timeline.words() for char in word.text):
        return  # in scripts without spaces nobody knows where words end
    good = TARGET[0] <= pace <= TARGET[1]
    told = None
    if not good:
        word = "slow" if pace < TARGET[0] else "fast"
        off = [place for place, each in enumerate(case.paces) if each and not TARGET[0] <= each <= TARGET[1]]
        where = f", in scenes {', '.join(str(place + 1) for place in off)}" if off else ""
        told = f"the narration is {word}{where}; choose another voice or speed"
    wanted = f"{TARGET[0]:g} to {TARGET[1]:g} words a minute"
    yield check("pace", "Pace", outcome(good, "warning"), f"{pace:.0f} words a minute", wanted, told)


RULES: tuple[Callable[[Case], Iterable[Check]], ...] = (
    _decoding,
    _duration,
    _asked_length,
    _resolution,
    _frame_rate,
    _streams,
    _platform,
    _black,
    _frozen,
    _cuts,
    sound_rules,
    clip_rules,
    _captions,
    _pace,
)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
