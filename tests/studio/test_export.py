"""Exports and thumbnails, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.studio.conftest import Composed
from tests.studio.measure import frames, loudness, pixels
from ytray.errors import PermanentError
from ytray.studio.render import export
from ytray.studio.render.probe import probe


@pytest.fixture(scope="module")
def short(composed: Composed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the video, small: what is measured here does not depend on its size."""
    from ytray.studio.render import ffmpeg

    file = tmp_path_factory.mktemp("short") / "short.mp4"
    arguments = ["-i", str(composed.video), "-t", "1", "-vf", "scale=270:480", "-c:a", "copy"]
    ffmpeg.run(arguments, file, seconds=1, folder=file.parent)
    return file


@pytest.mark.parametrize(
    ("form", "picture", "sound"),
    [
        ("mp4", "h264", "aac"),
        ("mov", "h264", "aac"),
        ("webm", "vp9", "opus"),
        ("gif", "gif", None),
        ("m4a", None, "aac"),
        ("mp3", None, "mp3"),
    ],
)
def test_an_export_has_the_codecs_of_its_format_and_the_same_length(
    form: str, picture: str | None, sound: str | None, short: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"v.{form}"
    export.export(short, form, target)
    found = probe(target)
    assert (found.video_codec, found.audio_codec) == (picture, sound)
    assert found.seconds == pytest.approx(1.0, abs=0.12)
    if picture:
        assert frames(target, 2).std() > 10
    if sound:
        assert loudness(target)[0] > -25


def test_a_format_that_there_is_not_is_named(short: Path, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"'avi'.*mp4"):
        export.export(short, "avi", tmp_path / "v.avi")


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    with pytest.raises(PermanentError, match=r"bad\.mp4 is not a readable media file"):
        export.export(bad, "gif", tmp_path / "v.gif")


@pytest.mark.parametrize(
    "title", ["Why do cats purr?", "Pneumono" * 20, "All the small things that nobody told you about"]
)
def test_thumbnails_have_their_sizes_and_carry_the_title(title: str, composed: Composed, tmp_path: Path) -> None:
    landscape, portrait = tmp_path / "l.jpg", tmp_path / "p.jpg"
    export.thumbnails(composed.video, title, landscape, portrait, tmp_path)
    for file, shape, title_side in (
        (landscape, (720, 1280, 3), np.s_[:, :700]),
        (portrait, (1920, 1080, 3), np.s_[:760, :]),
    ):
        assert file.stat().st_size < export.THUMBNAIL_LIMIT
        picture = pixels(file)
        assert picture.shape == shape
        assert (picture.min(axis=2)[title_side] > 240).sum() > 1500  # white letters
        assert picture.std() > 20


def test_a_title_without_glyphs_is_refused_by_name(composed: Composed, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="桜"):
        export.thumbnails(composed.video, "桜", tmp_path / "l.jpg", tmp_path / "p.jpg", tmp_path)
    assert list(tmp_path.iterdir()) == []
