"""Media files of every kind, whole and broken, as probe reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.probe import groups, probe

_HDR = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"


def _made(output: Path, *arguments: str) -> Path:
    ffmpeg.run(arguments, output, seconds=1, folder=output.parent)
    return output


def _pictures(size: str = "160x90", seconds: float = 1, rate: int = 25) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound."""
    output = tmp_path_factory.mktemp("probe") / "video.mp4"
    sound = ("-f", "lavfi", "-i", "sine=r=44100:d=2")
    return _made(output, *_pictures("320x568", 2, 30), *sound, "-pix_fmt", "yuv420p", "-g", "30", "-flags", "+cgop")


def test_a_plain_video_is_known(video: Path) -> None:
    found = probe(video)
    assert (found.video_codec, found.audio_codec, found.pixel_format) == ("h264", "aac", "yuv420p")
    assert (found.width, found.height, found.frames_per_second, found.sample_rate) == (320, 568, 30.0, 44_100)
    assert found.seconds == pytest.approx(2.0, abs=0.03)
    assert (found.rotation, found.is_variable, found.has_alpha, found.is_hdr) == (0, False, False, False)


def test_a_turned_video_has_the_size_that_is_seen(video: Path, tmp_path: Path) -> None:
    turned = _made(tmp_path / "v.mp4", "-display_rotation", "-90", "-i", str(video), "-c", "copy")
    found = probe(turned)
    assert (found.rotation, found.width, found.height) == (90, 568, 320)


def test_pixels_that_are_not_square_count_in_the_size(tmp_path: Path) -> None:
    found = probe(_made(tmp_path / "v.mkv", *_pictures("240x180"), "-vf", "setsar=4/3", "-c:v", "ffv1"))
    assert (found.width, found.height, found.has_square_pixels) == (320, 180, False)


@pytest.mark.parametrize("form", ["mp4", "mkv"])
def test_a_variable_frame_rate_is_told_from_the_rounding_of_a_clock(form: str, tmp_path: Path) -> None:
    even = _made(tmp_path / f"even.{form}", *_pictures(seconds=2, rate=30), "-c:v", "libx264")
    gaps = ["-vf", r"select=not(eq(mod(n\,5)\,2))", "-fps_mode", "vfr", "-c:v", "libx264"]
    assert not probe(even).is_variable
    assert probe(_made(tmp_path / f"gaps.{form}", *_pictures(rate=30), *gaps)).is_variable


def test_hdr_and_transparency_are_seen(tmp_path: Path) -> None:
    hdr = ["-vf", f"format=yuv420p10le,{_HDR}", "-c:v", "libx265", "-x265-params", "log-level=error"]
    assert probe(_made(tmp_path / "hdr.mp4", *_pictures(), *hdr)).is_hdr
    clear = ["-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-deadline", "realtime"]
    assert probe(_made(tmp_path / "clear.webm", *_pictures(), *clear)).has_alpha


def test_a_cover_picture_is_not_the_video(video: Path, tmp_path: Path) -> None:
    cover = _made(tmp_path / "cover.png", *_pictures("90x90"), "-frames:v", "1", "-update", "1")
    attached = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    both = _made(tmp_path / "v.mp4", "-i", str(cover), "-i", str(video), *attached)
    assert (probe(both).video_codec, probe(both).width) == ("h264", 320)
    song = ["-map", "1:a", "-map", "0", "-c:a", "libmp3lame", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
    found = probe(_made(tmp_path / "song.mp3", "-i", str(cover), "-i", str(video), *song))
    assert (found.video_codec, found.audio_codec, found.width) == (None, "mp3", None)


def test_a_length_that_the_headers_do_not_say_is_measured(video: Path, tmp_path: Path) -> None:
    # As browsers record: the length is never filled in afterwards.
    live = _made(tmp_path / "v.mkv", "-i", str(video), "-c", "copy", "-live", "1")
    assert probe(live).seconds == pytest.approx(2.0, abs=0.1)


def test_a_clock_that_starts_late_is_told(video: Path, tmp_path: Path) -> None:
    found = probe(_made(tmp_path / "v.ts", "-i", str(video), "-c", "copy"))
    assert found.starts > 1
    assert found.seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["a\nStream #0:0: Video: x, 9x9\n.mp4", "%03d.mp4", "-i", "http:x.mp4", "concat:a|b"])
