"""The quality gate finds every fault that is put into a good video, and names the scene."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.studio.measure import loudness
from ytray.errors import PermanentError
from ytray.studio.model import SIZES, Fit, Scene, Word
from ytray.studio.platforms import PRESETS, Preset, SafeArea
from ytray.studio.providers import painter, speaker
from ytray.studio.render import ffmpeg
from ytray.studio.render.compose import compose
from ytray.studio.render.probe import probe
from ytray.studio.render.quality.gate import demand, examine
from ytray.studio.render.quality.inspect import inspect
from ytray.studio.render.quality.report import Check, QualityReport
from ytray.studio.render.quality.sources import Watched, covering_box, watch
from ytray.studio.render.timeline import Effect, Music, Timeline, TimelineScene

SENTENCES = (
    "When cats are calm, they purr, and nobody knows how.",
    "Look deep down, in the throat, at small bones.",
    "Listen tonight, my friend, and tell us of it.",
)
SUBJECTS = ("cats", "ocean", "mountains at night")
ENCODER = "-c:v libx264 -preset ultrafast -crf 16 -c:a aac -b:a 256k -movflags +faststart".split()
TAGGED = "format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"


@dataclass(frozen=True)
class Sample:
    """A good video and what it was made from."""

    video: Path
    timeline: Timeline

    def spoilt(self, folder: Path, *, picture: str = "", sound: str = "", also: tuple[str, ...] = ()) -> Path:
        """A copy with filters over its picture or sound, or other arguments; what is not filtered is copied."""
        file = folder / "spoilt.mp4"
        arguments = ["-i", str(self.video), *ENCODER]
        arguments += ["-vf", f"{picture},{TAGGED}"] if picture else ["-c:v", "copy"]
        arguments += ["-af", sound] if sound else ["-c:a", "copy"]
        ffmpeg.run([*arguments, *also], file, seconds=0, folder=folder)
        return file

    def changed(self, place: int, **fields: object) -> Timeline:
        """The timeline with another scene."""
        scenes = list(self.timeline.scenes)
        scenes[place] = TimelineScene.model_validate({**scenes[place].model_dump(), **fields})
        return self.timeline.model_copy(update={"scenes": scenes})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Three scenes of about three seconds: stills that zoom, narrations at their starts, at -14 LUFS."""
    folder = tmp_path_factory.mktemp("sample")
    scenes, inputs, pictures, voices = [], [], [], []
    for place, (text, subject) in enumerate(zip(SENTENCES, SUBJECTS, strict=True)):
        picture, wav = folder / f"{place}.jpg", folder / f"{place}.wav"
        painter().draw(Scene(narration="", subject=subject, mood="bright"), "test", (180, 320), picture)
        spoken = speaker().speak(text, "en", wav)
        scene = TimelineScene(
            picture=str(picture), narration=str(wav), words=spoken.words, seconds=round(spoken.seconds + 0.12, 1)
        )
        scenes.append(scene)
        inputs += ["-i", picture.name, "-i", wav.name]
        zoom = f"zoompan=z=1+0.1*on/{scene.frames}:x=(iw-iw/zoom)/2:y=(ih-ih/zoom)/2:d={scene.frames}:s=180x320:fps=30"
        pictures.append(f"[{2 * place}:v]scale=360:640,{zoom},setsar=1[v{place}]")
        voices.append(f"[{2 * place + 1}:a]aresample=48000,apad,atrim=end={scene.length}[a{place}]")
    graph = ";".join([*pictures, *voices, "[v0][a0][v1][a1][v2][a2]concat=n=3:v=1:a=1[w][joined]", f"[w]{TAGGED}[v]"])
    timeline = Timeline(width=180, height=320, scenes=scenes)
    raw, video = folder / "raw.mov", folder / "video.mp4"
    maps = ["-map", "[v]", "-map", "[joined]"]
    ffmpeg.run([*inputs, "-filter_complex", graph, *maps, *ENCODER, "-c:a", "pcm_s16le"], raw, seconds=0, folder=folder)
    # Five decibels more than are missing: the limiter takes as much. It leaves room, since AAC overshoots.
    limiter = "aresample=192000,alimiter=limit=-4dB:level=0:attack=2:release=30,aresample=48000"
    louder = f"volume={-9 - loudness(raw)[0]:.2f}dB,{limiter}"
    ffmpeg.run(["-i", raw.name, *ENCODER, "-c:v", "copy", "-af", louder], video, seconds=0, folder=folder)
    return Sample(video, timeline)


