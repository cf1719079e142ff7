"""The sound of a timeline, measured on the finished file."""

from __future__ import annotations

import math
import os
import subprocess
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.measure import loudness, samples
from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.export import export
from ytray.studio.render.probe import headers
from ytray.studio.render.sound.mix import render_sound, sound_name
from ytray.studio.render.timeline import Music, Timeline, TimelineScene

RATE = 48_000
HIGH = 11_000.0  # Hz: where the voice below has next to nothing

Sound = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def test_speech_music_and_both_are_as_loud_as_the_platforms_play(tmp_path: Path) -> None:
    voice = _wav(tmp_path / "voice.wav", _voice(3.9))
    speech, silent = _scene(4, narration=voice), _scene(4)
    for timeline in (
        _timeline(speech),
        _timeline(silent, music=Music(mood="bright")),
        _timeline(speech, silent, music=Music(mood="wild")),
    ):
        _check_level(_render(timeline, tmp_path))


@pytest.mark.parametrize("case", ["very quiet", "clipped", "peaky", "uneven", "3 s"])
def test_difficult_sound_is_brought_to_the_same_level(case: str, tmp_path: Path) -> None:
    sound = {
        "very quiet": _voice(3.5) * 0.002,
        "clipped": np.clip(_voice(3.5) * 20, -1, 1),
        "peaky": _peaky(4.0),
        "uneven": np.concatenate([_voice(2.5) * 0.01, _voice(2)]),
        "3 s": _voice(2.8),
    }[case]
    scene = _scene(math.ceil(len(sound) / RATE * 2) / 2, narration=_wav(tmp_path / "voice.wav", sound))
    _check_level(_render(_timeline(scene), tmp_path))


def test_silence_stays_silent_and_a_scene_needs_no_narration(tmp_path: Path) -> None:
    assert not _heard(_render(_timeline(_scene(3), _scene(0.5)), tmp_path)).any()
    nothing = _wav(tmp_path / "nothing.wav", np.zeros(RATE))
    quiet = _timeline(_scene(1.5, narration=nothing), music=Music(file=nothing))
    assert not _heard(_render(quiet, tmp_path)).any()


def test_a_video_of_one_frame_has_its_sound(tmp_path: Path) -> None:
    voice = _wav(tmp_path / "voice.wav", _voice(1))
    timeline = _timeline(_scene(1 / 30, narration=voice), music=Music())
    assert len(_heard(_render(timeline, tmp_path))) == RATE // 30


def test_a_narration_begins_where_its_scene_does(tmp_path: Path) -> None:
    beep = _wav(tmp_path / "beep.wav", _tone(1000, 0.5) * 0.5)
    scenes = [_scene(1.21, narration=beep), _scene(2), _scene(1.4, narration=beep), _scene(1)]
    timeline = _timeline(*scenes)
    sound = _heard(_render(timeline, tmp_path))
    assert len(sound) == timeline.frames * 1600, "exactly as long as the pictures"
    loud = np.abs(sound) > 0.05 * np.abs(sound).max()
    starts = timeline.starts()
    for start in (starts[0], starts[2]):
        first = np.nonzero(loud[int(start * RATE) :])[0][0] / RATE if start else np.nonzero(loud)[0][0] / RATE
        assert first < 0.02
        before = sound[max(0, int((start - 0.4) * RATE)) : max(0, int((start - 0.02) * RATE))]
        assert not before.size or np.abs(before).max() < 0.01


def test_narrations_of_different_loudness_come_to_one_level(tmp_path: Path) -> None:
    files = [_wav(tmp_path / f"{level}.wav", _voice(2.9) * level) for level in (1.0, 0.1, 0.3)]
    sound = _heard(_render(_timeline(*(_scene(3, narration=file) for file in files)), tmp_path))
    levels = [_level(piece) for piece in np.array_split(sound, 3)]
    assert max(levels) - min(levels) < 1


