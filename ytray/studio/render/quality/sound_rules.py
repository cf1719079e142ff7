"""The rules for the sound: that it is there, as long as the picture, as loud as it should be, and in time."""

from __future__ import annotations

from collections.abc import Iterable

from ytray.studio.render.quality.case import EARLIEST, FRAME, LATEST, LIKE, SILENCE, Case, check, outcome
from ytray.studio.render.quality.inspect import Sound
from ytray.studio.render.quality.report import Check, State
from ytray.studio.render.sound.mastering import LOUDNESS
from ytray.studio.render.timeline import CUT_OFF

LOUDNESS_TOLERANCE = 1.0  # LU
PEAK, _PEAK_TOLERANCE = -1.0, 0.1  # dBTP and dB: as exactly as it can be measured
_SOUND_TOLERANCE = 2 * FRAME + 1024 / 48_000  # seconds: the last packet of AAC is filled up
_IN_TIME = f"{1000 * EARLIEST:+.0f} to {1000 * LATEST:+.0f} ms"


def sound_rules(case: Case) -> Iterable[Check]:
    """Judge the sound of a file."""
    sound, wanted = case.file.sound, "a sound stream" if case.has_sound_by_intent else "none needed"
    if sound is None:
        told = "the file has no sound though there is something to be heard; join it with its sound again"
        state = outcome(not case.has_sound_by_intent)
        yield check("sound", "Sound", state, "none", wanted, told if case.has_sound_by_intent else None)
        return
    yield check("sound", "Sound", "pass", sound.codec, wanted)
    yield from _sound_times(case, sound)
    if case.has_sound_by_intent:
        yield from _levels(case, sound)
        yield from _silence(case, sound)
        yield from _sync(case)
        yield from _cut_off(case)


def _sound_times(case: Case, sound: Sound) -> Iterable[Check]:
    late = sound.start - case.file.start
    in_time = EARLIEST <= late <= LATEST
    told = None if in_time else f"the sound begins {_late(late)} than the picture; join the two again"
    yield check("sound_start", "Sound begins with the picture", outcome(in_time), f"{late:+.3f} s", _IN_TIME, told)
    off = sound.end - case.file.end
    fits = abs(off) <= _SOUND_TOLERANCE
    told = None
    if not fits:
        where = f" (in scene {case.scene_at(sound.end) + 1})" if off < 0 else ""
        told = f"the sound ends {abs(off):.2f} s {'before' if off < 0 else 'after'} the picture{where}; mix it again"
    yield check("sound_length", "Sound ends with the picture", outcome(fits), f"{off:+.3f} s", "to 2 frames", told)


def _levels(case: Case, sound: Sound) -> Iterable[Check]:
    loudness, peak = sound.integrated, sound.true_peak
    good = loudness is not None and abs(loudness - LOUDNESS) <= LOUDNESS_TOLERANCE
    told = None
    if loudness is None:
        told = "nothing can be heard in the whole video; "
        told += (
            "look at its narrations and mix the sound again"
            if case.has_sound_to_master
            else "listen whether its clips are silent themselves"
        )
    elif not good:
        word, why = ("soft", "stay softer than others") if loudness < LOUDNESS else ("loud", "be turned down")
        told = f"{abs(loudness - LOUDNESS):.1f} LU too {word}: it will {why}; master the sound again"
    measured = "silent" if loudness is None else f"{loudness:.1f} LUFS"
    wanted = f"{LOUDNESS:g} LUFS, to {LOUDNESS_TOLERANCE:g} LU"
    is_too_loud = loudness is not None and loudness > LOUDNESS
    state: State = "fail" if case.has_sound_to_master or is_too_loud else "warning"
    yield check("loudness", "Loudness", outcome(good, state), measured, wanted, told)
    good = peak is None or peak <= PEAK + _PEAK_TOLERANCE
    told = (
        None if good else "it will clip when the platform encodes it again; master the sound again with a lower limit"
    )
    measured = "silent" if peak is None else f"{peak:.1f} dBTP"
    yield check("peak", "True peak", outcome(good), measured, f"at most {PEAK:g} dBTP", told)


