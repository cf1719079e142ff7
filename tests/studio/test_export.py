"""Exports, measured: what they hold, how near they are to their source, and what a platform would say."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.studio.measure import frames, loudness
from ytray.errors import PermanentError
from ytray.studio.model import Mood, Scene
from ytray.studio.platforms import PRESETS, Platform
from ytray.studio.providers import painter
from ytray.studio.render import export as exports
from ytray.studio.render import ffmpeg
from ytray.studio.render.export import export
from ytray.studio.render.probe import groups, probe

_BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
_ENCODED = [
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-crf",
    "12",
    "-g",
    "30",
    "-flags",
    "+cgop",
    "-pix_fmt",
    "yuv420p",
]
_EXACT = "scale=flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
_PATCHES = ((200, 40, 40), (40, 180, 60), (30, 60, 210), (230, 200, 60), (128, 128, 128), (20, 20, 24))


def _made(output: Path, *arguments: str) -> Path:
    ffmpeg.run(arguments, output, seconds=1, folder=output.parent)
    return output


def _patched(size: str, seconds: float, rate: int) -> str:
    """A graph of ffmpeg's own test picture with flat patches of known colours at the top."""
    width = int(size.partition("x")[0])
    side = width // len(_PATCHES) // 2 * 2
    boxes = [
        f"drawbox=x={place * side}:y=0:w={side}:h={side}:c=0x{red:02x}{green:02x}{blue:02x}:t=fill"
        for place, (red, green, blue) in enumerate(_PATCHES)
    ]
    # The colours are drawn in RGB, and become BT.709 here and nowhere else.
    scaled = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    return f"testsrc2=s={size}:r={rate}:d={seconds},format=gbrp,{','.join(boxes)},{scaled},{_BT709}"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second with sound at 48 kHz; its name would be an option, and its metadata tells a place."""
    output = tmp_path_factory.mktemp("export") / "-i;video.mp4"
    sound = ["-f", "lavfi", "-i", "sine=f=440:r=48000:d=1,volume=-3dB"]
    told = ["-c:a", "aac", "-metadata", "location=+52.5200+013.4050/"]
    return _made(output, "-f", "lavfi", "-i", _patched("320x568", 1, 30), *sound, *_ENCODED, *told)


def _likeness(made: Path, source: Path) -> float:
    """SSIM of two videos, 1 when they are equal; both in the source's first 8 pictures a second."""
    found = probe(source)
    same = f"fps=8,scale={found.width}:{found.height},format=yuv420p"
    graph = f"[0:V:0]{same}[made];[1:V:0]{same}[source];[made][source]ssim"
    command = [ffmpeg.binary(), "-nostdin", "-i", str(made), "-i", str(source), "-lavfi", graph, "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"All:([\d.]+)", said)[-1])


def _patches(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    picture = frames(path, 2, 320, 568)[1]
    side = 320 // len(_PATCHES) // 2 * 2
    return np.array([picture[12 : side - 12, n * side + 12 : (n + 1) * side - 12].mean((0, 1)) for n in range(6)])


def _index_is_first(path: Path) -> bool:
    content = path.read_bytes()
    return content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("form", "codec", "picture", "sound", "least_likeness"),
    [
        ("mp4", None, "h264", "aac", 1.0),
        ("mp4", "hevc", "hevc", "aac", 0.95),
        ("mov", None, "h264", "aac", 1.0),
        ("webm", None, "vp9", "opus", 0.93),
        ("webm", "av1", "av1", "opus", 0.93),
        ("gif", None, "gif", None, 0.8),
        ("m4a", None, None, "aac", None),
        ("mp3", None, None, "mp3", None),
    ],
)
def test_an_export_holds_what_its_format_says_and_looks_like_its_source(
    form: str,
    codec: str | None,
    picture: str | None,
    sound: str | None,
    least_likeness: float | None,
    video: Path,
    tmp_path: Path,
) -> None:
    target, told = tmp_path / f"v.{form}", list[float]()
    export(video, form, target, told.append, codec=codec)
    found = probe(target)
    assert (found.video_codec, found.audio_codec) == (picture, sound)
    assert found.seconds == pytest.approx(1.0, abs=0.1)
    assert told == sorted(told)
    assert b"+52.52" not in target.read_bytes()
    if sound:
        assert loudness(target)[0] == pytest.approx(loudness(video)[0], abs=0.7)
    if least_likeness:
        assert _likeness(target, video) >= least_likeness
        assert np.abs(_patches(target) - _patches(video)).max() <= (12 if form == "gif" else 2)
    if picture not in (None, "gif"):
        assert (found.colours, found.pixel_format) == ("bt709", "yuv420p")
    if form in ("mp4", "mov", "m4a"):
        assert _index_is_first(target)
    assert [file.name for file in tmp_path.iterdir()] == [f"v.{form}"]


def test_hevc_has_the_name_that_apple_plays_and_is_smaller(video: Path, tmp_path: Path) -> None:
    export(video, "mov", tmp_path / "v.mov", codec="hevc")
    assert b"hvc1" in (tmp_path / "v.mov").read_bytes()
    assert (tmp_path / "v.mov").stat().st_size < video.stat().st_size


def test_a_gif_is_small_and_its_pictures_follow_evenly(tmp_path: Path) -> None:
    large = _made(tmp_path / "v.mp4", "-f", "lavfi", "-i", _patched("640x360", 1, 30), *_ENCODED)
    export(large, "gif", tmp_path / "v.gif")
    found = probe(tmp_path / "v.gif")
    assert (found.width, found.height, found.frames_per_second, found.is_variable) == (480, 270, 12.5, False)


def test_a_gif_of_several_skies_has_no_rings(tmp_path: Path) -> None:
    """Rings are what is left of the difference where the eye takes the mean, over 13 pixels."""
    arguments: list[str] = []
    scenes: list[tuple[str, Mood]] = [("ocean", "bright"), ("mountain", "warm"), ("planet", "dark")]
    for place, (subject, mood) in enumerate(scenes):
        file = tmp_path / f"{place}.jpg"
        painter().draw(Scene(narration="", subject=subject, mood=mood), "gif", (240, 426), file)
        arguments += ["-loop", "1", "-framerate", "25", "-t", "0.4", "-i", str(file)]
    joined = "[0][1][2]concat=n=3,zoompan=z='1+0.002*on':d=1:s=240x426:fps=25,format=yuv420p"
    video = _made(tmp_path / "v.mp4", *arguments, "-filter_complex", joined, "-c:v", "libx264", "-crf", "8")
    export(video, "gif", tmp_path / "v.gif")
    shown, wanted = (frames(file, 12.5, 240, 426).astype(np.float32) for file in (tmp_path / "v.gif", video))
    for place in (2, 7, 12):
        apart = cv2.blur(shown[place], (13, 13)) - cv2.blur(wanted[place], (13, 13))
        assert apart[10:200, 10:230].std() < 1.8


@pytest.mark.parametrize(("form", "codec"), [("webm", "av1"), ("gif", None)])
def test_the_same_video_gives_the_same_bytes(form: str, codec: str | None, video: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(video, form, tmp_path / f"{name}.{form}", codec=codec)
    assert (tmp_path / f"one.{form}").read_bytes() == (tmp_path / f"two.{form}").read_bytes()


@pytest.mark.parametrize(
    ("form", "codec", "platform", "why"),
    [
        ("avi", None, None, r"'avi'.*mp4, mov, webm"),
        ("webm", "hevc", None, "webm with hevc is not made: webm holds vp9 and av1"),
        ("mp4", "vp9", None, "mp4 with vp9 is not made"),
        ("mp3", "h264", None, "mp3 holds no pictures"),
        ("webm", None, "tiktok", "TikTok is given mp4 with h264, not webm"),
        ("mp4", "hevc", "reels", "not mp4 with hevc"),
        ("mp4", None, "vine", "no platform 'vine'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    form: str, codec: str | None, platform: Platform | None, why: str, video: Path, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match=why):
        export(video, form, tmp_path / "v.out", codec=codec, platform=platform)
    assert list(tmp_path.iterdir()) == []


def test_what_a_source_does_not_hold_is_said(video: Path, tmp_path: Path) -> None:
    silent = _made(tmp_path / "silent.mp4", "-i", str(video), "-an", "-c", "copy")
    with pytest.raises(PermanentError, match=r"silent\.mp4 has no sound, so there is no mp3"):
        export(silent, "mp3", tmp_path / "v.mp3")
    heard = _made(tmp_path / "heard.m4a", "-i", str(video), "-vn", "-c", "copy")
    with pytest.raises(PermanentError, match=r"heard\.m4a has no pictures.*m4a or mp3"):
        export(heard, "gif", tmp_path / "v.gif")
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(PermanentError, match=r"bad\.mp4 is not a readable media file"):
        export(tmp_path / "bad.mp4", "mp4", tmp_path / "v.mp4")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ten_bits.mp4", ["-pix_fmt", "yuv444p10le", "-c:v", "libx264"]),
        ("turned.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-crf", "20", "-b:v", "0"]),
        ("bt601.mkv", ["-vf", f"{_EXACT}:out_color_matrix=bt601,setparams=colorspace=smpte170m", "-c:v", "ffv1"]),
        ("full_range.mkv", ["-vf", f"{_EXACT}:out_color_matrix=bt601:out_range=pc", "-c:v", "mjpeg", "-q:v", "2"]),
        ("rgb.mkv", ["-vf", "format=gbrp", "-c:v", "ffv1"]),
        ("clear.mov", ["-vf", "format=rgba", "-c:v", "png"]),
    ],
)
def test_any_video_becomes_a_plain_mp4_of_the_same_colours(
    name: str, arguments: list[str], video: Path, tmp_path: Path
) -> None:
    source = _made(tmp_path / name, "-i", str(video), "-an", *arguments)
    export(source, "mp4", tmp_path / "v.mp4")
    found = probe(tmp_path / "v.mp4")
    assert (found.video_codec, found.pixel_format, found.colours) == ("h264", "yuv420p", "bt709")
    assert np.abs(_patches(tmp_path / "v.mp4") - _patches(video)).max() <= 3


def test_a_turned_odd_and_transparent_video_comes_out_upright_even_and_on_black(tmp_path: Path) -> None:
    clear = ["-f", "lavfi", "-i", "color=red@0.0:s=101x51:r=30:d=0.5,format=rgba", "-c:v", "png"]
    _made(tmp_path / "v.mov", *clear)
    turned = _made(tmp_path / "turned.mov", "-display_rotation", "90", "-i", str(tmp_path / "v.mov"), "-c", "copy")
    export(turned, "webm", tmp_path / "v.webm")
    found = probe(tmp_path / "v.webm")
    assert (found.width, found.height, found.rotation) == (50, 100, 0)
    assert frames(tmp_path / "v.webm", 2).max() <= 3


def test_hdr_white_becomes_white(tmp_path: Path) -> None:
    # 203 cd/m² is 0.58 of PQ: white on paper, as BT.2408 has it.
    pq = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    grey = "color=0x949494:s=64x64:r=30:d=0.3,format=gbrp,scale=out_color_matrix=bt2020,format=yuv420p10le"
    encoded = ["-c:v", "libx265", "-x265-params", "log-level=error"]
    _made(tmp_path / "hdr.mp4", "-f", "lavfi", "-i", f"{grey},{pq}", *encoded)
    export(tmp_path / "hdr.mp4", "mp4", tmp_path / "v.mp4")
    assert probe(tmp_path / "v.mp4").colours == "bt709"
    assert 215 < frames(tmp_path / "v.mp4", 10).mean() <= 255


def test_a_video_that_says_half_of_its_colours_says_all_when_it_is_copied(tmp_path: Path) -> None:
    half = _patched("320x568", 1, 30).replace(_BT709, "setparams=colorspace=bt709:range=tv")
    source = _made(tmp_path / "half.mp4", "-f", "lavfi", "-i", half, *_ENCODED)
    assert probe(source).colours == "bt709/unknown/unknown"
    export(source, "mp4", tmp_path / "v.mp4")
    assert probe(tmp_path / "v.mp4").colours == "bt709"
    assert _likeness(tmp_path / "v.mp4", source) == 1.0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms of a sixth of their sizes, and of lengths that a test has time for."""
    for name, preset in PRESETS.items():
        size = preset.size[0] // 6, preset.size[1] // 6
        changed = replace(preset, size=size, least_seconds=1.0, most_seconds=2.0, most_bytes=400_000)
        monkeypatch.setitem(PRESETS, name, changed)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("platform", list(PRESETS))
def test_a_platform_gets_what_it_takes(platform: Platform, video: Path, tmp_path: Path) -> None:
    target, preset = tmp_path / "v.mp4", PRESETS[platform]
    export(video, "mp4", target, platform=platform)
    found = probe(target)
    assert (found.width, found.height) == preset.size
    assert (found.video_codec, found.audio_codec, found.sample_rate) == ("h264", "aac", 48_000)
    assert (found.colours, found.pixel_format) == ("bt709", "yuv420p")
    assert found.seconds == pytest.approx(1.0, abs=0.1)
    assert target.stat().st_size <= preset.most_bytes
    assert groups(target).are_closed
    assert groups(target).longest <= 2.05
    assert _index_is_first(target)
    assert loudness(target)[0] == pytest.approx(loudness(video)[0], abs=0.7)


@pytest.mark.usefixtures("small")
def test_another_shape_is_shown_whole_over_a_blur_of_itself(video: Path, tmp_path: Path) -> None:
    export(video, "mp4", tmp_path / "v.mp4", platform="youtube")
    shown = frames(tmp_path / "v.mp4", 2, 320, 180)[1].astype(float)
    whole = frames(video, 2, 100, 180)[1].astype(float)
    assert np.abs(shown[:, 110:210] - whole).mean() < 12
    sides = np.concatenate([shown[:, :100], shown[:, 220:]], axis=1)
    assert np.abs(np.diff(sides, axis=0)).mean() < np.abs(np.diff(whole, axis=0)).mean() / 3
    assert sides.mean() > 20


@pytest.mark.usefixtures("small")
def test_what_fits_already_is_copied(tmp_path: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=r=48000:d=1.5", "-c:a", "aac"]
    fitting = _made(tmp_path / "fits.mp4", "-f", "lavfi", "-i", _patched("180x320", 1.5, 30), *sound, *_ENCODED)
    export(fitting, "mp4", tmp_path / "v.mp4", platform="tiktok")
    assert _likeness(tmp_path / "v.mp4", fitting) == 1.0
    long = ["-g", "600", "-keyint_min", "600", "-sc_threshold", "0"]
    other = _patched("180x320", 2, 15)
    slow = _made(tmp_path / "slow.mp4", "-f", "lavfi", "-i", other, *sound, *_ENCODED, *long)
    export(slow, "mp4", tmp_path / "v.mp4", platform="tiktok")
    assert probe(tmp_path / "v.mp4").frames_per_second == 30


@pytest.mark.usefixtures("small")
def test_too_many_bytes_are_encoded_again_until_they_fit(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "reels", replace(PRESETS["reels"], most_bytes=80_000))
    export(video, "mp4", tmp_path / "v.mp4", platform="reels")
    assert 30_000 < (tmp_path / "v.mp4").stat().st_size <= 80_000


@pytest.mark.usefixtures("small")
def test_a_video_without_sound_gets_silence(video: Path, tmp_path: Path) -> None:
    silent = _made(tmp_path / "silent.mp4", "-i", str(video), "-an", "-c", "copy")
    export(silent, "mp4", tmp_path / "v.mp4", platform="tiktok")
    assert probe(tmp_path / "v.mp4").audio_codec == "aac"
    assert probe(tmp_path / "v.mp4").seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("seconds", "why"), [(3.0, "1.0 s too long for TikTok"), (0.4, "0.6 s too short for TikTok")])
def test_a_wrong_length_is_refused_with_the_difference(seconds: float, why: str, tmp_path: Path) -> None:
    source = _made(tmp_path / "long.mp4", "-f", "lavfi", "-i", _patched("64x64", seconds, 30), *_ENCODED)
    with pytest.raises(PermanentError, match=rf"long\.mp4 is {why}: it lasts {seconds} s"):
        export(source, "mp4", tmp_path / "v.mp4", platform="tiktok")
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.usefixtures("small")
def test_a_result_that_a_platform_would_refuse_is_not_handed_over(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "reels", replace(PRESETS["reels"], most_bytes=1000))
    with pytest.raises(ffmpeg.RenderFailed, match=r"Instagram Reels came out wrong: \d+ bytes"):
        export(video, "mp4", tmp_path / "v.mp4", platform="reels")
    assert not (tmp_path / "v.mp4").exists()


def test_every_format_has_a_line_of_codecs() -> None:
    assert exports.CODECS["mp4"][0] == "h264"
    assert all(not exports.CODECS[form] for form in ("m4a", "mp3"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", ["2.1", "4.0", "5.1(side)", "7.1(wide)"])
def test_surround_is_mixed_down_for_every_format_and_platform(layout: str, tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=180x320:r=30:d=1", "-f", "lavfi", "-i", "sine=f=300:r=48000:d=1"]
    around = ["-af", f"aformat=channel_layouts={layout}", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac"]
    file = _made(tmp_path / "around.mkv", *picture, *around)
    for form in ("webm", "mp4", "m4a", "mp3"):
        export(file, form, tmp_path / f"made.{form}")
        made = probe(tmp_path / f"made.{form}")
        assert made.channels == "stereo"
        assert made.seconds == pytest.approx(1, abs=0.1)
    export(file, "mp4", tmp_path / "reel.mp4", platform="reels")
    assert probe(tmp_path / "reel.mp4").channels == "stereo"


@pytest.mark.usefixtures("small")
def test_a_platform_gets_no_surround_that_was_aac_already(tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=180x320:r=30:d=1", "-f", "lavfi", "-i", "sine=f=300:r=48000:d=1"]
    file = _made(tmp_path / "around.mp4", *picture, "-af", "aformat=channel_layouts=5.1", "-c:a", "aac")
    export(file, "mp4", tmp_path / "reel.mp4", platform="reels")
    assert probe(tmp_path / "reel.mp4").channels == "stereo"


@pytest.mark.parametrize(("size", "matrix"), [("720x576", "bt601"), ("480x854", "bt601"), ("1280x720", "bt709")])
def test_a_video_that_says_no_matrix_is_taken_as_players_take_it(size: str, matrix: str, tmp_path: Path) -> None:
    source = f"color=c=0xc82828:s={size}:r=30:d=1,format=gbrp,scale=out_color_matrix={matrix},format=yuv420p"
    unsaid = f"{source},setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    file = _made(tmp_path / "phone.mp4", "-f", "lavfi", "-i", unsaid, "-c:v", "mpeg4", "-q:v", "2")
    export(file, "mp4", tmp_path / "made.mp4")
    width, height = (int(side) for side in size.split("x"))
    raw = frames(tmp_path / "made.mp4", 1, width, height)[0]
    assert np.abs(raw.reshape(-1, 3).mean(axis=0) - (200, 40, 40)).max() < 4