@pytest.fixture(scope="module")
def told() -> list[float]:
    """The progress that was told while the good video was examined."""
    return []


@pytest.fixture(scope="module")
def good(sample: Sample, told: list[float]) -> QualityReport:
    """The report on the good video."""
    return examine(sample.video, sample.timeline, arc=[-0.2, 0.4, 0.1], progress=told.append)


def faults(report: QualityReport) -> dict[str, Check]:
    """The failed checks by name; each is named once here."""
    return {check.name: check for check in report.of("fail")}


def test_what_is_said_after_its_scenes_end_is_told_with_its_scene_and_the_length_it_needs(
    sample: Sample, tmp_path: Path
) -> None:
    wavs = [scene.narration or "" for scene in sample.timeline.scenes[:2]]
    joined = ["-i", wavs[0], "-i", wavs[1], "-filter_complex", "[0:a][1:a]concat=n=2:v=0:a=1"]
    ffmpeg.run(joined, tmp_path / "long.wav", seconds=0, folder=tmp_path)
    first = sample.timeline.scenes[0]
    late = [Word(text=text, start=first.length + 1, end=first.length + 2) for text in ("too", "late")]
    timeline = sample.changed(0, narration=str(tmp_path / "long.wav"), words=[*first.words, *late])
    report = examine(sample.video, timeline, asked=20)
    assert report.passed
    warnings = {check.name: check for check in report.of("warning")}
    told = warnings["cut_off"].told or ""
    assert told.startswith("scene 1: its narration lasts ")
    lasts = probe(tmp_path / "long.wav").seconds
    needed = float(re.findall(r"set its seconds to ([\d.]+)", told)[0])
    assert lasts - 0.6 < needed <= lasts + 0.2
    assert "2 of its words, from “too” on, come after its end" in (warnings["caption_words"].told or "")
    assert "20 s were asked for; give a longer text" in (warnings["asked_length"].told or "")


def test_a_good_video_passes_without_a_warning_and_its_figures_are_those_of_the_file(
    good: QualityReport, sample: Sample
) -> None:
    assert [check.told for check in good.checks if check.state != "pass"] == []
    assert good.passed
    demand(good)
    streams, sound = good.figures.streams, good.figures.sound
    assert (streams.width, streams.height, streams.frames_per_second) == (180, 320, 30.0)
    assert streams.picture_seconds == pytest.approx(sample.timeline.seconds, abs=0.001)
    assert streams.size_bytes == sample.video.stat().st_size
    integrated, peak = loudness(sample.video)
    assert sound.loudness == pytest.approx(integrated, abs=0.06)
    assert sound.true_peak == pytest.approx(peak, abs=0.06)
    assert [lag for lag in sound.voice_lags if lag is None or abs(lag) > 0.011] == []
    assert good.curves.cuts == pytest.approx(sample.timeline.starts()[1:], abs=0.001)
    assert good.curves.arc == [-0.2, 0.4, 0.1]


def test_a_report_survives_json(good: QualityReport) -> None:
    assert QualityReport.model_validate_json(good.model_dump_json()) == good