def _silence(case: Case, sound: Sound) -> Iterable[Check]:
    faulty = [place for place, voice in enumerate(case.voices) if voice is not None and voice.is_unheard]
    wanted = "every narration is heard"
    if not faulty:
        yield check("narration", "Narrations are heard", "pass", "no silence in them", wanted)
    for place in faulty:
        voice = case.voices[place]
        if voice is not None:
            told = (
                f"the file is silent for {voice.unheard:.1f} s of its narration, from {voice.unheard_from:.2f} s on; "
                "mix the sound again"
            )
            measured = f"{voice.unheard:.1f} of {voice.spoken:.1f} s silent"
            yield check("narration", "Narrations are heard", "fail", measured, wanted, told, place)
    wanted = f"none over {SILENCE:g} s"
    others = [
        (place, piece)
        for stretch in sound.silent
        for place, piece in case.pieces(stretch)
        if piece.seconds > SILENCE and place not in faulty
    ]
    if not others:
        yield check("silence", "Silence", "pass", "none", wanted)
    for place, piece in others:
        told = f"nothing is heard for {piece.seconds:.1f} s from {piece.start:.2f} s; add music or shorten the scene"
        yield check("silence", "Silence", "warning", f"{piece.seconds:.1f} s", wanted, told, place)


def _cut_off(case: Case) -> Iterable[Check]:
    name, title, wanted = "cut_off", "Narrations fit into their scenes", "nothing said after a scene's end"
    faulty = [(place, v) for place, v in enumerate(case.voices) if v is not None and v.cut_off > CUT_OFF]
    if not faulty and any(case.voices):
        yield check(name, title, "pass", "all", wanted)
    for place, voice in faulty:
        length = case.timeline.scenes[place].length
        told = (
            f"its narration lasts {voice.cut_off:.1f} s longer, and is cut off at {length:.1f} s; "
            f"set its seconds to {length + voice.cut_off + CUT_OFF:.1f}, or shorten the text"
        )
        yield check(name, title, "warning", f"{voice.cut_off:.1f} s", wanted, told, place)


def _sync(case: Case) -> Iterable[Check]:
    title, name = "Voice in time with the picture", "sync"
    lags, faults = [], 0
    for place, voice in enumerate(case.voices):
        if voice is None or voice.found is None or voice.is_unheard:
            continue
        lag = case.lag(place)
        if lag is None:
            # With nothing else to be heard, sound that is not like the narration is another one.
            scene = case.timeline.scenes[place]
            alone = case.timeline.music is None and not scene.clip_volume and voice.found.likeness < LIKE
            told = (
                "its narration is not what is heard there" if alone else "its narration cannot be made out in the sound"
            )
            told += "; listen to it and mix the sound again" if alone else "; listen whether other sound covers it"
            state: State = "fail" if alone else "warning"
            measured = f"{voice.found.likeness:.2f} alike"
            faults += 1
            yield check(name, title, state, measured, f"at least {LIKE:g} alike", told, place)
        elif not EARLIEST <= lag <= LATEST:
            told = (
                f"its voice is {_late(lag)} than its picture; put the narration where the scene begins, and mix again"
            )
            faults += 1
            yield check(name, title, "fail", f"{1000 * lag:+.0f} ms", _IN_TIME, told, place)
        else:
            lags.append(lag)
    if not faults:
        measured = f"{1000 * min(lags):+.0f} to {1000 * max(lags):+.0f} ms" if lags else "nobody speaks"
        yield check(name, title, "pass", measured, _IN_TIME)


def _late(seconds: float) -> str:
    return f"{abs(1000 * seconds):.0f} ms {'later' if seconds > 0 else 'earlier'}"