def test_a_narration_of_noise_only_is_not_brought_to_the_voice(tmp_path: Path) -> None:
    files = [
        _wav(tmp_path / "voice.wav", _voice(2.9)),
        _wav(tmp_path / "noise.wav", np.random.default_rng(1).normal(0, 0.0005, 2 * RATE)),
        _wav(tmp_path / "again.wav", _voice(2.9)),
    ]
    sound = _heard(_render(_timeline(*(_scene(3, narration=file) for file in files)), tmp_path))
    assert _level(sound[3 * RATE : 5 * RATE]) < _level(sound[: 3 * RATE]) - 15


def test_joints_do_not_click(tmp_path: Path) -> None:
    """Sounds that begin, and are cut, at their fullest: a cosine, and one with an offset."""
    low = np.cos(2 * np.pi * 110 * np.arange(RATE * 3) / RATE) * 0.3
    files = [_wav(tmp_path / "low.wav", low), _wav(tmp_path / "offset.wav", low * 0.5 + 0.4)]
    timeline = _timeline(*(_scene(1.5, narration=files[place % 2]) for place in range(3)))
    sound = _heard(_render(timeline, tmp_path))
    jumps = np.abs(np.diff(sound))
    speech = np.abs(np.diff(_heard(_render(_timeline(_scene(3, narration=_voice_file(tmp_path))), tmp_path))))
    for start in timeline.starts():
        at = int(start * RATE)
        assert jumps[max(0, at - RATE // 50) : at + RATE // 50].max() < speech.max()
        around = sound[max(0, at - 1000) : at + 1000]
        assert _band(around, 6000, RATE / 2) < 0.01, "a click would be heard up there"


def test_music_gives_way_while_somebody_speaks_and_does_not_pump(tmp_path: Path) -> None:
    tone = _wav(tmp_path / "tone.wav", _tone(HIGH, 2) * 0.3)
    scenes = [_scene(2), _scene(3.4, narration=_voice_file(tmp_path)), _scene(3.6)]
    ducked, plain = (
        _tone_level(_heard(_render(_timeline(*scenes, music=Music(file=tone, ducking=ducking)), tmp_path)), HIGH)
        for ducking in (True, False)
    )
    speaking = slice(int(2.4 * RATE), int(4.8 * RATE))
    pause = int(1.5 * RATE)
    assert 5 < ducked[pause] - ducked[speaking].mean() < 13
    assert abs(plain[pause] - plain[speaking].mean()) < 1
    # What the limiter does to both is not the ducking's.
    gain = ducked - plain
    assert np.ptp(gain[speaking]) < 4, "short pauses are not heard in the music"
    assert np.abs(np.diff(gain[RATE : 7 * RATE : RATE // 50])).max() < 2.5, "dB in a fiftieth of a second"
    assert gain[2 * RATE] < gain[pause] - 1, "it has begun to give way before the first word"
    assert abs(gain[int(7.2 * RATE)] - gain[pause]) < 1, "and comes back"


def test_music_lies_as_far_below_the_voice_as_was_asked(tmp_path: Path) -> None:
    below = 13.0
    voice = _wav(tmp_path / "voice.wav", _voice(3) * 0.05)
    scenes = [_scene(3, narration=voice), _scene(4)]
    file = _render(_timeline(*scenes, music=Music(mood="warm", below_voice=below, ducking=False)), tmp_path)
    spoken = _loudness_of(file, 0, 3)
    assert spoken - _loudness_of(file, 3.3, 5.4) == pytest.approx(below, abs=2)


def test_music_is_looped_and_cut_with_fades_and_without_clicks(tmp_path: Path) -> None:
    short = _wav(tmp_path / "short.wav", np.cos(2 * np.pi * 220 * np.arange(int(1.0013 * RATE)) / RATE) * 0.5)
    long = _wav(tmp_path / "long.wav", _tone(220, 9) * 0.5)
    for file in (short, long):
        sound = _heard(_render(_timeline(_scene(5), music=Music(file=file)), tmp_path))
        assert len(sound) == 5 * RATE
        parts = [_level(sound[int(at * RATE) : int((at + 0.3) * RATE)]) for at in (1.2, 2.1, 3.1)]
        assert np.ptp(parts) < 1.5
        assert np.abs(sound[:200]).max() < 0.02
        assert np.abs(sound[-200:]).max() < 0.02
        assert _level(sound[int(4.4 * RATE) : int(4.6 * RATE)]) < parts[-1] - 4
        assert np.abs(np.diff(sound)).max() < 0.05
        assert _band(sound, 6000, RATE / 2) < 0.001


def test_a_clip_is_heard_from_where_it_is_shown_at_its_volume(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mp4", "aevalsrc='0.2*sin(2*PI*t*if(lt(t,1),1000,3000))':d=4")
    steady = _wav(tmp_path / "steady.wav", _tone(500, 1) * 0.3)
    apart = {}
    for volume in (0.0, 0.25, 0.5):
        scenes = [_scene(1, narration=steady), _scene(2, clip=clip, clip_from=1.0, clip_volume=volume)]
        sound = _heard(_render(_timeline(*scenes), tmp_path))
        shown = sound[int(1.2 * RATE) : int(2.8 * RATE)]
        apart[volume] = _level(shown) - _level(sound[:RATE])
        if volume:
            assert _band(shown, 900, 1100) < 0.01 < 0.9 < _band(shown, 2900, 3100), "the first second is left out"
    assert apart[0.0] < -60
    assert apart[0.5] - apart[0.25] == pytest.approx(6, abs=0.5)


def test_a_clip_without_sound_is_silent(tmp_path: Path) -> None:
    mute = _clip(tmp_path / "mute.mp4", None)
    short = _clip(tmp_path / "short.mp4", "sine=f=1000:d=1")
    scenes = [_scene(1, clip=mute, clip_volume=1), _scene(1, clip=short, clip_from=3.0, clip_volume=1)]
    assert not _heard(_render(_timeline(*scenes), tmp_path)).any()


def test_sounds_of_clips_crossfade_while_narrations_keep_their_places(tmp_path: Path) -> None:
    first = _clip(tmp_path / "first.mp4", "sine=f=1000:d=5")
    second = _clip(tmp_path / "second.mp4", "sine=f=3000:d=5")
    beep = _wav(tmp_path / "beep.wav", _tone(HIGH, 0.5) * 0.5)
    scenes = [
        _scene(3, clip=first, clip_volume=1, crossfade=1),
        _scene(2.5, clip=second, clip_volume=1, narration=beep),
    ]
    sound = _heard(_render(_timeline(*scenes), tmp_path))
    low, high, spoken = (_tone_level(sound, hertz) for hertz in (1000, 3000, HIGH))
    at = {second: int(second * RATE) for second in (1.0, 1.9, 2.5, 3.1, 4.5)}
    assert high[at[1.9]] < low[at[1.0]] - 30
    assert low[at[3.1]] < low[at[1.0]] - 30
    assert low[at[2.5]] == pytest.approx(low[at[1.0]] - 3, abs=1), "together as loud as one"
    assert high[at[2.5]] == pytest.approx(high[at[4.5]] - 3, abs=1)
    assert spoken[int(2.9 * RATE)] < -50 < -30 < spoken[int(3.1 * RATE)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("old.wav", ["-ar", "22050", "-ac", "1", "-c:a", "pcm_u8"]),
        ("wide.wav", ["-ac", "6"]),
        ("song.mp3", ["-ar", "44100", "-ac", "2"]),
        ("lossless.flac", ["-ar", "96000"]),
        ("-i 'odd;[x]'.ogg", ["-c:a", "libopus"]),
    ],
)
def test_narrations_and_music_may_be_of_any_format(name: str, options: list[str], tmp_path: Path) -> None:
    _ffmpeg("-i", _voice_file(tmp_path), *options, str(tmp_path / name))
    file = str(tmp_path / name)
    _check_level(_render(_timeline(_scene(3, narration=file), music=Music(file=file)), tmp_path))


@pytest.mark.parametrize("kind", ["empty", "text", "noise", "picture", "no samples", "missing", "folder"])
def test_a_file_that_is_no_sound_is_named_before_anything_is_written(kind: str, tmp_path: Path) -> None:
    bad = _bad(kind, tmp_path / "bad.wav")
    good = _voice_file(tmp_path)
    output = tmp_path / "out" / "sound.m4a"
    output.parent.mkdir()
    with pytest.raises(PermanentError, match=r"^bad\.wav, the narration of scene 2,"):
        render_sound(_timeline(_scene(1, narration=good), _scene(1, narration=bad)), output)
    with pytest.raises(PermanentError, match=r"^bad\.wav, the music,"):
        render_sound(_timeline(_scene(1, narration=good), music=Music(file=bad)), output)
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["empty", "noise", "missing"])
def test_a_clip_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    bad = _bad(kind, tmp_path / "bad.mp4")
    with pytest.raises(PermanentError, match=r"scene 2.*bad\.mp4|bad\.mp4.*scene 2"):
        render_sound(_timeline(_scene(1), _scene(1, clip=bad, clip_volume=1)), tmp_path / "sound.m4a")
    assert not (tmp_path / "sound.m4a").exists()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mp4", "sine=f=500:d=2")
    scenes = [_scene(2, narration=_voice_file(tmp_path)), _scene(1.5, clip=clip, clip_volume=0.5)]
    timeline = _timeline(*scenes, music=Music(mood="dark"))
    first = _render(timeline, tmp_path).read_bytes()
    assert _render(timeline, tmp_path).read_bytes() == first


def test_music_that_gives_way_is_never_cut_short(tmp_path: Path) -> None:
    """Cut before it gives way, it lost its last 30 to 200 ms in one mix of four, as ffmpeg's threads happened to go."""
    tone = _wav(tmp_path / "tone.wav", _tone(220, 1) * 0.3)
    timeline = _timeline(_scene(1), music=Music(file=tone))

    def rendered(number: int) -> bytes:
        file = tmp_path / f"{number}.m4a"
        render_sound(timeline, file)
        return file.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(rendered, range(20)))) == 1


def test_a_name_stands_for_what_is_heard_and_for_nothing_else(tmp_path: Path) -> None:
    voice, other = _voice_file(tmp_path), _wav(tmp_path / "other.wav", _voice(1))
    clip = _clip(tmp_path / "clip.mp4", "sine=f=500:d=2")
    plain: dict[str, Any] = {"narration": voice}
    shown: dict[str, Any] = {"narration": voice, "clip": clip}
    loud: dict[str, Any] = {**shown, "clip_volume": 1.0}
    heard = [
        _timeline(_scene(2, **plain)),
        _timeline(_scene(2)),
        _timeline(_scene(2.1, **plain)),
        _timeline(_scene(2, narration=other)),
        _timeline(_scene(2, **loud)),
        _timeline(_scene(2, **loud, clip_from=0.5)),
        _timeline(_scene(2, **{**loud, "clip_volume": 0.5})),
        _timeline(_scene(2, **loud, crossfade=0.5), _scene(2)),
        _timeline(_scene(2, **loud), _scene(2)),
        *(_timeline(_scene(2, **plain), music=music) for music in (Music(), Music(mood="dark"), Music(file=other))),
        *(_timeline(_scene(2, **plain), music=music) for music in (Music(below_voice=9), Music(ducking=False))),
    ]
    assert len({sound_name(timeline) for timeline in heard}) == len(heard)
    same = [
        _timeline(_scene(2, **plain)),
        _timeline(_scene(2, **{**plain, "picture": "another that is not there.jpg"}, motion="out"), captions=False),
        _timeline(_scene(2, **shown)),
    ]
    assert len({sound_name(timeline) for timeline in same}) == 1
    fading, cut = (_timeline(_scene(2, **plain, crossfade=fade), _scene(2)) for fade in (0.5, 0.0))
    assert sound_name(fading) == sound_name(cut), "a crossfade of pictures is not heard"


def test_an_interruption_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_after(until: float) -> Callable[[float], None]:
        def stop(share: float) -> None:
            if share > until:
                raise Stop

        return stop

    voice, output = _voice_file(tmp_path), tmp_path / "out" / "sound.m4a"
    output.parent.mkdir()
    timeline = _timeline(_scene(3, narration=voice), _scene(3, narration=voice))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    for until in (0.0, 0.61, 0.85):
        with pytest.raises(Stop):
            render_sound(timeline, output, stop_after(until))
        assert list(output.parent.iterdir()) == []
        assert children.read_text() == before


def test_progress_goes_up_to_one(tmp_path: Path) -> None:
    told: list[float] = []
    voice = _voice_file(tmp_path)
    render_sound(_timeline(_scene(2, narration=voice), _scene(2), music=Music()), tmp_path / "s.m4a", told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def _scene(seconds: float, **fields: Any) -> TimelineScene:
    if "clip" not in fields:
        fields = {"picture": "not there.jpg", **fields}
    return TimelineScene(seconds=seconds, **fields)


def _timeline(*scenes: TimelineScene, **fields: Any) -> Timeline:
    return Timeline(width=64, height=64, scenes=list(scenes), **fields)


def _render(timeline: Timeline, folder: Path) -> Path:
    file = folder / "finished.m4a"
    render_sound(timeline, file)
    return file


def _check_level(file: Path) -> None:
    integrated, peak = loudness(file)
    assert integrated == pytest.approx(-14, abs=0.5)
    assert peak <= -1.0


def _voice(seconds: float) -> Sound:
    """Something like a voice: overtones of a gliding tone in syllables and words, with hisses between."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 * (1 + 0.1 * np.sin(2 * np.pi * 2.1 * time))) / RATE
    tone = sum(np.sin(number * phase + number**2) / number**0.9 for number in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 4.3 * time) + 0.6, 0, None)
    hiss = np.convolve(np.random.default_rng(7).standard_normal(len(time)), np.ones(8) / 8, "same")
    hisses = np.clip(np.sin(2 * np.pi * 4.3 * time + 2.5), 0, None) ** 4
    sound = np.asarray(tone * syllables + 0.4 * hiss * hisses, np.float64)
    return np.asarray(sound * 0.7 / np.abs(sound).max(), np.float64)


def _peaky(seconds: float) -> Sound:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(np.sin(2 * np.pi * 80 * time) * np.exp(-(time % 1) / 0.03) * 0.9, np.float64)


def _tone(hertz: float, seconds: float) -> Sound:
    return np.asarray(np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE), np.float64)


def _voice_file(folder: Path) -> str:
    return _wav(folder / "voice.wav", _voice(2.9))


def _wav(file: Path, sound: Sound) -> str:
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return str(file)


def _clip(file: Path, source: str | None) -> str:
    """A clip of 5 s of the sound of a lavfi source; without one it has none."""
    sound = ["-f", "lavfi", "-i", source, "-c:a", "aac"] if source else []
    _ffmpeg("-f", "lavfi", "-i", "color=s=64x64:r=5:d=5", *sound, "-c:v", "libx264", str(file))
    return str(file)


def _bad(kind: str, file: Path) -> str:
    match kind:
        case "empty":
            file.touch()
        case "text":
            file.write_text("There is no sound in here.\n" * 50)
        case "noise":
            file.write_bytes(np.random.default_rng(3).bytes(20_000))
        case "picture":
            _ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=0.1", "-frames:v", "1", "-f", "image2", f"{file}.png")
            Path(f"{file}.png").rename(file)
        case "no samples":
            _wav(file, np.zeros(0))
        case "folder":
            file.mkdir()
    return str(file)


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([ffmpeg.binary(), "-nostdin", "-y", "-v", "error", *arguments], check=True)


def _heard(file: Path) -> Sound:
    return samples(file, RATE).astype(np.float64) / 32768


def _level(sound: Sound) -> float:
    """The level in dB of full scale."""
    return float(10 * np.log10((sound**2).mean() + 1e-12))


def _band(sound: Sound, low: float, high: float) -> float:
    """The share of the power between two frequencies, in Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


def _tone_level(sound: Sound, hertz: float) -> Sound:
    """The level of a tone at each sample, in dB, over a twentieth of a second around it."""
    turned = sound * np.exp(-2j * np.pi * hertz * np.arange(len(sound)) / RATE)
    window = RATE // 20
    sums = np.cumsum(np.concatenate([np.zeros(window // 2), turned, np.zeros(window - window // 2)]))
    return np.asarray(20 * np.log10(2 * np.abs(sums[window:] - sums[:-window]) / window + 1e-6), np.float64)


def _loudness_of(file: Path, start: float, end: float) -> float:
    """The loudness of a stretch, in LUFS."""
    cut = file.with_name("cut.wav")
    _ffmpeg("-i", str(file), "-ss", str(start), "-t", str(end - start), str(cut))
    return loudness(cut)[0]


_LEFT, _RIGHT, _BEHIND = "0.3*sin(2*PI*500*t)", "0.3*sin(2*PI*1500*t)", "0.3*sin(2*PI*3000*t)"


def _power(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]], frequency: float) -> float:
    """The amplitude of a sine in a sound at 48 kHz."""
    at = np.arange(len(sound)) / 48_000
    return float(abs(np.mean(sound * np.exp(-2j * np.pi * frequency * at))) * 2)


def _stereo(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    command = [ffmpeg.binary(), "-v", "error", "-i", str(file), "-f", "f32le", "-ar", "48000", "-ac", "2", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4").reshape(-1, 2)


def _tones(count: int) -> list[int]:
    return [300 + 137 * place for place in range(count)]


def _many(file: Path, channels: int, codec: str, layout: str = "") -> Path:
    """Two seconds in which each channel has a tone of its own."""
    at = np.arange(2 * RATE) / RATE
    raw = file.with_suffix(".raw")
    tracks = np.stack([0.3 * np.sin(2 * np.pi * hertz * at) for hertz in _tones(channels)], axis=1)
    raw.write_bytes((tracks * 32767).astype("<i2").tobytes())
    given = ["-ch_layout", layout] if layout else ["-ac", str(channels)]
    _ffmpeg("-f", "s16le", "-ar", str(RATE), *given, "-i", str(raw), *codec.split(), str(file))
    return file


@pytest.mark.parametrize(
    ("channels", "ending", "codec"),
    [(3, "mkv", "-c:a pcm_s16le"), (9, "wav", ""), (16, "caf", "-c:a pcm_s16le"), (24, "wav", ""), (60, "w64", "")],
)
def test_channels_without_a_layout_are_heard_in_the_middle(
    channels: int, ending: str, codec: str, tmp_path: Path
) -> None:
    file = _many(tmp_path / f"multitrack.{ending}", channels, codec)
    left, right = _stereo(_render(_timeline(_scene(2, narration=str(file))), tmp_path)).T
    levels = [_power(left, hertz) for hertz in _tones(channels)]
    assert min(levels) > max(levels) / 2
    assert levels == pytest.approx([_power(right, hertz) for hertz in _tones(channels)], rel=0.05)


def _layouts() -> dict[str, list[str]]:
    """The loudspeakers of every layout that ffmpeg knows by name."""
    told = subprocess.run([ffmpeg.binary(), "-v", "error", "-layouts"], capture_output=True, text=True).stdout
    lines = told.partition("Standard channel layouts:")[2].splitlines()[2:]
    return {name: speakers.split("+") for name, speakers in (line.split()[:2] for line in lines if line.strip())}


_CODECS = {"wav": "pcm_s16le", "mp4": "pcm_s16le", "caf": "pcm_s16le", "flac": "flac", "opus": "libopus"}


def _check_speakers(layout: str, speakers: list[str], ending: str, folder: Path) -> bool:
    """Whether a file of such a layout can be written; what is heard of it is checked."""
    source = "|".join(f"0.2*sin(2*PI*{hertz}*t)" for hertz in _tones(len(speakers)))
    file, made = folder / f"cinema.{ending}", f"aevalsrc='{source}':c={layout}:s={RATE}:d=2"
    command = [ffmpeg.binary(), "-v", "error", "-y", "-f", "lavfi", "-i", made, "-c:a", _CODECS[ending], str(file)]
    if subprocess.run(command, capture_output=True).returncode:
        return False
    told = headers(file).channels or ""
    says_layout = told == layout or sorted(told.partition("(")[2].rstrip(")").split("+")) == sorted(speakers)
    left, right = _stereo(_render(_timeline(_scene(2, narration=str(file))), folder)).T
    for speaker, hertz in zip(speakers, _tones(len(speakers)), strict=True):
        levels = _power(left, hertz), _power(right, hertz)
        if speaker.startswith("LFE") and says_layout:
            assert max(levels) < 0.001, (layout, ending, speaker, levels)
        elif ("L" in speaker or "R" in speaker) and says_layout:
            assert levels["R" in speaker] > max(0.003, 5 * levels["L" in speaker]), (layout, ending, speaker, levels)
        else:
            assert speaker.startswith("LFE") or max(levels) > 0.003, (layout, ending, speaker, levels)
    return True


@pytest.mark.parametrize(
    ("layout", "ending"), [("5.1", "mp4"), ("5.1.4", "mp4"), ("22.2", "mp4"), ("5.0", "opus"), ("6.1", "opus")]
)
def test_every_loudspeaker_but_the_low_ones_is_heard_on_its_side(layout: str, ending: str, tmp_path: Path) -> None:
    assert _check_speakers(layout, _layouts()[layout], ending, tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ending", _CODECS)
def test_every_layout_in_every_container_is_heard(ending: str, tmp_path: Path) -> None:
    written = [name for name, them in _layouts().items() if _check_speakers(name, them, ending, tmp_path)]
    print(f"{ending}: {len(written)} of {len(_layouts())} layouts can be written, and are heard")


def test_more_channels_than_can_be_mixed_down_are_refused_by_name(tmp_path: Path) -> None:
    file = _many(tmp_path / "wall.wav", 100, "")
    with pytest.raises(PermanentError, match=r"wall\.wav.*100 channels of sound, and at most 64.*stereo"):
        _render(_timeline(_scene(2, narration=str(file))), tmp_path)


def test_ambisonic_sound_is_heard_from_its_side(tmp_path: Path) -> None:
    """A first-order ambisonic sound (W, Y, Z, X): 500 Hz from the left, 1500 Hz from the right."""
    file = tmp_path / "around.mkv"
    encoded = f"{_LEFT}+{_RIGHT}|{_LEFT}-{_RIGHT}|0|0"
    source = ["-f", "lavfi", "-i", f"aevalsrc={encoded}:c=ambisonic 1:d=2:s=48000"]
    _ffmpeg(*source, "-c:a", "libopus", "-mapping_family", "2", str(file))
    left, right = _stereo(_render(_timeline(_scene(2, narration=str(file))), tmp_path)).T
    assert _power(left, 500) > 10 * _power(right, 500)
    assert _power(right, 1500) > 10 * _power(left, 1500)


@pytest.mark.parametrize("default", [0, 1, 2, None])
def test_the_sound_that_players_take_is_the_one_that_is_heard(default: int | None, tmp_path: Path) -> None:
    file = tmp_path / "dubbed.mkv"
    frequencies = (500, 1500, 3000)
    inputs = [part for hertz in frequencies for part in ("-f", "lavfi", "-i", f"sine=f={hertz}:d=2:r=48000")]
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=30:d=2", "-map", "3:v"]
    maps = [part for place in range(3) for part in ("-map", f"{place}:a")]
    flags = [part for place in range(3) for part in (f"-disposition:a:{place}", "default" if place == default else "0")]
    named = enumerate(("deu", "eng", "fra"))
    tongues = [part for place, name in named for part in (f"-metadata:s:a:{place}", f"language={name}")]
    _ffmpeg(*inputs, *picture, *maps, "-c:v", "libx264", "-c:a", "aac", *flags, *tongues, str(file))
    heard = _stereo(_render(_timeline(_scene(2, clip=str(file), clip_volume=1)), tmp_path))[:, 0]
    export(file, "mp3", tmp_path / "alone.mp3")
    for sound in (heard, _stereo(tmp_path / "alone.mp3")[:, 0]):
        powers = [_power(sound, hertz) for hertz in frequencies]
        assert powers.index(max(powers)) == (default or 0)
        assert sorted(powers)[1] < max(powers) / 20
