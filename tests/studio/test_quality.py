"""The quality gate finds every fault that is put into a good video, and names the scene."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.studio.measure import loudness
from ytray.errors import PermanentError
from ytray.studio.model import Scene, Word
from ytray.studio.providers import painter, speaker
from ytray.studio.render import ffmpeg
from ytray.studio.render.platforms import PRESETS, Preset, SafeArea
from ytray.studio.render.quality.gate import Check, QualityReport, demand, examine
from ytray.studio.render.quality.inspect import inspect
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
        painter().draw(Scene(narration="", subject=subject, mood="bright"), "test", (320, 568), picture)
        spoken = speaker().speak(text, "en", wav)
        scene = TimelineScene(
            picture=str(picture), narration=str(wav), words=spoken.words, seconds=round(spoken.seconds + 0.12, 1)
        )
        scenes.append(scene)
        inputs += ["-i", picture.name, "-i", wav.name]
        zoom = f"zoompan=z=1+0.1*on/{scene.frames}:x=(iw-iw/zoom)/2:y=(ih-ih/zoom)/2:d={scene.frames}:s=320x568:fps=30"
        pictures.append(f"[{2 * place}:v]scale=640:1136,{zoom},setsar=1[v{place}]")
        voices.append(f"[{2 * place + 1}:a]aresample=48000,apad,atrim=end={scene.length}[a{place}]")
    graph = ";".join([*pictures, *voices, "[v0][a0][v1][a1][v2][a2]concat=n=3:v=1:a=1[w][joined]", f"[w]{TAGGED}[v]"])
    timeline = Timeline(width=320, height=568, scenes=scenes)
    raw, video = folder / "raw.mov", folder / "video.mp4"
    maps = ["-map", "[v]", "-map", "[joined]"]
    ffmpeg.run([*inputs, "-filter_complex", graph, *maps, *ENCODER, "-c:a", "pcm_s16le"], raw, seconds=0, folder=folder)
    # Five decibels more than are missing: the limiter takes as much. It leaves room, since AAC overshoots.
    limiter = "aresample=192000,alimiter=limit=-4dB:level=0:attack=2:release=30,aresample=48000"
    louder = f"volume={-9 - loudness(raw)[0]:.2f}dB,{limiter}"
    ffmpeg.run(["-i", raw.name, *ENCODER, "-c:v", "copy", "-af", louder], video, seconds=0, folder=folder)
    return Sample(video, timeline)


@pytest.fixture(scope="module")
def good(sample: Sample) -> QualityReport:
    """The report on the good video."""
    return examine(sample.video, sample.timeline, arc=[-0.2, 0.4, 0.1])


def faults(report: QualityReport) -> dict[str, Check]:
    """The failed checks by name; each is named once here."""
    return {check.name: check for check in report.of("fail")}


def test_a_good_video_passes_without_a_warning_and_its_figures_are_those_of_the_file(
    good: QualityReport, sample: Sample
) -> None:
    assert [check.told for check in good.checks if check.state != "pass"] == []
    assert good.passed
    demand(good)
    streams, sound = good.figures.streams, good.figures.sound
    assert (streams.width, streams.height, streams.frames_per_second) == (320, 568, 30.0)
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


def test_black_pictures_are_found_where_they_are(sample: Sample, tmp_path: Path) -> None:
    start = sample.timeline.starts()[1] + 0.5
    black = f"drawbox=t=fill:color=black:enable='between(t,{start},{start + 0.29})'"
    report = examine(sample.spoilt(tmp_path, picture=black), sample.timeline)
    check = faults(report)["black"]
    assert check.scene == 2
    assert check.told is not None
    assert check.told.startswith("scene 2: black for 0.30 s from ")
    with pytest.raises(
        PermanentError, match=r"No black pictures: scene 2: black for 0\.30 s .* render the scene again"
    ):
        demand(report)


def test_a_source_that_is_black_itself_may_be_black(sample: Sample, tmp_path: Path) -> None:
    length = sample.timeline.scenes[0].length
    file = sample.spoilt(tmp_path, picture=f"drawbox=t=fill:color=black:enable='lt(t,{length})'")
    black = tmp_path / "black.png"
    Image.new("RGB", (320, 568)).save(black)
    assert faults(examine(file, sample.changed(0, picture=str(black)))) == {}
    assert faults(examine(file, sample.timeline))["black"].scene == 1


@pytest.fixture(scope="module")
def frozen(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video with 2.4 s of its first scene frozen while captions change."""
    held = "select='lt(n,15)+gt(n,86)',fps=30"
    captions = "drawbox=x=40:y=300:w=240:h=60:t=fill:color=white:enable='gt(mod(t,0.7),0.4)'"
    return sample.spoilt(tmp_path_factory.mktemp("frozen"), picture=f"{held},{captions}")


def test_a_frozen_picture_is_found_also_behind_captions(frozen: Path, sample: Sample) -> None:
    check = faults(examine(frozen, sample.timeline))["frozen"]
    assert check.scene == 1
    assert check.measured == "2.43 s"
    assert 'motion "in" was asked for' in (check.told or "")