def test_a_name_is_only_a_name(name: str, video: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    shutil.copy(video, file)
    assert probe(file).width == 320


def test_a_video_under_another_ending_is_what_it_holds(video: Path, tmp_path: Path) -> None:
    shutil.copy(video, tmp_path / "song.mp3")
    assert probe(tmp_path / "song.mp3").video_codec == "h264"


def _playlist(video: Path) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{video}\n#EXT-X-ENDLIST\n".encode()


def _concatenation(video: Path) -> bytes:
    return f"ffconcat version 1.0\nfile '{video}'\n".encode()


def _drawing(video: Path) -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/hostname"/></svg>'


@pytest.mark.parametrize("content", [_playlist, _concatenation, _drawing])
@pytest.mark.parametrize("ending", ["m3u8", "mp4", "ffconcat"])
def test_a_file_that_opens_other_files_is_refused(content: object, ending: str, video: Path, tmp_path: Path) -> None:
    assert callable(content)
    file = tmp_path / f"v.{ending}"
    file.write_bytes(content(video))
    with pytest.raises(PermanentError, match=rf"v\.{ending} is not a readable media file"):
        probe(file)


def _empty(_: Path) -> bytes:
    return b""


def _text(_: Path) -> bytes:
    return b"Dear all, this is no video.\n" * 200


def _noise(_: Path) -> bytes:
    return bytes(range(256)) * 40


def _without_its_end(video: Path) -> bytes:
    return video.read_bytes()[: video.stat().st_size * 2 // 3]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (_empty, "empty"),
        (_text, "no video or sound"),
        (_noise, "not a readable media file"),
        (_without_its_end, "moov.*cut off"),
    ],
)
def test_what_is_no_video_is_refused_by_name(content: object, why: str, video: Path, tmp_path: Path) -> None:
    assert callable(content)
    file = tmp_path / "bad.mp4"
    file.write_bytes(content(video))
    with pytest.raises(PermanentError, match=rf"(?s)bad\.mp4 .*{why}"):
        probe(file)


@pytest.mark.parametrize("form", ["mp4", "mkv"])
def test_a_video_whose_index_is_whole_and_whose_pictures_are_not_is_cut_off(
    form: str, video: Path, tmp_path: Path
) -> None:
    first = ["-movflags", "+faststart"] if form == "mp4" else []
    whole = _made(tmp_path / f"whole.{form}", "-i", str(video), "-c", "copy", *first)
    for share in (0.1, 0.4):
        cut = tmp_path / f"cut.{form}"
        cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        with pytest.raises(PermanentError, match=rf"cut\.{form} (is cut off|holds no pictures)"):
            probe(cut)


def test_a_missing_file_a_folder_and_a_pipe_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("nowhere.mp4", "no such file"),
        ("folder", "it is a folder"),
        ("pipe", "it is a pipe"),
    ):
        with pytest.raises(PermanentError, match=f"{name} .*{why}"):
            probe(tmp_path / name)


def test_a_still_is_no_video(tmp_path: Path) -> None:
    still = _made(tmp_path / "still.png", *_pictures(), "-frames:v", "1", "-update", "1")
    with pytest.raises(PermanentError, match=r"still\.png .*still picture"):
        probe(still)


def test_a_video_without_pictures_is_named(video: Path, tmp_path: Path) -> None:
    none = _made(tmp_path / "none.mkv", *_pictures(), "-frames:v", "0", "-c:v", "ffv1")
    with pytest.raises(PermanentError, match=r"none\.mkv"):
        probe(none)


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    wide = _made(tmp_path / "wide.mkv", *_pictures("17000x16", 0.1), "-c:v", "ffv1")
    with pytest.raises(PermanentError, match=r"wide\.mkv is too large: 17000×16"):
        probe(wide)
    black = ["-f", "lavfi", "-i", "color=s=10400x10400:r=5:d=0.2,format=monow", "-frames:v", "1", "-c:v", "png"]
    large = _made(tmp_path / "large.mkv", *black)
    with pytest.raises(PermanentError, match=r"large\.mkv .*100 megapixels"):
        probe(large)


def test_groups_of_pictures_are_measured(tmp_path: Path, video: Path) -> None:
    assert groups(video).longest == pytest.approx(1.0, abs=0.02)
    assert groups(video).are_closed
    opened = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "50", "-bf", "3", "-sc_threshold", "0"]
    opened += ["-x264-params", "open-gop=1"]
    found = groups(_made(tmp_path / "open.mp4", *_pictures(seconds=6), *opened))
    assert found.longest == pytest.approx(2.0, abs=0.2)
    assert not found.are_closed