@pytest.fixture(scope="module")
def blackened(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video with all of its first scene black, and 0.3 s of its second."""
    length, start = sample.timeline.scenes[0].length, sample.timeline.starts()[1] + 0.5
    black = f"drawbox=t=fill:color=black:enable='lt(t,{length - 0.01})+between(t,{start},{start + 0.29})'"
    return sample.spoilt(tmp_path_factory.mktemp("blackened"), picture=black)


def test_black_pictures_are_found_where_they_are(blackened: Path, sample: Sample) -> None:
    report = examine(blackened, sample.timeline)
    checks = [check for check in report.checks if check.name == "black"]
    assert [(check.scene, check.state) for check in checks] == [(1, "fail"), (2, "warning")]
    assert (checks[1].told or "").startswith("scene 2: black for 0.30 s from ")
    length = sample.timeline.scenes[0].length
    told = rf"No black pictures: scene 1: black for {length:.2f} s from 0\.00 s.* render the scene again"
    with pytest.raises(PermanentError, match=told):
        demand(report)


def test_a_source_that_is_black_itself_may_be_black(blackened: Path, sample: Sample, tmp_path: Path) -> None:
    black = tmp_path / "black.png"
    Image.new("RGB", (180, 320)).save(black)
    report = examine(blackened, sample.changed(0, picture=str(black)))
    assert faults(report) == {}
    assert [check.scene for check in report.of("warning") if check.name == "black"] == [2]


@pytest.fixture(scope="module")
def frozen(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video with 2.4 s of each scene frozen while captions change."""
    firsts = [round(start * 30) + 15 for start in sample.timeline.starts()]
    held = f"select='not({'+'.join(f'between(n,{first},{first + 71})' for first in firsts)})',fps=30"
    captions = "drawbox=x=22:y=170:w=136:h=34:t=fill:color=white:enable='gt(mod(t,0.7),0.4)'"
    return sample.spoilt(tmp_path_factory.mktemp("frozen"), picture=f"{held},{captions}")


def test_a_frozen_picture_is_found_also_behind_captions(frozen: Path, sample: Sample) -> None:
    checks = [check for check in examine(frozen, sample.timeline).of("fail") if check.name == "frozen"]
    assert [check.scene for check in checks] == [1, 2, 3]
    for check in checks:
        assert float(check.measured.removesuffix(" s")) == pytest.approx(2.43, abs=0.07)
        assert 'motion "in" was asked for' in (check.told or "")


def test_a_picture_may_stand_still_where_that_was_asked_for(frozen: Path, sample: Sample, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg.run(["-i", str(sample.video), "-t", "0.5", *ENCODER, "-an"], short, seconds=0, folder=tmp_path)
    without, frozen_by_effect, clip = sample.timeline.scenes
    scenes = [
        without.model_copy(update={"motion": "none"}),
        frozen_by_effect.model_copy(update={"effects": [Effect(name="Freeze")]}),
        clip.model_copy(update={"picture": None, "clip": str(short)}),
    ]
    found = faults(examine(frozen, sample.timeline.model_copy(update={"scenes": scenes})))
    assert found.keys() == {"clip_pictures"}  # which this video does not show at all


def test_a_narration_that_is_not_heard_and_a_sound_too_soft_are_found(sample: Sample, tmp_path: Path) -> None:
    start, end = sample.timeline.starts()[1:]
    file = sample.spoilt(tmp_path, sound=f"volume=-5dB,volume=0:enable='between(t,{start},{end})'")
    found = faults(examine(file, sample.timeline))
    assert set(found) == {"narration", "loudness"}
    assert found["narration"].scene == 2
    assert "the file is silent for 2." in (found["narration"].told or "")
    assert "LU too soft" in (found["loudness"].told or "")


def test_peaks_that_are_too_high_are_found_and_a_voice_a_little_late_is_in_time(sample: Sample, tmp_path: Path) -> None:
    clicks = "aeval='if(lt(mod(t,4),0.01),0.98*sin(6000*t),val(0))':c=same"
    report = examine(sample.spoilt(tmp_path, sound=f"adelay=60:all=1,{clicks}"), sample.timeline)
    assert list(faults(report)) == ["peak"]
    assert report.figures.sound.voice_lags == pytest.approx([0.06] * 3, abs=0.011)


@pytest.mark.parametrize(
    ("shift", "milliseconds", "has_music"),
    [
        ("adelay=300:all=1", 300, True),
        ("atrim=start=0.2,asetpts=PTS-STARTPTS,apad=pad_dur=0.2", -200, False),
    ],
)
def test_a_voice_out_of_time_is_found_also_under_music(
    shift: str, milliseconds: int, has_music: bool, sample: Sample, tmp_path: Path
) -> None:
    sound, timeline = shift, sample.timeline
    if has_music:
        beat = "aevalsrc='0.12*(sin(2764*t)+sin(3481*t)+random(0)-0.5)*exp(-8*mod(t,0.5))':s=48000:d=20"
        sound = f"[in]{shift}[voice];{beat}[beat];[voice][beat]amix=inputs=2:normalize=0:duration=first"
        timeline = timeline.model_copy(update={"music": Music()})
    report = examine(sample.spoilt(tmp_path, sound=sound), timeline)
    late = [check for check in report.of("fail") if check.name == "sync"]
    assert [check.scene for check in late] == [1, 2, 3]
    for lag in report.figures.sound.voice_lags:
        assert lag is not None
        assert 1000 * lag == pytest.approx(milliseconds, abs=15)


def test_a_sound_stream_that_begins_late_is_found(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, sound="asetpts=PTS+0.3/TB"), sample.timeline)
    late = report.figures.streams.sound_starts_after_picture
    assert late == pytest.approx(0.3, abs=0.025)  # to a packet of AAC
    assert "later than the picture" in (faults(report)["sound_start"].told or "")


def test_a_wrong_size_and_a_wrong_length_are_found_with_the_scene_that_is_cut_off(
    sample: Sample, tmp_path: Path
) -> None:
    file = sample.spoilt(tmp_path, picture="scale=90:160", also=("-t", f"{sample.timeline.seconds - 0.5}"))
    found = faults(examine(file, sample.timeline))
    assert set(found) == {"resolution", "duration"}
    assert (found["resolution"].measured, found["resolution"].wanted) == ("90×160", "180×320")
    assert "0.50 s too short, it ends in scene 3" in (found["duration"].told or "")


def test_a_missing_sound_is_a_fault_unless_nothing_was_to_be_heard(sample: Sample, tmp_path: Path) -> None:
    file = sample.spoilt(tmp_path, also=("-an",))
    assert list(faults(examine(file, sample.timeline))) == ["sound"]
    quiet = [scene.model_copy(update={"narration": None}) for scene in sample.timeline.scenes]
    report = examine(file, sample.timeline.model_copy(update={"scenes": quiet}))
    assert report.passed
    assert (report.figures.sound.loudness, report.figures.streams.sound_seconds) == (None, None)


@pytest.fixture(scope="module")
def unlike(sample: Sample) -> QualityReport:
    """The good video against a timeline with another narration, faster words, a cut moved, and a narrow platform."""
    words = [Word(text=word.text, start=word.start / 3, end=word.end / 3) for word in sample.timeline.scenes[1].words]
    first, second, third = sample.timeline.scenes
    second, third = (
        scene.model_copy(update={"seconds": scene.seconds + more}) for scene, more in ((second, -0.2), (third, 0.2))
    )
    scenes = [
        first.model_copy(update={"narration": third.narration}),
        second.model_copy(update={"words": words}),
        third,
    ]
    strict = Preset("Strict", (1920, 1080), 1.0, 5.0, 50_000, SafeArea(0.1, 0.2, 0.1, 0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "youtube_shorts", strict)
        return examine(sample.video, sample.timeline.model_copy(update={"scenes": scenes}))


def test_another_narration_than_the_scenes_is_found(unlike: QualityReport) -> None:
    assert [check.scene for check in unlike.of("fail") if check.name == "sync"] == [1]


def test_captions_that_are_too_fast_are_a_warning_with_their_scene(unlike: QualityReport) -> None:
    fast = [check for check in unlike.of("warning") if check.name == "caption_speed"]
    assert [check.scene for check in fast] == [2]
    assert "“Look deep" in (fast[0].told or "")


def test_a_cut_elsewhere_than_where_its_scene_begins_is_a_warning(unlike: QualityReport) -> None:
    assert [check.scene for check in unlike.of("warning") if check.name == "cuts"] == [3]


def test_a_platforms_limits_are_held(unlike: QualityReport) -> None:
    assert set(faults(unlike)) == {"size", "platform_length", "sync"}
    assert faults(unlike)["size"].wanted == "at most 48.8 kB"
    assert "aspect" in [check.name for check in unlike.of("warning")]


def test_a_damaged_file_is_found(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "damaged.mp4"
    whole = bytearray(sample.video.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 4000] = bytes(4000)
    file.write_bytes(whole)
    assert "decoding" in faults(examine(file, sample.timeline))


def test_what_is_no_video_is_refused_by_name(tmp_path: Path, sample: Sample) -> None:
    file = tmp_path / "notes.mp4"
    file.write_text("no video")
    with pytest.raises(PermanentError, match=r"notes\.mp4"):
        examine(file, sample.timeline)


@pytest.mark.usefixtures("good")
def test_the_progress_goes_from_nothing_to_all(told: list[float]) -> None:
    assert told[0] < 0.1
    assert told[-1] == 1.0
    assert all(before <= after for before, after in itertools.pairwise(told))
    assert len([share for share in told if 0.1 < share < 0.9]) > 5


def test_an_interruption_leaves_nothing_behind(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            started.append(self)

    def stop(_: float) -> None:
        raise InterruptedError

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with pytest.raises(InterruptedError):
        examine(sample.video, sample.timeline, progress=stop)
    assert [process.poll() is None for process in started] == [False] * len(started)
    assert list(tmp_path.iterdir()) == []


def test_a_rotated_file_is_measured_as_it_is_shown(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "turned.mp4"
    turned = ["-display_rotation", "90", "-i", str(sample.video), "-c", "copy"]
    ffmpeg.run(turned, file, seconds=0, folder=tmp_path)
    found = inspect(file)
    assert (found.width, found.height, found.is_faststart) == (320, 180, False)


SIZE = (180, 320)


def drawn(path: Path, size: tuple[int, int], *boxes: tuple[int, int, int, int], ground: int = 128) -> str:
    """A plain picture with stripes in those boxes."""
    image = np.full((size[1], size[0], 3), ground, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right][:, ::8] = 250
        image[top:bottom, left:right][:, 4::8] = 0
    Image.fromarray(image).save(path)
    return str(path)


def filmed(path: Path, size: tuple[int, int], seconds: float, moving: str) -> str:
    """A grey clip with a silent sound, in which a small white box jumps about where `moving` says."""
    inputs = ["-f", "lavfi", "-i", f"color=gray:s={size[0]}x{size[1]}:r=30:d={seconds}"]
    inputs += ["-f", "lavfi", "-i", "color=white:s=16x16:r=30", "-f", "lavfi", "-i", f"anullsrc=d={seconds}"]
    graph = f"[0][1]overlay={moving}:shortest=1,{TAGGED}[v]"
    arguments = [*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "2:a", *ENCODER]
    ffmpeg.run(arguments, path, seconds=0, folder=path.parent)
    return str(path)


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A video as it should be, each scene of which is black or stands still for a reason of its own."""
    folder = tmp_path_factory.mktemp("framed")
    wide, beside = (320, 180), (280, 0, 320, 180)
    whole, clear = drawn(folder / "whole.png", SIZE, (0, 0, *SIZE)), Image.new("RGBA", SIZE, (255, 255, 255, 0))
    clear.save(folder / "clear.png")
    scenes = [
        # A still fades into a clip of 3 s, which has ended after 2 s of its scene.
        TimelineScene(picture=whole, seconds=2, crossfade=1),
        TimelineScene(clip=filmed(folder / "short.mp4", SIZE, 3, "82:152+40*sin(5*t)"), seconds=4.5, clip_volume=1),
        # Detail, and motion, where the frame does not show it.
        TimelineScene(picture=drawn(folder / "beside.png", wide, beside), seconds=2.2),
        TimelineScene(picture=drawn(folder / "dark.png", wide, beside, ground=0), seconds=2.2),
        TimelineScene(clip=filmed(folder / "edge.mp4", wide, 3, "290:82+60*sin(5*t)"), seconds=2.2),
        # A black card, faded into and out of; and a still that shines through as a whole.
        TimelineScene(picture=whole, seconds=1, crossfade=0.5, motion="left"),
        TimelineScene(picture=drawn(folder / "black.png", SIZE, ground=0), seconds=1, crossfade=0.5),
        TimelineScene(picture=whole, seconds=1),
        TimelineScene(picture=str(folder / "clear.png"), seconds=2.2),
    ]
    timeline = Timeline(width=SIZE[0], height=SIZE[1], captions=False, scenes=scenes)
    compose(timeline, folder / "video.mp4")
    return Sample(folder / "video.mp4", timeline)


def test_what_a_scene_shows_in_its_frame_is_asked_for_and_silent_clips_may_be_silent(framed: Sample) -> None:
    report = examine(framed.video, framed.timeline)
    assert faults(report) == {}
    assert len(report.figures.picture.frozen) >= 5
    assert [check.told for check in report.checks if check.name in ("black", "frozen") and check.told] == []
    assert "nothing can be heard" in next(
        check.told or "" for check in report.of("warning") if check.name == "loudness"
    )


def test_a_source_that_shows_more_in_its_frame_than_the_video_is_a_fault(framed: Sample, tmp_path: Path) -> None:
    lit = drawn(tmp_path / "lit.png", (320, 180), (140, 0, 180, 180), ground=0)
    moving = filmed(tmp_path / "moving.mp4", (320, 180), 5, "152:82+60*sin(5*t)")
    scenes = list(framed.timeline.scenes)
    for place, source in ((1, {"clip": moving}), (2, {"picture": lit}), (3, {"picture": lit}), (4, {"clip": moving})):
        scenes[place] = scenes[place].model_copy(update=source)
    report = examine(framed.video, framed.timeline.model_copy(update={"scenes": scenes}))
    found = {(check.name, check.scene) for check in report.of("fail")}
    assert found == {("frozen", 2), ("frozen", 3), ("frozen", 4), ("black", 4), ("frozen", 5)}


def test_captions_are_left_out_where_they_stand_in_a_square(tmp_path: Path) -> None:
    picture = drawn(tmp_path / "whole.png", (180, 180), (0, 0, 180, 180))
    captions = "drawbox=x=40:y=146:w=100:h=16:t=fill:color=white:enable='gt(mod(t,0.7),0.4)'"
    file = tmp_path / "square.mp4"
    arguments = ["-loop", "1", "-r", "30", "-i", picture, "-t", "2.4", "-vf", f"{captions},{TAGGED}", *ENCODER]
    ffmpeg.run(arguments, file, seconds=0, folder=tmp_path)
    words = [Word(text="purr", start=0.2, end=2.0)]
    timeline = Timeline(width=180, height=180, scenes=[TimelineScene(picture=picture, words=words, seconds=2.4)])
    assert faults(examine(file, timeline))["frozen"].scene == 1


def test_a_whole_picture_is_looked_at_as_a_whole_and_hdr_as_it_is_mapped(tmp_path: Path) -> None:
    beside = drawn(tmp_path / "beside.png", (640, 360), (440, 0, 640, 360), ground=0)
    edge = filmed(tmp_path / "edge.mp4", (320, 180), 1, "280:82+60*sin(5*t)")
    dark = tmp_path / "dark.mkv"
    hdr = "format=yuv420p10,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    made = ["-f", "lavfi", "-i", "color=0x202020:s=180x320:r=30:d=0.5", "-vf", hdr, "-c:v", "ffv1"]
    ffmpeg.run(made, dark, seconds=0, folder=tmp_path)

    def looked(**source: Any) -> Watched:
        return watch(TimelineScene(seconds=1, **source), 0, 0.0, 1.0, SIZE, None)

    assert looked(picture=beside) == Watched(is_black=True, is_still=True)
    assert looked(picture=beside, fit="blur") == Watched(is_black=False, is_still=False)
    assert (looked(clip=edge).is_still, looked(clip=edge, fit="blur").is_still) == (True, False)
    # A code of 32 in 255 is a dark grey in BT.709, and 0.6 cd/m² in PQ: as good as black.
    assert looked(clip=str(dark)).is_black


@given(*[st.integers(1, 20_000)] * 2, st.sampled_from(sorted(SIZES.values())))
def test_what_is_seen_of_a_still_of_any_size_lies_inside_it(width: int, height: int, size: tuple[int, int]) -> None:
    left, top, right, bottom = covering_box((width, height), size)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1], rel=1e-6)


RENDERED = """
import resource, sys
from pathlib import Path
from ytray.studio.render.compose import compose
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.timeline import Timeline
for number, given in enumerate(sys.argv[2:]):
    timeline, video = Timeline.model_validate_json(given), Path(sys.argv[1], f"video{number}.mp4")
    compose(timeline, video)
    checks = len(examine(video, timeline).checks)
    # The peak of this program alone: getrusage would count what its parent had when it started it.
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    print(checks, max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""
_LARGE = [(16_384, 1), (1, 16_384), (16_384, 6_000), (10_000, 10_000)]


@pytest.mark.parametrize(
    "sizes",
    [
        [(1000, 1000), (400, 1), (1, 400), (16_000, 40), (2, 3), (1919, 1079)],
        *(pytest.param([one], marks=pytest.mark.chaos) for one in _LARGE),
    ],
    ids=str,
)
def test_a_still_of_any_shape_is_rendered_and_checked_in_little_memory(
    sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    timelines = []
    fits: tuple[Fit, ...] = ("crop", "blur")
    for size in sizes:
        noise = Image.effect_noise((min(400, size[0]), min(400, size[1])), 60).resize(size, Image.Resampling.NEAREST)
        still = tmp_path / f"still{size}.png"
        noise.convert("RGB").save(still, compress_level=1)
        for fit in fits:
            shown = TimelineScene(picture=str(still), seconds=2.6, motion="none", fit=fit)
            timelines.append(Timeline(width=180, height=320, captions=False, scenes=[shown]).model_dump_json())
    command = [sys.executable, "-c", RENDERED, str(tmp_path), *timelines]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=170)
    told = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(told) == 2 * len(sizes)
    assert all(checks >= 10 for checks, _ in told)
    most = max(kibibytes for _, kibibytes in told)
    assert most < 600_000 + max(width * height for width, height in sizes) // 250  # four bytes a pixel
    print(f"{sizes}: rendered and checked in {most // 1024} MiB")