def test_a_picture_may_stand_still_where_that_was_asked_for(frozen: Path, sample: Sample, tmp_path: Path) -> None:
    assert faults(examine(frozen, sample.changed(0, motion="none"))) == {}
    assert faults(examine(frozen, sample.changed(0, effects=[Effect(name="Freeze").model_dump()]))) == {}
    short = tmp_path / "short.mp4"
    ffmpeg.run(["-i", str(sample.video), "-t", "0.5", *ENCODER, "-an"], short, seconds=0, folder=tmp_path)
    assert faults(examine(frozen, sample.changed(0, picture=None, clip=str(short)))) == {}
    whole = sample.changed(0, picture=None, clip=str(sample.video))
    assert faults(examine(frozen, whole))["frozen"].scene == 1


def test_a_narration_that_is_not_heard_is_found(sample: Sample, tmp_path: Path) -> None:
    start, end = sample.timeline.starts()[1:]
    file = sample.spoilt(tmp_path, sound=f"volume=0:enable='between(t,{start},{end})'")
    check = faults(examine(file, sample.timeline))["narration"]
    assert check.scene == 2
    assert "the file is silent for 2." in (check.told or "")


def test_a_sound_that_is_too_soft_is_found(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, sound="volume=-5dB"), sample.timeline)
    assert list(faults(report)) == ["loudness"]
    assert "LU too soft" in (faults(report)["loudness"].told or "")


def test_peaks_that_are_too_high_are_found(sample: Sample, tmp_path: Path) -> None:
    clicks = "aeval='if(lt(mod(t,4),0.01),0.98*sin(6000*t),val(0))':c=same"
    report = examine(sample.spoilt(tmp_path, sound=clicks), sample.timeline)
    assert list(faults(report)) == ["peak"]


@pytest.mark.parametrize(
    ("shift", "milliseconds", "has_music"),
    [
        ("adelay=300:all=1", 300, False),
        ("adelay=300:all=1", 300, True),
        ("atrim=start=0.2,asetpts=PTS-STARTPTS,apad=pad_dur=0.2", -200, True),
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


def test_a_voice_a_little_late_is_in_time(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, sound="adelay=60:all=1"), sample.timeline)
    assert report.passed
    assert report.figures.sound.voice_lags == pytest.approx([0.06] * 3, abs=0.011)


def test_another_narration_than_the_scenes_is_found(sample: Sample) -> None:
    other = sample.timeline.scenes[2].narration
    report = examine(sample.video, sample.changed(0, narration=other))
    assert [(check.name, check.scene) for check in report.of("fail")] == [("sync", 1)]


def test_a_sound_stream_that_begins_late_is_found(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, sound="asetpts=PTS+0.3/TB"), sample.timeline)
    late = report.figures.streams.sound_starts_after_picture
    assert late == pytest.approx(0.3, abs=0.025)  # to a packet of AAC
    assert "later than the picture" in (faults(report)["sound_start"].told or "")


def test_a_wrong_length_is_found_with_the_scene_that_is_cut_off(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, also=("-t", f"{sample.timeline.seconds - 0.5}")), sample.timeline)
    assert "0.50 s too short, it ends in scene 3" in (faults(report)["duration"].told or "")


def test_a_wrong_size_is_found(sample: Sample, tmp_path: Path) -> None:
    report = examine(sample.spoilt(tmp_path, picture="scale=160:284"), sample.timeline)
    assert (faults(report)["resolution"].measured, faults(report)["resolution"].wanted) == ("160×284", "320×568")


def test_a_missing_sound_is_a_fault_unless_nothing_was_to_be_heard(sample: Sample, tmp_path: Path) -> None:
    file = sample.spoilt(tmp_path, also=("-an",))
    assert list(faults(examine(file, sample.timeline))) == ["sound"]
    quiet = [scene.model_copy(update={"narration": None}) for scene in sample.timeline.scenes]
    report = examine(file, sample.timeline.model_copy(update={"scenes": quiet}))
    assert report.passed
    assert (report.figures.sound.loudness, report.figures.streams.sound_seconds) == (None, None)


def test_captions_that_are_too_fast_are_a_warning_with_their_scene(sample: Sample) -> None:
    words = [
        Word(text=word.text, start=word.start / 3, end=word.end / 3).model_dump()
        for word in sample.timeline.scenes[1].words
    ]
    report = examine(sample.video, sample.changed(1, words=words))
    assert report.passed
    fast = [check for check in report.of("warning") if check.name == "caption_speed"]
    assert [check.scene for check in fast] == [2]
    assert "“Look deep" in (fast[0].told or "")


def test_a_cut_elsewhere_than_where_its_scene_begins_is_a_warning(sample: Sample) -> None:
    moved = sample.changed(0, seconds=sample.timeline.scenes[0].seconds + 0.2)
    moved.scenes[1] = moved.scenes[1].model_copy(update={"seconds": moved.scenes[1].seconds - 0.2})
    report = examine(sample.video, moved)
    assert [check.scene for check in report.of("warning") if check.name == "cuts"] == [2]


def test_a_platforms_limits_are_held(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = Preset("Strict", (1920, 1080), 1.0, 5.0, 100_000, SafeArea(0.1, 0.2, 0.1, 0.1))
    monkeypatch.setitem(PRESETS, "youtube_shorts", strict)
    report = examine(sample.video, sample.timeline)
    assert set(faults(report)) == {"size", "platform_length"}
    assert faults(report)["size"].wanted == "at most 97.7 kB"
    assert "aspect" in [check.name for check in report.of("warning")]


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


def test_the_progress_goes_from_nothing_to_all(sample: Sample) -> None:
    told: list[float] = []
    examine(sample.video, sample.timeline, progress=told.append)
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
    assert (found.width, found.height, found.is_faststart) == (568, 320, False)
